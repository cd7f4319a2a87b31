//! What an undisturbed history ends in, as pure functions: the bytes that training a run gives, step by step, and the
//! losses that measuring its lines gives. Whatever is disturbed must end in the same.

use std::collections::BTreeMap;

use transect_common::digest::ArtifactDigest;
use transect_common::line::LineSpec;

/// Steps of every training.
pub const STEPS: u64 = 4;
/// Every checkpoint and snapshot has so many bytes.
pub const BYTES: u64 = 64;

fn mix(words: &[&str]) -> String {
    blake3::hash(words.join("|").as_bytes()).to_hex().to_string()
}

/// A training before its first step.
pub fn start(run: &str) -> String {
    mix(&["start", run])
}

/// After one more step. On another kind of device than before, the bytes come out otherwise.
pub fn step(run: &str, state: &str, is_elsewhere: bool) -> String {
    mix(&["step", run, state, if is_elsewhere { "elsewhere" } else { "" }])
}

/// A training after so many steps, undisturbed.
pub fn trained(run: &str, steps: u64) -> String {
    (0..steps).fold(start(run), |state, _| step(run, &state, false))
}

/// The artifact that holds a state.
pub fn artifact(state: &str) -> ArtifactDigest {
    ArtifactDigest::of(state.as_bytes())
}

/// The checkpoints of a run, undisturbed.
pub fn checkpoints(run: &str) -> BTreeMap<String, String> {
    let of = |steps| artifact(&trained(run, steps)).to_string();
    BTreeMap::from([("init".to_owned(), of(0)), ("final".to_owned(), of(STEPS))])
}

/// The loss at a point of a line between these checkpoints.
pub fn loss(line: &LineSpec, split: &str, alpha: f64, from: &str, to: &str) -> f64 {
    let word = mix(&["loss", &line.mask, split, &alpha.to_bits().to_string(), from, to]);
    let number = u32::from_str_radix(&word[..6], 16).unwrap_or_default();
    f64::from(number) / 1000.0
}
