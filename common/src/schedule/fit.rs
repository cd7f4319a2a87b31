//! Whether a job fits into the time that a worker has left.

use super::Rate;

/// A job that takes so many times longer than the worker has left is not begun.
const BEGUN: f64 = 20.0;
/// A worker that has less is given nothing: starting, loading data and handing over take as long.
const FLOOR: f64 = 20.0;

/// How a job meets a worker's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Give it.
    Fits,
    /// It will not end in time, but what it does is kept (a snapshot, the points measured), so another goes on from there.
    InPart,
    /// Keep it for another.
    TooLong,
}

/// Whether a job that should take `estimate` seconds (none: not known) suits a worker with `seconds_left`. Trainings keep
/// snapshots and lines their points, so a job that is too long is begun all the same where enough of it can be done;
/// below a twentieth of it, starting again elsewhere costs more than is won.
pub fn fits(estimate: Option<f64>, seconds_left: Option<f64>) -> Fit {
    let Some(left) = seconds_left else { return Fit::Fits };
    if left < FLOOR {
        return Fit::TooLong;
    }
    match estimate {
        None => Fit::InPart,
        Some(estimate) if estimate <= left => Fit::Fits,
        Some(estimate) if BEGUN * left >= estimate => Fit::InPart,
        Some(_) => Fit::TooLong,
    }
}

/// The same as a bound: jobs that cost more than this do not suit the worker; none when nothing does.
pub fn most_cost(rate: Rate, seconds_left: Option<f64>) -> Option<f64> {
    let Some(left) = seconds_left else { return Some(f64::INFINITY) };
    let a_second = (rate.cost > 0.0 && rate.seconds > 0.0).then(|| rate.cost / rate.seconds);
    (left >= FLOOR).then(|| a_second.map_or(f64::INFINITY, |cost| BEGUN * left * cost))
}

/// How many of the jobs that a worker asks for it should be given, when each takes about `estimate` seconds: as many as
/// it can end, at least one.
pub fn most_jobs(asked: u32, estimate: Option<f64>, seconds_left: Option<f64>) -> u32 {
    match (estimate, seconds_left) {
        (Some(estimate), Some(left)) if estimate > 0.0 => asked.min((left / estimate) as u32).max(1),
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_end_everything_fits() {
        assert_eq!(fits(Some(1e9), None), Fit::Fits);
        assert_eq!(fits(None, None), Fit::Fits);
    }

    #[test]
    fn near_its_end_a_worker_is_given_what_it_can_do() {
        assert_eq!(fits(Some(100.0), Some(100.0)), Fit::Fits);
        assert_eq!(fits(Some(101.0), Some(100.0)), Fit::InPart);
        assert_eq!(fits(Some(2001.0), Some(100.0)), Fit::TooLong);
        assert_eq!(fits(None, Some(100.0)), Fit::InPart);
        assert_eq!(fits(Some(1.0), Some(19.0)), Fit::TooLong);
    }

    #[test]
    fn the_bound_on_costs_says_the_same() {
        let rate = Rate { cost: 50.0, seconds: 25.0 };
        for left in [None, Some(0.0), Some(19.0), Some(20.0), Some(1000.0)] {
            for cost in [0.0, 1.0, 799.0, 800.0, 801.0, 40_000.0, 40_001.0, 1e9] {
                let is_given = most_cost(rate, left).is_some_and(|most| cost <= most);
                assert_eq!(is_given, fits(rate.seconds_for(cost), left) != Fit::TooLong, "{left:?} {cost}");
            }
        }
        assert_eq!(most_cost(Rate::default(), Some(30.0)), Some(f64::INFINITY));
    }

    #[test]
    fn no_more_jobs_are_given_than_can_be_ended() {
        assert_eq!(most_jobs(100, Some(10.0), Some(60.0)), 6);
        assert_eq!(most_jobs(100, Some(100.0), Some(60.0)), 1);
        assert_eq!(most_jobs(100, None, Some(60.0)), 100);
        assert_eq!(most_jobs(100, Some(1.0), None), 100);
    }
}
