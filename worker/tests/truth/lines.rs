//! Comparing measured lines with `PyTorch`'s, point by point.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::run::Tag;
use transect_worker::data::Data;
use transect_worker::nn::Model;
use transect_worker::probe::{LineTask, Point, measure};

/// Lines of one model on one grid.
#[derive(Deserialize)]
pub struct Lines {
    pub alphas: Vec<f64>,
    pub batch_size: u32,
    #[serde(rename = "lines")]
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
pub struct Row {
    pub mask: String,
    pub hold: String,
    pub batch_norm: BatchNorm,
    pub splits: HashMap<Split, Measured>,
}

#[derive(Deserialize)]
pub struct Measured {
    /// `None` where `PyTorch` has NaN.
    pub loss: Vec<Option<f64>>,
    pub accuracy: Vec<f64>,
    pub count: u64,
}

impl Lines {
    /// The lines as the worker gets them.
    pub fn tasks(&self, subset: Option<u32>) -> Vec<LineTask> {
        let task = |row: &Row| LineTask {
            spec: LineSpec {
                hold: if row.hold == "from" { Tag::init() } else { Tag::last() },
                batch_norm: row.batch_norm,
                subset,
                batch_size: self.batch_size,
                ..LineSpec::new(&row.mask, self.alphas.clone(), vec![Split::Train, Split::Test])
            },
            done: HashSet::new(),
        };
        self.rows.iter().map(task).collect()
    }

    /// Measures them and compares every loss, within `tolerance`, every accuracy, to one image, and every count.
    pub fn check(
        &self,
        subset: Option<u32>,
        model: &Model,
        data: &Data,
        ends: &BTreeMap<Tag, Checkpoint>,
        tolerance: f64,
    ) {
        let tasks = self.tasks(subset);
        let points = measured(model, data, ends, &tasks);
        assert_eq!(points.len(), self.rows.len() * self.alphas.len() * 2);
        for point in points {
            let row = &self.rows[point.line];
            let truth = &row.splits[&point.split];
            let index = point.index as usize;
            let at = format!("{} {} alpha {} {}", row.mask, row.batch_norm.name(), point.alpha, point.split);
            assert!((point.alpha - self.alphas[index]).abs() < 1e-15, "{at}");
            assert_eq!(point.count, truth.count, "{at}");
            let images_apart = (point.accuracy - truth.accuracy[index]).abs() * point.count as f64;
            assert!(images_apart < 1.5, "{at}: accuracy {} against {}", point.accuracy, truth.accuracy[index]);
            match truth.loss[index] {
                None => assert!(point.loss.is_nan(), "{at}: loss {} where PyTorch has NaN", point.loss),
                Some(loss) => {
                    let error = (point.loss - loss).abs() / loss;
                    assert!(error <= tolerance, "{at}: ours {}, PyTorch {loss}, error {error:.1e}", point.loss);
                }
            }
        }
    }
}

/// All points of `tasks`, as emitted.
pub fn measured(model: &Model, data: &Data, ends: &BTreeMap<Tag, Checkpoint>, tasks: &[LineTask]) -> Vec<Point> {
    let mut points = vec![];
    measure(model, data, ends, tasks, &mut |point| {
        points.push(point);
        Ok(())
    })
    .unwrap();
    points
}
