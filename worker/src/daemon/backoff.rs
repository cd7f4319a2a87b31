//! How long to wait before trying again.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// The pause after `failures` failures in a row (1 or more): twice as long each time, at most 5 s, of which `jitter`
/// in [0, 1) takes off up to half, so that workers that lost one coordinator do not come back in step.
pub fn pause(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(1 << doublings).min(LONGEST).mul_f64(1.0 - 0.5 * jitter)
}

/// Counts failures in a row and waits between them.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Failures so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes one more failure and waits.
    pub async fn wait(&mut self) {
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause(self.failures, jitter())).await;
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number in [0, 1) that differs between processes and calls. Nothing measured depends on it.
fn jitter() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_and_jitter_takes_at_most_half() {
        let millis = |failures, jitter| pause(failures, jitter).as_millis();
        assert_eq!([1, 2, 3, 4, 5].map(|n| millis(n, 0.0)), [200, 400, 800, 1600, 3200]);
        assert_eq!([6, 7, 100, u32::MAX].map(|n| millis(n, 0.0)), [5000; 4]);
        for failures in 0..20 {
            let (least, most) = (millis(failures, 0.999_999), millis(failures, 0.0));
            assert!(least >= most / 2 && least < most, "{failures}: {least} to {most}");
        }
    }

    #[test]
    fn jitter_is_a_share() {
        assert!((0..1000).map(|_| jitter()).all(|j| (0.0..1.0).contains(&j)));
    }
}
