//! Mistakes in sweep files: each is answered with its place and a sentence that says what would be right.

mod axes;
mod data;
mod names;
mod probes;
mod schedule;
mod text;
mod values;

use std::fmt::Write as _;

use transect_common::sweep::SweepFile;

/// Four lines that make a whole sweep file; a case adds its own from line 5.
const SWEEP: &str = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n";
/// The same without its optimiser: a case begins on line 4.
const NO_OPTIMIZER: &str = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\n";
/// A name alone: a case begins on line 2.
const NAME: &str = "name = \"x\"\n";
const PROBE: &str = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = [\"mlp\", \"lenet5\"]\ntrain.optimizer = \"sgd\"\n[[probe]]\nkind = \"line\"\n";

fn mistakes(text: &str) -> Vec<String> {
    match SweepFile::parse(text) {
        Ok(_) => vec![],
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

/// Every case has exactly the mistakes that it names.
fn check(head: &str, cases: &[(&str, &[&str])]) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let found = mistakes(&format!("{head}{text}"));
        if found != *expected {
            writeln!(wrong, "\n{text}\n  expected {expected:#?}\n  found {found:#?}").expect("a string takes text");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_heads_of_the_cases_are_right() {
    check("", &[(SWEEP, &[]), (&format!("{NO_OPTIMIZER}train.optimizer.name = \"adamw\""), &[]), (PROBE, &[])]);
}
