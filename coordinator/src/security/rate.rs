//! How often somebody may call: a bucket that fills at a steady rate and is emptied by calls. Time is passed in.

use std::time::Duration;

/// So many calls a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls a second.
    pub per_second: f64,
    /// Calls at once, after a quiet time.
    pub burst: f64,
}

/// What is left to somebody.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    left: f64,
    /// When that was so, counted from any moment.
    at: Duration,
}

impl Bucket {
    /// A full one at `now`.
    pub fn full(rate: Rate, now: Duration) -> Self {
        Self { left: rate.burst, at: now }
    }

    /// Takes one call at `now`, or says how long to wait for it.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.at);
        self.left = (self.left + passed.as_secs_f64() * rate.per_second).min(rate.burst);
        self.at = self.at.max(now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / rate.per_second))
    }

    /// True when nothing is known of its owner that a new bucket would not say.
    pub fn is_full(&self, rate: Rate, now: Duration) -> bool {
        self.left + now.saturating_sub(self.at).as_secs_f64() * rate.per_second >= rate.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3.0 };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_then_calls_pass_at_the_rate() {
        let mut bucket = Bucket::full(RATE, at(0));
        let passed = (0..10).filter(|_| bucket.take(RATE, at(0)).is_ok()).count();
        assert_eq!(passed, 3);
        assert_eq!(bucket.take(RATE, at(0)), Err(at(500)));
        let passed = (0..=1000).filter(|ms| bucket.take(RATE, at(ms * 10)).is_ok()).count();
        assert_eq!(passed, 20, "two a second for ten seconds");
    }

    #[test]
    fn the_wait_that_is_said_is_enough() {
        let mut bucket = Bucket::full(RATE, at(0));
        while bucket.take(RATE, at(0)).is_ok() {}
        let wait = bucket.take(RATE, at(100)).unwrap_err();
        assert_eq!(bucket.take(RATE, at(100) + wait), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let mut bucket = Bucket::full(RATE, at(10_000));
        while bucket.take(RATE, at(10_000)).is_ok() {}
        assert!(bucket.take(RATE, at(0)).is_err());
        assert!(bucket.take(RATE, at(10_100)).is_err(), "only 100 ms have passed");
        assert!(bucket.is_full(RATE, at(12_000)));
    }
}
