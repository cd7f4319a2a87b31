//! The learning rate as a function of the step.

use std::f64::consts::PI;

use transect_common::run::{Schedule, TrainSpec};

/// What the optimiser's learning rate is multiplied by at `step` (from 0) of a run with `steps_per_epoch` (at least 1).
///
/// Warm-up: over w = `warmup_epochs` x `steps_per_epoch` steps the factor is (step + 1) / w, at most 1: the rate rises
/// from 0 before the first step, so that no step is lost. It multiplies the schedule, which it does not delay.
pub fn factor(train: &TrainSpec, step: u64, steps_per_epoch: u64) -> f64 {
    let warmup_steps = train.warmup_epochs * steps_per_epoch as f64;
    let warmup = if warmup_steps > 0.0 { ((step + 1) as f64 / warmup_steps).min(1.0) } else { 1.0 };
    let schedule = match &train.schedule {
        Schedule::Constant => 1.0,
        Schedule::Step { every, factor } => {
            let drops = step / steps_per_epoch / u64::from((*every).max(1));
            factor.powi(i32::try_from(drops).unwrap_or(i32::MAX))
        }
        Schedule::Milestones { epochs, factor } => {
            let epoch = step / steps_per_epoch;
            let drops = epochs.iter().filter(|&&milestone| epoch >= u64::from(milestone)).count();
            factor.powi(i32::try_from(drops).unwrap_or(i32::MAX))
        }
        Schedule::Cyclic { period, floor } => {
            let place = (step as f64 / (period * steps_per_epoch as f64)).fract();
            floor + (1.0 - floor) * (1.0 - (2.0 * place - 1.0).abs())
        }
        Schedule::Cosine { floor } => {
            let steps = u64::from(train.epochs) * steps_per_epoch;
            floor + (1.0 - floor) * 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos())
        }
    };
    warmup * schedule
}

#[cfg(test)]
mod tests {
    use transect_common::run::Optimizer;

    use super::*;

    /// Factors of 4 epochs of 5 steps at some steps.
    fn factors(schedule: Schedule, warmup_epochs: f64, steps: &[u64]) -> Vec<f64> {
        let train = TrainSpec { schedule, warmup_epochs, epochs: 4, ..TrainSpec::new(0, Optimizer::sgd()) };
        steps.iter().map(|&step| (factor(&train, step, 5) * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn a_constant_rate_stays() {
        assert_eq!(factors(Schedule::Constant, 0.0, &[0, 7, 19]), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn steps_drop_at_the_first_step_of_an_epoch() {
        let schedule = Schedule::Step { every: 2, factor: 0.1 };
        assert_eq!(factors(schedule, 0.0, &[0, 9, 10, 19]), [1.0, 1.0, 0.1, 0.1]);
        let schedule = Schedule::Step { every: 1, factor: 0.5 };
        assert_eq!(factors(schedule, 0.0, &[4, 5, 10, 15]), [1.0, 0.5, 0.25, 0.125]);
    }

    #[test]
    fn milestones_drop_after_their_epochs() {
        let schedule = Schedule::Milestones { epochs: vec![1, 3], factor: 0.1 };
        assert_eq!(factors(schedule, 0.0, &[4, 5, 14, 15, 19]), [1.0, 0.1, 0.1, 0.01, 0.01]);
    }

    #[test]
    fn a_cycle_rises_and_falls() {
        let schedule = Schedule::Cyclic { period: 2.0, floor: 0.2 };
        assert_eq!(factors(schedule, 0.0, &[0, 1, 5, 9, 10, 15]), [0.2, 0.36, 1.0, 0.36, 0.2, 1.0]);
    }

    #[test]
    fn a_cosine_falls_from_1_towards_its_floor() {
        assert_eq!(factors(Schedule::Cosine { floor: 0.0 }, 0.0, &[0, 5, 10, 20]), [1.0, 0.853_553_391, 0.5, 0.0]);
        assert_eq!(factors(Schedule::Cosine { floor: 0.2 }, 0.0, &[0, 10, 20]), [1.0, 0.6, 0.2]);
    }

    #[test]
    fn warm_up_rises_in_equal_steps_and_does_not_delay_the_schedule() {
        assert_eq!(factors(Schedule::Constant, 1.0, &[0, 1, 3, 4, 5]), [0.2, 0.4, 0.8, 1.0, 1.0]);
        assert_eq!(factors(Schedule::Constant, 0.5, &[0, 1, 2, 3]), [0.4, 0.8, 1.0, 1.0]);
        let schedule = Schedule::Step { every: 1, factor: 0.5 };
        assert_eq!(factors(schedule, 2.0, &[4, 5, 9, 10]), [0.5, 0.3, 0.5, 0.25]);
    }
}
