//! Requests that nobody with good intentions sends, to every method of every service: each is answered with a status that
//! is not our fault, nothing panics, and the store is sound afterwards. `make fuzz CASES=N` tries more; what was ever found
//! is in `regressions`, and tried first.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod alike;
mod messages;
#[path = "../../../../common/tests/fuzz/mutate.rs"]
mod mutate;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use messages::{Chance, Schema};
use mutate::{Damage, damaged, damages};
use world::World;

/// Panics anywhere, also in tasks whose end nobody looks at.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// `cases` take a second or two; where others are asked for, one in `cost` of them is tried.
fn config(cases: u32, cost: u32, regressions: &'static str) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse::<u32>().ok());
    let cases = asked.map_or(cases, |asked| asked.div_ceil(cost));
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(regressions)) as Box<_>);
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 2_000, ..ProptestConfig::default() }
}

/// What decides one request, and the damage done to it.
type Asked = (u64, Option<Vec<Damage>>);

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let damages = prop_oneof![3 => Just(None), 1 => damages().prop_map(Some)];
    prop::collection::vec((any::<u64>(), damages), 1..16)
}

async fn ask_all(asked: &[Asked]) {
    let (world, schema) = (World::in_memory().await, Schema::new());
    for (seed, damages) in asked {
        let mut chance = Chance::new(*seed);
        let method = chance.pick(&schema.methods);
        let mut messages: Vec<Vec<u8>> = (0..if method.streams { 1 + chance.below(3) } else { 1 })
            .map(|_| schema.message(&method.input, &world.known, &mut chance))
            .collect();
        if let Some(damages) = damages {
            messages[0] = damaged(&messages[0], &messages.clone(), damages);
        }
        let answer = world.call(&method.path, messages.clone()).await;
        if let Err(status) = answer {
            let said = format!("{}: {status:?}", method.path);
            assert!(!world::is_our_fault(&status), "{said} to {messages:?}");
            assert!(status.message().len() < 4096, "{said}");
        }
        world.pass(chance.below(20_000)).await;
        world.is_sound();
    }
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something panicked");
}

proptest! {
    #![proptest_config(config(100, 1, "tests/fuzz/regressions/requests.txt"))]

    #[test]
    fn every_request_is_answered_and_leaves_the_store_sound(asked in asked()) {
        static COUNTED: std::sync::Once = std::sync::Once::new();
        COUNTED.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // The other test's own asserts are none of ours.
                let is_other = info.location().is_some_and(|at| at.file().ends_with("alike.rs"));
                PANICS.fetch_add(usize::from(!is_other), Ordering::Relaxed);
                before(info);
            }));
        });
        PANICS.store(0, Ordering::Relaxed);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(ask_all(&asked));
    }
}
