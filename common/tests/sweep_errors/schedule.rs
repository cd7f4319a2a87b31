//! `[schedule]`: what it takes, and what it answers.

use super::{SWEEP, check};
use std::collections::BTreeMap;
use transect_common::schedule::Schedule;
use transect_common::sweep::SweepFile;

#[test]
fn wrong_scheduling_is_answered_in_place() {
    check(
        SWEEP,
        &[
            ("schedule.priority = 1.5", &["5:21: schedule.priority: must be a whole number from -1000 to 1000"]),
            ("schedule.priority = 2000", &["5:21: schedule.priority: must be a whole number from -1000 to 1000"]),
            ("schedule.share = 0", &["5:18: schedule.share: must be above 0 and finite, found 0"]),
            ("schedule.share = 5000", &["5:18: schedule.share: must be above 0 and at most 1000"]),
            ("schedule.max_workers = 0", &["5:24: schedule.max_workers: must be from 1 to 1,000,000, found 0"]),
            (
                "schedule.memory = \"16\"",
                &["5:19: schedule.memory: must be a size such as \"16 GiB\" (MiB, GiB or TiB, above 0)"],
            ),
            (
                "schedule.prio = 1",
                &[
                    "5:10: schedule.prio: unknown setting; [schedule] has: priority, share, max_workers, device, memory, labels",
                ],
            ),
        ],
    );
}

#[test]
fn scheduling_changes_no_digest() {
    let plain = SweepFile::parse(SWEEP).unwrap().expand(&BTreeMap::new()).unwrap();
    assert_eq!(plain.schedule, Schedule::default());
    let text = format!(
        "{SWEEP}\n[schedule]\npriority = -3\nshare = 2.5\nmax_workers = 4\ndevice = \"cuda\"\nmemory = \"16 GiB\"\nlabels = [\"a100\", \"fast\"]\n"
    );
    let scheduled = SweepFile::parse(&text).unwrap().expand(&BTreeMap::new()).unwrap();
    assert_eq!(scheduled.runs, plain.runs);
    let schedule = scheduled.schedule;
    assert_eq!((schedule.priority, schedule.share, schedule.max_workers), (-3, 2.5, Some(4)));
    assert_eq!(schedule.requires.device.as_deref(), Some("cuda"));
    assert_eq!(schedule.requires.memory_bytes, 16 << 30);
    assert_eq!(schedule.requires.labels.iter().map(String::as_str).collect::<Vec<_>>(), ["a100", "fast"]);
}
