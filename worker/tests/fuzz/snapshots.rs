//! Snapshots of trainings.

use std::sync::LazyLock;

use proptest::prelude::*;
use tch::Device;
use transect_common::data::{DataSet, DataSpec};
use transect_common::model::{Description, ModelSpec};
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, TrainSpec};
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use transect_worker::sources::Sources;
use transect_worker::train::{self, Ask, Course, Made, Snapshot, TrainEvent};

use crate::memory::most_bytes;
use crate::mutate::{damaged, damages};

/// Most bytes that reading may take beside a few times the file.
const READING: usize = 4 << 20;

fn run() -> RunSpec {
    let optimizer: Optimizer = serde_json::from_str(r#"{"name": "sgd", "lr": 0.1, "momentum": 0.9}"#).unwrap();
    let train = TrainSpec { epochs: 1, batch_size: 2, ..TrainSpec::new(1, optimizer) };
    let origin = Origin::Trained { init: InitSpec::default(), train };
    RunSpec { data: DataSpec::new(DataSet::Mnist), model: ModelSpec::mlp([]), origin }
}

fn model() -> Description {
    run().model.describe([1, 28, 28], 10).unwrap()
}

fn made() -> Made {
    Made { run: run().digest(), images: 4, machine: "cpu, libtorch 2.11.0, AVX2".to_owned() }
}

/// A snapshot after the first of two steps.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    tch::set_num_threads(1);
    let images = Images { pixels: vec![7; 4 * 784], labels: vec![0, 1, 2, 3], shape: [1, 28, 28] };
    let data = Data::new(&images, &images, &[0.25], &[0.2], Device::Cpu);
    let mut file = vec![];
    let course = Course { from: None, ask: &mut || Ask::SnapshotAndStop };
    let model = Model::new(model(), Device::Cpu);
    // It ends with the error that it was told to stop.
    let _ = train::train_from(course, &model, &run(), &data, &Sources::default(), &mut |event| {
        if let TrainEvent::Snapshot(snapshot) = event {
            file = snapshot.encode(&made());
        }
        Ok(())
    });
    file
});

fn read(bytes: &[u8]) -> Result<Snapshot, String> {
    Snapshot::decode(bytes, &run(), &model(), &made()).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(crate::config(200, "tests/fuzz/regressions/snapshots.txt"))]

    #[test]
    fn a_damaged_snapshot_is_refused_or_what_was_written(damages in damages()) {
        let bytes = damaged(&FILE, std::slice::from_ref(&FILE), &damages);
        let (read_back, most) = most_bytes(|| read(&bytes));
        prop_assert!(most < READING + 8 * bytes.len(), "reading {} bytes took {}", bytes.len(), most);
        match read_back {
            Ok(snapshot) => prop_assert_eq!(snapshot, read(&FILE).unwrap()),
            Err(said) => prop_assert!(said.len() < 4096, "{} bytes", said.len()),
        }
    }
}
