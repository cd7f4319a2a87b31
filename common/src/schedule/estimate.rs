//! Time left, learned from the jobs that ended.

/// Jobs of one kind and model that are done, wherever they ran.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// Their cost, summed.
    pub cost: f64,
    /// Their seconds of work, summed.
    pub seconds: f64,
}

impl Rate {
    /// Seconds that a job of `cost` takes; none while nothing was learned.
    pub fn seconds_for(self, cost: f64) -> Option<f64> {
        (self.cost > 0.0 && self.seconds > 0.0).then(|| cost / self.cost * self.seconds)
    }
}

/// Jobs of one kind and model that a sweep still waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rest {
    /// Their cost, summed.
    pub cost: f64,
    /// What jobs of the same kind and model took.
    pub own: Rate,
    /// What jobs of the same kind took, of all models; asked when `own` says nothing.
    pub kind: Rate,
}

/// Seconds until all of `rest` is done by `workers` (taken as 1 where none is at work); none while nothing is known of
/// some part. It is an average: it knows neither how jobs wait for each other nor that workers differ.
pub fn seconds_left(rest: &[Rest], workers: u64) -> Option<f64> {
    let mut seconds = 0.0;
    for part in rest.iter().filter(|part| part.cost > 0.0) {
        seconds += part.own.seconds_for(part.cost).or_else(|| part.kind.seconds_for(part.cost))?;
    }
    Some(seconds / workers.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Rate = Rate { cost: 0.0, seconds: 0.0 };
    const HALF: Rate = Rate { cost: 10.0, seconds: 5.0 };

    #[test]
    fn what_is_left_takes_as_long_as_what_was_done() {
        assert_eq!(seconds_left(&[Rest { cost: 100.0, own: HALF, kind: NOTHING }], 1), Some(50.0));
        assert_eq!(seconds_left(&[Rest { cost: 100.0, own: NOTHING, kind: HALF }], 5), Some(10.0));
        assert_eq!(seconds_left(&[], 0), Some(0.0));
    }

    #[test]
    fn nothing_is_said_of_what_never_ran() {
        let known = Rest { cost: 1.0, own: HALF, kind: HALF };
        let unknown = Rest { cost: 1.0, own: NOTHING, kind: NOTHING };
        assert_eq!(seconds_left(&[known, unknown], 1), None);
        assert_eq!(seconds_left(&[known, Rest { cost: 0.0, ..unknown }], 1), Some(0.5));
    }
}
