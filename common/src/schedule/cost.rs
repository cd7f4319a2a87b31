//! How much work a job is: a number that grows with its time on one device, to compare jobs before any of them ran.

use crate::data::{DataSpec, Split};
use crate::line::LineSpec;
use crate::run::{Origin, RunSpec};

/// A training step passes each image forward and backward, which costs about three forward passes.
const PASSES: f64 = 3.0;
/// Images of a set whose size only its files know.
const UNKNOWN_IMAGES: u32 = 10_000;

/// Cost of training a run: images seen x parameters x 3; 0 for an imported run.
pub fn training_cost(run: &RunSpec, parameters: usize) -> f64 {
    match &run.origin {
        Origin::Trained { train, .. } => {
            PASSES * images(&run.data, Split::Train) * f64::from(train.epochs) * parameters.max(1) as f64
        }
        Origin::Imported { .. } => 0.0,
    }
}

/// Cost of a line: points x images x parameters, with all the points that refining it may add.
pub fn line_cost(data: &DataSpec, line: &LineSpec, parameters: usize) -> f64 {
    let subset = line.subset.map_or(f64::INFINITY, f64::from);
    let a_point: f64 = line.splits.iter().map(|&split| images(data, split).min(subset)).sum();
    let further = line.refine.map_or(0.0, |refine| f64::from(refine.budget));
    (line.alphas.len() as f64 + further) * a_point * parameters.max(1) as f64
}

fn images(data: &DataSpec, split: Split) -> f64 {
    f64::from(data.images(split).unwrap_or(UNKNOWN_IMAGES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSet;
    use crate::model::ModelSpec;
    use crate::refine::Refine;
    use crate::run::{InitSpec, Optimizer, TrainSpec};

    #[test]
    fn cost_grows_with_images_epochs_points_and_parameters() {
        let train = TrainSpec { epochs: 2, ..TrainSpec::new(1, Optimizer::sgd()) };
        let data = DataSpec { train_size: Some(100), ..DataSpec::new(DataSet::Mnist) };
        let origin = Origin::Trained { init: InitSpec::default(), train };
        let run = RunSpec { data: data.clone(), model: ModelSpec::lenet5(), origin };
        assert_eq!(training_cost(&run, 10), 3.0 * 100.0 * 2.0 * 10.0);
        let line = LineSpec::new("all", vec![0.0, 1.0], vec![Split::Train, Split::Test]);
        assert_eq!(line_cost(&data, &line, 10), 2.0 * (100.0 + 10_000.0) * 10.0);
        let subset = LineSpec { subset: Some(50), ..line };
        assert_eq!(line_cost(&data, &subset, 10), 2.0 * 100.0 * 10.0);
        let refined = LineSpec { refine: Some(Refine { budget: 3, tolerance: 0.1 }), ..subset };
        assert_eq!(line_cost(&data, &refined, 10), 5.0 * 100.0 * 10.0);
    }
}
