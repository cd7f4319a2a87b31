//! Checkpoints as safetensors.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use transect_common::checkpoint::{Checkpoint, CheckpointError, decode, encode};
use transect_common::model::{Description, ModelSpec};

use crate::memory::most_bytes;
use crate::mutate::{damaged, damages};

/// Most bytes that reading may take beside thrice the file, whatever it says of itself.
const READING: usize = 1 << 20;

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    crate::files(&crate::corpus("safetensors")).iter().map(|path| std::fs::read(path).unwrap()).collect()
});

/// A perceptron without a hidden layer, on images of four pixels.
fn model() -> Description {
    ModelSpec::mlp([]).describe([1, 2, 2], 3).unwrap()
}

fn state() -> Checkpoint {
    let model = model();
    let theta = (0..model.theta_len()).map(|i| i as f32 * 0.25 - 1.0).collect();
    Checkpoint { theta, buffers: vec![0.5; model.buffers_len()] }
}

#[test]
fn the_corpus_is_what_is_written() {
    let name = crate::corpus("safetensors").join("perceptron.safetensors");
    assert_eq!(std::fs::read(name).unwrap(), encode(&model(), &state()));
    assert_eq!(decode(&model(), &CORPUS[0]).unwrap(), state());
}

proptest! {
    #![proptest_config(crate::config(1000, "tests/fuzz/regressions/checkpoints.txt"))]

    #[test]
    fn a_damaged_checkpoint_is_refused_or_whole(which in any::<Index>(), damages in damages()) {
        let (model, bytes) = (model(), damaged(which.get(CORPUS.as_slice()).as_slice(), &CORPUS, &damages));
        let (read, most) = most_bytes(|| decode(&model, &bytes));
        prop_assert!(most < READING + 3 * bytes.len(), "reading {} bytes took {}", bytes.len(), most);
        match read {
            Ok(read) => {
                prop_assert_eq!((read.theta.len(), read.buffers.len()), (model.theta_len(), model.buffers_len()));
                prop_assert!(read.theta.iter().chain(&read.buffers).all(|value| value.is_finite()));
                prop_assert_eq!(decode(&model, &encode(&model, &read)).unwrap(), read);
            }
            Err(error) => {
                let said = error.to_string();
                prop_assert!(said.len() < 4096, "{} bytes", said.len());
                let names_a_tensor = said.contains('`') || said.contains(": ");
                prop_assert!(matches!(error, CheckpointError::Format(_)) || names_a_tensor, "{}", said);
            }
        }
    }
}
