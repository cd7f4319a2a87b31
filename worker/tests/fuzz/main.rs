//! Readers of files that others wrote, on damaged ones: no panic, no more memory than the file is worth, and errors that
//! say which file. `make fuzz CASES=N` tries more; what was ever found is in `regressions`, and tried first.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod data;
#[path = "../../../common/tests/fuzz/memory.rs"]
mod memory;
#[path = "../../../common/tests/fuzz/mutate.rs"]
mod mutate;
mod snapshots;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// As many cases as are asked for, else as many as take a second or two.
fn config(cases: u32, regressions: &'static str) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(regressions)) as Box<_>);
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 5_000, ..ProptestConfig::default() }
}
