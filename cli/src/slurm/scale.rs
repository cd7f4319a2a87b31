//! How many worker jobs to add or cancel. Pure: time is passed in.

use std::time::Duration;

/// What the user allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Worker jobs that there are always.
    pub min: u32,
    /// Worker jobs that there are at most.
    pub max: u32,
    /// Jobs that one worker is wanted for, at least 1.
    pub jobs_per_worker: u32,
    /// Too many must have been there for so long before any is cancelled.
    pub cool_down: Duration,
}

/// What one sweep wants.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Jobs that wait or are held. Those that several sweeps share count for each.
    pub jobs: u64,
    /// It may have no more workers.
    pub most_workers: Option<u32>,
}

/// Since when there are too many.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    surplus_since: Option<Duration>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Submit so many.
    Add(u32),
    /// Cancel so many of those that wait.
    Cancel(u32),
}

/// Worker jobs that the work is worth.
fn wanted(limits: &Limits, demand: &[Demand]) -> u32 {
    let per_worker = u64::from(limits.jobs_per_worker.max(1));
    let of = |sweep: &Demand| {
        let workers = sweep.jobs.div_ceil(per_worker);
        sweep.most_workers.map_or(workers, |most| workers.min(most.into()))
    };
    let all = demand.iter().map(of).fold(0, u64::saturating_add);
    u32::try_from(all).unwrap_or(u32::MAX).clamp(limits.min, limits.max)
}

/// What to do now. What is missing is added at once; what is too much is cancelled, of what waits alone, when it is more
/// than a quarter of what is wanted and has been for the cool-down. Running workers are left to leave by themselves.
pub fn decide(
    limits: &Limits,
    demand: &[Demand],
    waiting: u32,
    running: u32,
    memory: &mut Memory,
    now: Duration,
) -> Act {
    let wanted = wanted(limits, demand);
    let there = waiting.saturating_add(running);
    let surplus = there.saturating_sub(wanted);
    if surplus <= wanted / 4 {
        memory.surplus_since = None;
        return if there < wanted { Act::Add(wanted - there) } else { Act::Nothing };
    }
    let since = *memory.surplus_since.get_or_insert(now);
    let cancelled = surplus.min(waiting);
    if cancelled == 0 || now.saturating_sub(since) < limits.cool_down {
        return Act::Nothing;
    }
    memory.surplus_since = None;
    Act::Cancel(cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { min: 1, max: 20, jobs_per_worker: 10, cool_down: Duration::from_secs(100) };

    fn jobs(jobs: u64) -> [Demand; 1] {
        [Demand { jobs, most_workers: None }]
    }

    fn once(demand: &[Demand], waiting: u32, running: u32) -> Act {
        let limits = Limits { cool_down: Duration::ZERO, ..LIMITS };
        decide(&limits, demand, waiting, running, &mut Memory::default(), Duration::ZERO)
    }

    #[test]
    fn as_many_workers_as_the_work_is_worth_within_the_limits() {
        assert_eq!(once(&jobs(95), 2, 3), Act::Add(5));
        assert_eq!(once(&jobs(1_000_000), 0, 0), Act::Add(20));
        assert_eq!(once(&[], 0, 0), Act::Add(1));
        assert_eq!(once(&jobs(10), 0, 1), Act::Nothing);
        assert_eq!(once(&jobs(u64::MAX), 20, 0), Act::Nothing);
    }

    #[test]
    fn a_sweep_with_a_limit_on_workers_wants_no_more() {
        let demand = [Demand { jobs: 1000, most_workers: Some(2) }, Demand { jobs: 15, most_workers: Some(9) }];
        assert_eq!(once(&demand, 0, 0), Act::Add(4));
    }

    #[test]
    fn only_those_that_wait_are_cancelled() {
        assert_eq!(once(&[], 3, 10), Act::Cancel(3));
        assert_eq!(once(&[], 0, 10), Act::Nothing);
        assert_eq!(once(&[], 10, 0), Act::Cancel(9));
    }

    #[test]
    fn a_small_or_short_surplus_is_left_alone() {
        // 12 where 10 are wanted.
        assert_eq!(once(&jobs(100), 12, 0), Act::Nothing);
        let mut memory = Memory::default();
        let mut at = |demand: &[Demand], waiting, seconds| {
            decide(&LIMITS, demand, waiting, 0, &mut memory, Duration::from_secs(seconds))
        };
        assert_eq!(at(&jobs(10), 8, 0), Act::Nothing);
        assert_eq!(at(&jobs(10), 8, 99), Act::Nothing);
        // The work came back, so the time begins anew.
        assert_eq!(at(&jobs(80), 8, 110), Act::Nothing);
        assert_eq!(at(&jobs(10), 8, 120), Act::Nothing);
        assert_eq!(at(&jobs(10), 8, 219), Act::Nothing);
        assert_eq!(at(&jobs(10), 8, 220), Act::Cancel(7));
    }
}
