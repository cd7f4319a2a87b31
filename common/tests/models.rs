//! What holds for every architecture: its blocks part it, its groups name what they say, its layers lie one after another.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use transect_common::model::{
    CifarNorm, CifarResnet, Description, LayerKind, Mlp, ModelSpec, Resnet, ResnetNorm, Start, Stem, Vgg, Vit,
};

fn described(spec: &ModelSpec) -> Description {
    spec.describe(spec.usual_input(), 10).unwrap()
}

/// Every architecture at its defaults, and those whose options change their layers.
fn every_form() -> impl Iterator<Item = ModelSpec> {
    let norms = [CifarNorm::None, CifarNorm::Scale, CifarNorm::Fixup];
    let plain = Resnet { norm: ResnetNorm::None, ..Resnet::default() };
    let more = [
        ModelSpec::Mlp(Mlp { batch_norm: true, ..Mlp::default() }),
        ModelSpec::Resnet18(plain.clone()),
        ModelSpec::Resnet50(plain),
        ModelSpec::Vgg11(Vgg { batch_norm: true, ..Vgg::default() }),
    ];
    let cifar = norms.map(|norm| ModelSpec::Resnet20(CifarResnet { norm, ..CifarResnet::default() }));
    ModelSpec::NAMES.into_iter().map(default).chain(more).chain(cifar)
}

fn default(name: &str) -> ModelSpec {
    ModelSpec::from_name(name).unwrap()
}

fn names(model: &Description, group: &str) -> Vec<String> {
    model.named(group).unwrap().iter().map(|&i| model.parameters[i].name.clone()).collect()
}

#[test]
fn every_parameter_lies_in_exactly_one_block() {
    for spec in every_form() {
        let model = described(&spec);
        let mut parted: Vec<usize> = model.blocks.iter().flat_map(|name| model.named(name).unwrap()).collect();
        parted.sort_unstable();
        assert_eq!(parted, (0..model.parameters.len()).collect::<Vec<_>>(), "{spec:?}: {:?}", model.blocks);
    }
}

#[test]
fn tensors_lie_one_after_another_and_names_are_their_own() {
    for spec in every_form() {
        let model = described(&spec);
        let mut end = 0;
        for parameter in &model.parameters {
            assert_eq!((parameter.offset, parameter.len > 0), (end, true), "{spec:?}: {}", parameter.name);
            end += parameter.len;
        }
        assert_eq!(model.theta_len(), end);
        let mut names: Vec<&str> = model.parameters.iter().map(|p| p.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), model.parameters.len(), "{spec:?}");
        assert!(model.groups.iter().all(|group| !group.parameters.is_empty()), "{spec:?}");
    }
}

#[test]
fn blocks_are_named_from_bottom_to_top() {
    let blocks = |name| described(&default(name)).blocks.join(" ");
    assert_eq!(blocks("lenet5"), "conv1 conv2 fc1 fc2 fc3");
    assert_eq!(blocks("resnet20"), "stem stage:1 stage:2 stage:3 head");
    assert_eq!(blocks("resnet50"), "stem stage:1 stage:2 stage:3 stage:4 head");
    assert_eq!(blocks("vgg11"), "stage:1 stage:2 stage:3 stage:4 stage:5 classifier.0 classifier.3 head");
    assert_eq!(blocks("efficientnet-lite0"), "stem stage:1 stage:2 stage:3 stage:4 stage:5 stage:6 stage:7 head");
    assert_eq!(blocks("vit"), "stem stage:1 stage:2 stage:3 stage:4 stage:5 stage:6 head");
}

#[test]
fn numbers_of_parameters_are_the_published_ones() {
    // He et al. 2016, table 6 (in millions: 0.27, 0.46, 0.66, 0.85, 1.7); torchvision's documentation; the tables of
    // EfficientNet-lite.
    let imagenet = |name| default(name).describe([3, 224, 224], 1000).unwrap().theta_len();
    let cifar = |name| described(&default(name)).theta_len();
    assert_eq!(
        ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"].map(cifar),
        [269_722, 464_154, 658_586, 853_018, 1_727_962]
    );
    assert_eq!(["resnet18", "resnet34", "resnet50"].map(imagenet), [11_689_512, 21_797_672, 25_557_032]);
    assert_eq!(["vgg11", "vgg16"].map(imagenet), [132_863_336, 138_357_544]);
    let bn = ModelSpec::Vgg16(Vgg { batch_norm: true, ..Vgg::default() });
    assert_eq!(bn.describe([3, 224, 224], 1000).unwrap().theta_len(), 138_365_992);
    assert_eq!(imagenet("efficientnet-lite0"), 4_652_008);
    let base = ModelSpec::Vit(Vit { patch: 16, dim: 768, depth: 12, heads: 12, ..Vit::default() });
    assert_eq!(base.describe([3, 224, 224], 1000).unwrap().theta_len(), 86_567_656);
}

#[test]
fn parameters_are_those_of_the_published_networks_in_their_order() {
    let vit = ModelSpec::Vit(Vit { patch: 16, dim: 768, depth: 12, heads: 12, ..Vit::default() });
    let forms = [
        ("resnet18", default("resnet18")),
        ("resnet34", default("resnet34")),
        ("resnet50", default("resnet50")),
        ("vgg11", default("vgg11")),
        ("vgg16", default("vgg16")),
        ("vgg16-bn", ModelSpec::Vgg16(Vgg { batch_norm: true, ..Vgg::default() })),
        ("efficientnet-lite0", default("efficientnet-lite0")),
        ("vit-b-16", vit),
    ];
    let ours: Vec<String> = forms
        .iter()
        .flat_map(|(name, spec)| {
            let model = spec.describe([3, 224, 224], 1000).unwrap();
            let shape = |shape: &[u32]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            model.parameters.iter().map(|p| format!("{name} {} {}", p.name, shape(&p.shape))).collect::<Vec<_>>()
        })
        .collect();
    // Made by scripts/fixtures/make.py from torchvision and efficientnet_lite_pytorch.
    let published: Vec<&str> = include_str!("architectures.txt").lines().collect();
    for (ours, published) in ours.iter().zip(&published) {
        assert_eq!(ours, published);
    }
    assert_eq!(ours.len(), published.len());
}

