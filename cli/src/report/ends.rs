//! Where lines end that lead out of their run: named by how the other run differs, so that lines of different runs which
//! do the same have the same name.

use std::collections::BTreeMap;

use super::groups::{self, CASE, Values, is_seed, plain};
use crate::summary::manner;

/// Characters of a digest that are shown.
const DIGITS: usize = 12;

/// Runs that lines may lead to, by digest.
#[derive(Debug, Default)]
pub struct Ends<'a> {
    runs: BTreeMap<&'a str, (Values, String)>,
}

impl<'a> Ends<'a> {
    /// Makes a run known.
    pub fn know(&mut self, digest: &'a str, values: Values, seeds: String) {
        self.runs.entry(digest).or_insert((values, seeds));
    }

    /// The end of a line of `run`: `final`; `final of seed 3, aligned`; `final of case b`; `random start
    /// 7`. `elsewhere` is `run:DIGEST`, `init:SEED` or none.
    pub fn name(&self, run: &str, tag: &str, elsewhere: Option<&str>, align: bool, normalize: &str) -> String {
        let place = match elsewhere.and_then(|elsewhere| elsewhere.split_once(':')) {
            None => tag.to_owned(),
            Some(("init", seed)) => format!("random start {seed}"),
            Some((_, other)) => format!("{tag} of {}", self.other(run, other)),
        };
        place + &manner(align, normalize)
    }

    fn other(&self, run: &str, other: &str) -> String {
        let unknown = || format!("run {}", other.get(..DIGITS).unwrap_or(other));
        let (Some((own, own_seeds)), Some((values, seeds))) = (self.runs.get(run), self.runs.get(other)) else {
            return unknown();
        };
        let mut parts = vec![];
        if let Some(case) = values.get(CASE).filter(|case| own.get(CASE) != Some(case)) {
            parts.push(format!("case {}", plain(case)));
        } else {
            let differs = |(key, value): &(&String, &serde_json::Value)| {
                !is_seed(key) && !groups::is_note(key) && own.get(*key) != Some(value)
            };
            let named = |(key, value): (&String, &serde_json::Value)| format!("{key}={}", plain(value));
            parts.extend(values.iter().filter(differs).map(named));
        }
        if seeds != own_seeds {
            parts.push(seeds.replace("train.seed.", "seed.").replace("train.seed=", "seed "));
        }
        if parts.is_empty() { unknown() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_named_by_how_the_other_run_differs() {
        let mut ends = Ends::default();
        let mut know = |digest: &'static str, settings: &str| {
            let values = groups::values("mlp", settings);
            let seeds = groups::seeds(&values, None);
            ends.know(digest, values, seeds);
        };
        know("a0", r#"{"train.seed":0,"case":"a"}"#);
        know("a1", r#"{"train.seed":1,"case":"a"}"#);
        know("b0", r#"{"train.seed":0,"case":"b","train.lr":1}"#);
        know("s3", r#"{"train.seed":3,"case":"a","source of":"x"}"#);
        know("l0", r#"{"train.seed":0,"case":"a","train.lr":2}"#);
        let name = |run, elsewhere| ends.name(run, "final", elsewhere, false, "none");
        assert_eq!(name("a0", None), "final");
        assert_eq!(name("a0", Some("init:7")), "random start 7");
        assert_eq!([name("a0", Some("run:s3")), name("a1", Some("run:s3"))], ["final of seed 3", "final of seed 3"]);
        assert_eq!(name("a0", Some("run:b0")), "final of case b");
        assert_eq!(name("a1", Some("run:b0")), "final of case b, seed 0");
        assert_eq!(name("a0", Some("run:l0")), "final of train.lr=2");
        assert_eq!(name("a0", Some("run:0123456789abcdef")), "final of run 0123456789ab");
        assert_eq!(
            ends.name("a0", "final", Some("run:a1"), true, "filter"),
            "final of seed 1, aligned, filter-normalised"
        );
    }
}
