//! The whole way from lines to a sweep file.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::sweep::{ExpandedRun, SweepFile};

use super::*;
use crate::report::synthetic::{FILE, gathered};

fn suggested(setting: Option<&str>) -> String {
    let gathered = gathered();
    let measured = measured(&gathered);
    let facts = facts::read(&measured, setting, None, 0.1).unwrap();
    let runs: Vec<&str> = facts.runs.iter().map(|&run| measured.runs[run].digest.as_str()).collect();
    let base = base::read(&gathered.file, &runs).unwrap();
    file::text(&gathered.sweep, &facts, &base, 0)
}

#[test]
fn the_text_is_the_expected_one() {
    let text = suggested(None);
    let expected = include_str!("expected.toml");
    assert!(text == expected, "the suggested sweep changed; if it should have, store this as expected.toml:\n{text}");
}

#[test]
fn it_is_toml_with_a_case_for_the_baseline_each_rule_and_each_control() {
    let parsed: toml::Table = suggested(None).parse().unwrap();
    let cases = parsed["case"].as_array().unwrap();
    let labels: Vec<&str> = cases.iter().map(|case| case["label"].as_str().unwrap()).collect();
    let expected = [
        "uniform",
        "criticality-lr",
        "criticality-lr-control",
        "freeze-least",
        "freeze-least-control",
        "half-drop-decay",
        "half-drop-decay-control",
    ];
    assert_eq!(labels, expected);
    let lr = |case: usize, layer: &str| cases[case]["train"]["layers"][layer]["lr"].as_float().unwrap();
    assert!(lr(1, "fc1") > lr(1, "fc2") && lr(1, "fc2") > lr(1, "fc3"));
    let rates =
        |case| ["fc1", "fc2", "fc3"].map(|layer| lr(case, layer).to_bits()).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(rates(1), rates(2), "the control deals out the same rates");
    assert_eq!(cases[3]["train"]["layers"].as_table().unwrap().keys().collect::<Vec<_>>(), ["fc3"]);
}

#[test]
fn it_is_a_sweep_file_whose_uniform_case_trains_nothing_anew() {
    let text = suggested(Some("weight_decay=5e-4"));
    let runs = |text: &str| SweepFile::parse(text).unwrap().expand(&BTreeMap::new()).unwrap().runs;
    let original: BTreeSet<String> = runs(FILE).iter().map(|run| run.digest.to_string()).collect();
    let new = runs(&text);
    assert_eq!(new.len(), 7 * 6, "seven cases of six seeds");
    let (uniform, others): (Vec<_>, Vec<_>) = new.iter().partition(|run| run.settings["case"] == "uniform");
    assert!(uniform.iter().all(|run| original.contains(run.digest.as_str())));
    assert!(others.iter().all(|run| !original.contains(run.digest.as_str())));
    let probed = |runs: &[ExpandedRun]| runs[0].lines.iter().find(|line| line.mask == "all").unwrap().digest();
    assert_eq!(probed(&new), probed(&runs(FILE)), "nor is the whole line walked again");
}

#[test]
fn rules_that_do_not_apply_are_named_with_their_reason() {
    let text = suggested(Some("weight_decay=0"));
    assert!(text.contains("# No case `half-drop-decay`: the base recipe has no weight decay to distribute."), "{text}");
}

#[test]
fn what_a_sweep_lacks_is_said_with_what_to_do() {
    let mut gathered = gathered();
    let error = |gathered: &_, setting| facts::read(&measured(gathered), setting, None, 0.1).unwrap_err();
    let unknown = error(&gathered, Some("none"));
    assert!(unknown.contains("`none`") && unknown.contains("weight_decay=0; weight_decay=5e-4"), "{unknown}");
    gathered.points.retain(|point| point.mask == "all");
    assert!(error(&gathered, None).contains("layers = [\"all\", \"each\"]"));
    gathered.points.clear();
    gathered.curves.clear();
    assert!(error(&gathered, None).contains("no results yet"));
    let imported = "name = \"x\"\n[imported]\nruns = [\"a\"]\n[data]\nset = \"mnist\"\n[[probe]]\nkind = \"line\"\n";
    assert!(base::read(imported, &[]).unwrap_err().contains("imported checkpoints"));
}
