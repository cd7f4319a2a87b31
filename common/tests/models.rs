//! What holds for every architecture: its blocks part it, its groups name what they say, its layers lie one after another.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use transect_common::model::{Description, ModelSpec};

fn described(spec: &ModelSpec) -> Description {
    spec.describe(spec.usual_input(), 10).unwrap()
}

fn every_default() -> impl Iterator<Item = ModelSpec> {
    ModelSpec::NAMES.iter().map(|name| ModelSpec::from_name(name).unwrap())
}

fn names(model: &Description, group: &str) -> Vec<String> {
    model.named(group).unwrap().iter().map(|&i| model.parameters[i].name.clone()).collect()
}

#[test]
fn every_parameter_lies_in_exactly_one_block() {
    for spec in every_default() {
        let model = described(&spec);
        let mut parted: Vec<usize> = model.blocks.iter().flat_map(|name| model.named(name).unwrap()).collect();
        parted.sort_unstable();
        assert_eq!(parted, (0..model.parameters.len()).collect::<Vec<_>>(), "{spec:?}: {:?}", model.blocks);
    }
}

#[test]
fn blocks_are_named_from_bottom_to_top() {
    let blocks = |name| described(&ModelSpec::from_name(name).unwrap()).blocks;
    assert_eq!(blocks("lenet5"), ["conv1", "conv2", "fc1", "fc2", "fc3"]);
    assert_eq!(blocks("resnet20"), ["stem", "stage:1", "stage:2", "stage:3", "head"]);
}

#[test]
fn kernels_are_groups_of_the_convolutions_of_that_size() {
    let lenet = described(&ModelSpec::from_name("lenet5").unwrap());
    assert_eq!(names(&lenet, "kernel:5"), names(&lenet, "kind:conv"));
    let resnet = described(&ModelSpec::from_name("resnet20").unwrap());
    assert_eq!(names(&resnet, "kernel:3"), names(&resnet, "kind:conv"));
    assert_eq!(resnet.named("kernel:1"), None);
}