#[test]
fn images_of_mnist_and_cifar_are_taken_or_refused_with_a_sentence() {
    for name in ModelSpec::NAMES {
        assert!(default(name).describe([3, 32, 32], 100).is_ok(), "{name}");
        let mnist = default(name).describe([1, 28, 28], 10);
        assert_eq!(mnist.is_ok(), !name.starts_with("vgg"), "{name}");
    }
    let sentence = |spec: ModelSpec, input| spec.describe(input, 10).unwrap_err().to_string();
    assert_eq!(
        sentence(default("vgg11"), [1, 28, 28]),
        "vgg11 cannot take images of 1x28x28: it halves the image five times, so it needs at least 32x32 pixels"
    );
    assert_eq!(
        sentence(default("vit"), [3, 32, 30]),
        "vit cannot take images of 3x32x30: patches of 4x4 do not part it"
    );
    assert_eq!(
        sentence(ModelSpec::Vit(Vit { heads: 5, ..Vit::default() }), [3, 32, 32]),
        "vit cannot take images of 3x32x32: its tokens of 192 numbers cannot be shared by 5 heads"
    );
}

#[test]
fn stems_differ_in_their_kernels_alone() {
    let cifar = described(&ModelSpec::Resnet18(Resnet { stem: Stem::Cifar, ..Resnet::default() }));
    let imagenet = described(&default("resnet18"));
    assert_eq!(names(&imagenet, "kernel:7"), ["conv1.weight"]);
    assert_eq!(cifar.named("kernel:7"), None);
    assert_eq!(names(&cifar, "stem"), names(&imagenet, "stem"));
    assert_eq!(names(&imagenet, "kernel:1").len(), 3);
}

#[test]
fn starts_say_what_the_scheme_does_not() {
    let start = |spec: ModelSpec, name: &str| {
        let model = described(&spec);
        model.parameters.iter().find(|p| p.name == name).map(|p| p.start).unwrap()
    };
    let cifar = |norm, zero_gamma| ModelSpec::Resnet20(CifarResnet { norm, zero_gamma, ..CifarResnet::default() });
    assert_eq!(start(cifar(CifarNorm::Batch, true), "layer1.0.bn2.weight"), Start::Constant(0.0));
    assert_eq!(start(cifar(CifarNorm::Batch, true), "layer1.0.bn1.weight"), Start::Constant(1.0));
    assert_eq!(start(cifar(CifarNorm::Batch, false), "layer1.0.bn2.weight"), Start::Constant(1.0));
    assert_eq!(start(cifar(CifarNorm::Scale, false), "layer2.1.scale"), Start::Constant(0.0));
    assert_eq!(start(cifar(CifarNorm::Scale, false), "layer2.1.conv2.weight"), Start::SCHEME);
    let fixup = |name| start(cifar(CifarNorm::Fixup, false), name);
    assert_eq!(fixup("layer3.2.conv1.weight"), Start::Scheme { factor: 1.0 / 3.0 });
    assert_eq!(fixup("layer3.2.conv2.weight"), Start::Constant(0.0));
    assert_eq!(fixup("layer3.2.scale"), Start::Constant(1.0));
    assert_eq!(fixup("layer3.2.bias2b"), Start::Constant(0.0));
    assert_eq!(fixup("linear.weight"), Start::Constant(0.0));
    let bottleneck = ModelSpec::Resnet50(Resnet { zero_gamma: true, ..Resnet::default() });
    assert_eq!(start(bottleneck.clone(), "layer4.2.bn3.weight"), Start::Constant(0.0));
    assert_eq!(start(bottleneck, "layer4.2.bn2.weight"), Start::Constant(1.0));
    assert_eq!(start(default("vit"), "class_token"), Start::Constant(0.0));
    assert_eq!(start(default("vit"), "encoder.pos_embedding"), Start::Normal(0.02));
}

#[test]
fn networks_without_batch_norm_have_no_buffers() {
    for norm in [CifarNorm::None, CifarNorm::Scale, CifarNorm::Fixup] {
        let model = described(&ModelSpec::Resnet20(CifarResnet { norm, ..CifarResnet::default() }));
        assert_eq!((model.has_batch_norm(), model.buffers_len()), (false, 0), "{norm:?}");
        let biases = model.layers.iter().filter(|l| l.kind == LayerKind::Conv2d).map(|l| l.parameters.len() == 2);
        assert!(biases.into_iter().all(|has| has == (norm != CifarNorm::Fixup)), "{norm:?}");
    }
}

#[test]
fn kernels_are_groups_of_the_convolutions_of_that_size() {
    let lenet = described(&ModelSpec::from_name("lenet5").unwrap());
    assert_eq!(names(&lenet, "kernel:5"), names(&lenet, "kind:conv"));
    let resnet = described(&ModelSpec::from_name("resnet20").unwrap());
    assert_eq!(names(&resnet, "kernel:3"), names(&resnet, "kind:conv"));
    assert_eq!(resnet.named("kernel:1"), None);
}
