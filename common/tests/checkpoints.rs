//! Checkpoints as files: the same state gives the same bytes, and a file that does not fit says why.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use transect_common::checkpoint::{Checkpoint, CheckpointError, decode, encode};
use transect_common::model::{Description, ModelSpec};

fn model(name: &str) -> Description {
    let spec = ModelSpec::from_name(name).unwrap();
    spec.describe(spec.usual_input(), 10).unwrap()
}

fn checkpoint(model: &Description) -> Checkpoint {
    let ramp = |len: usize, first: f32| (0..len).map(|i| first + i as f32 * 1e-3).collect();
    Checkpoint { theta: ramp(model.theta_len(), -7.0), buffers: ramp(model.buffers_len(), 0.5) }
}

/// The tensors of a file, to be changed and written again.
type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.iter().map(|(n, v)| (n.to_owned(), v.dtype(), v.shape().to_vec(), v.data().to_vec())).collect()
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// What `decode` says of lenet5's file after `change`.
fn refused(change: impl FnOnce(&mut Tensors)) -> CheckpointError {
    let model = model("lenet5");
    let mut tensors = tensors(&encode(&model, &checkpoint(&model)));
    change(&mut tensors);
    decode(&model, &file(&tensors)).unwrap_err()
}

fn find<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut (String, Dtype, Vec<usize>, Vec<u8>) {
    tensors.iter_mut().find(|(n, ..)| n == name).unwrap()
}

#[test]
fn a_checkpoint_is_read_back_and_its_bytes_are_always_the_same() {
    // Larger ones are written no differently.
    for model in ModelSpec::NAMES.map(model).into_iter().filter(|model| model.theta_len() < 5_000_000) {
        let name = model.architecture;
        let state = checkpoint(&model);
        let bytes = encode(&model, &state);
        assert_eq!(decode(&model, &bytes).unwrap(), state, "{name}");
        assert_eq!(encode(&model, &state), bytes, "{name}");
    }
}

#[test]
fn names_are_those_of_a_state_dict() {
    let model = model("resnet20");
    let mut names: Vec<String> = tensors(&encode(&model, &checkpoint(&model))).into_iter().map(|t| t.0).collect();
    names.sort();
    assert_eq!(names.len(), 19 * 5 + 2);
    for name in ["bn1.running_mean", "conv1.weight", "layer2.0.bn1.running_var", "layer3.2.conv2.weight", "linear.bias"]
    {
        assert!(names.binary_search(&name.to_owned()).is_ok(), "{name}");
    }
}

#[test]
fn the_order_of_tensors_in_the_file_does_not_matter() {
    let model = model("lenet5");
    let state = checkpoint(&model);
    let mut tensors = tensors(&encode(&model, &state));
    tensors.reverse();
    assert_eq!(decode(&model, &file(&tensors)).unwrap(), state);
}

#[test]
fn counters_of_batches_are_accepted_and_dropped() {
    let model = model("resnet20");
    let state = checkpoint(&model);
    let mut tensors = tensors(&encode(&model, &state));
    tensors.push(("bn1.num_batches_tracked".into(), Dtype::I64, vec![], 7i64.to_le_bytes().to_vec()));
    assert_eq!(decode(&model, &file(&tensors)).unwrap(), state);
}

#[test]
fn a_missing_tensor_is_named() {
    let error = refused(|tensors| tensors.retain(|(name, ..)| name != "fc2.bias" && name != "conv1.weight"));
    assert_eq!(error.to_string(), "lenet5 needs tensors that the file does not hold: conv1.weight, fc2.bias");
}

#[test]
fn an_extra_tensor_is_named() {
    let error = refused(|tensors| tensors.push(("fc4.bias".into(), Dtype::F32, vec![1], vec![0; 4])));
    assert_eq!(error.to_string(), "the file holds tensors that lenet5 does not have: fc4.bias");
}

#[test]
fn a_tensor_of_another_shape_is_named_even_when_it_is_as_long() {
    let error = refused(|tensors| find(tensors, "fc2.weight").2.reverse());
    assert_eq!(error.to_string(), "tensor `fc2.weight` has shape [120, 84], lenet5 needs [84, 120]");
}

#[test]
fn a_tensor_of_another_type_is_named() {
    let error = refused(|tensors| find(tensors, "fc2.bias").1 = Dtype::I32);
    assert_eq!(error.to_string(), "tensor `fc2.bias` holds I32, F32 is needed");
}

#[test]
fn a_value_that_is_not_finite_is_found() {
    for (value, text) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let error = refused(|tensors| find(tensors, "fc1.bias").3[8..12].copy_from_slice(&value.to_le_bytes()));
        let expected = format!("tensor `fc1.bias` holds {text} at element 2; every value must be finite");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_file_that_is_cut_or_no_file_of_tensors_is_refused() {
    let model = model("lenet5");
    let bytes = encode(&model, &checkpoint(&model));
    for cut in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(decode(&model, &bytes[..cut]), Err(CheckpointError::Format(_))), "{cut}");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(decode(&model, &longer), Err(CheckpointError::Format(_))));
    for bytes in [&b"not a checkpoint at all"[..], &[0xff; 64]] {
        assert!(matches!(decode(&model, bytes), Err(CheckpointError::Format(_))));
    }
}
