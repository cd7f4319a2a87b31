//! What holds for all sweep files: how a setting is written does not matter, and nothing makes the reader panic.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use transect_common::digest::RunDigest;
use transect_common::sweep::SweepFile;

/// A setting: its table, its key, and ways to write one value. An empty way stands for leaving a default out.
type Written = (&'static str, &'static str, &'static [&'static str]);

const SETTINGS: [Written; 22] = [
    ("data", "set", &["\"mnist\"", "'mnist'", "\"\"\"mnist\"\"\"", "\"\\u006dnist\""]),
    ("data", "train_size", &["", "60000", "60_000", "0xea60"]),
    ("data", "test_size", &["5_000", "5000", "0b1001110001000"]),
    ("data", "label_noise", &["", "0", "0.0", "-0.0", "0e5"]),
    ("data", "partial", &["", "false"]),
    ("data", "mean", &["", "[0.1307]", "[1307e-4]", "[ 0.13070, ]"]),
    ("data", "std", &["[0.5]", "[5e-1]", "[\n  0.50 # half\n]"]),
    ("data", "augment", &["{ flip = true }", "{ flip = true, crop = 0 }", "{ crop = +0, flip = true }"]),
    ("model", "architecture", &["\"mlp\""]),
    ("model.mlp", "widths", &["", "[300, 100]", "[3_00, 0x64]"]),
    ("init", "scheme", &["", "\"pytorch\""]),
    ("init", "scale", &["", "1", "1.0", "10e-1"]),
    ("train", "seed", &["", "0", "+0"]),
    (
        "train",
        "optimizer",
        &[
            "{ name = \"sgd\", momentum = 0.9, weight_decay = 5e-4 }",
            "{ weight_decay = 0.0005, momentum = 0.90, name = 'sgd', lr = 0.1 }",
            "{ name = \"sgd\", lr = 1e-1, momentum = 9e-1, weight_decay = 0.5e-3, nesterov = false }",
        ],
    ),
    ("train", "schedule", &["\"cosine\"", "{ name = \"cosine\" }", "{ floor = 0, name = \"cosine\" }"]),
    ("train", "warmup_epochs", &["1", "1.0", "1e0"]),
    ("train", "epochs", &["", "10", "1_0"]),
    ("train", "batch_size", &["", "128"]),
    ("train", "keep", &["[\"init\", \"epoch-2\", \"final\"]", "[\"final\", \"epoch-2\", \"init\"]"]),
    ("probe", "alphas", &["{ start = 0, stop = 1, count = 3 }", "[0, 0.5, 1]", "[-0.0, 5e-1, 1e0]"]),
    ("probe", "layers", &["[\"all\", \"each\"]", "[\"all\", \"fc1\", \"fc2\", \"fc3\"]"]),
    ("probe", "splits", &["", "[\"train\", \"test\"]", "[\"test\", \"train\"]"]),
];

/// Writes the settings: `ways[i]` chooses how, `order[i]` where among those of its table.
fn written(ways: &[usize], order: &[u32], noise: u32) -> String {
    let mut tables: Vec<(&str, Vec<(u32, String)>)> = vec![];
    for (i, (table, key, spellings)) in SETTINGS.iter().enumerate() {
        let value = spellings[ways[i] % spellings.len()];
        if !value.is_empty() {
            let line = format!("{key}{0}={0}{value}", " ".repeat((order[i] % 3) as usize));
            match tables.iter_mut().find(|(name, _)| name == table) {
                Some((_, lines)) => lines.push((order[i], line)),
                None => tables.push((table, vec![(order[i], line)])),
            }
        }
    }
    // The probe stays last or first; the other tables turn around.
    let tables_count = tables.len();
    tables.rotate_left(noise as usize % tables_count);
    let mut text = format!("name = \"x\" # {noise}\n");
    for (table, mut lines) in tables {
        lines.sort();
        let header = if table == "probe" { "[[probe]]\nkind = \"line\"".to_owned() } else { format!("[{table}]") };
        writeln!(text, "{}# a comment = 3\n{header}", "\n".repeat((noise % 3) as usize)).unwrap();
        for (at, line) in lines {
            writeln!(text, "{}{line} # {at}", "\t".repeat((at % 2) as usize)).unwrap();
        }
    }
    text
}

fn digests(text: &str) -> Vec<(RunDigest, Vec<String>)> {
    let sweep = SweepFile::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let sweep = sweep.expand(&BTreeMap::new()).unwrap();
    let lines = |run: &transect_common::sweep::ExpandedRun| {
        run.lines.iter().map(|line| line.digest().to_string()).collect::<Vec<_>>()
    };
    sweep.runs.iter().map(|run| (run.digest.clone(), lines(run))).collect()
}

/// A valid file with an axis of every kind.
const AXES: &str = r#"
name = "axes"
[data]
set = ["mnist", "fashion-mnist"]
train_size = [6000, 60000]
mean = [[0.1], [0.2]]
augment = [{ flip = true }, { crop = 4 }, {}]
[model]
architecture = ["mlp", "lenet5"]
[model.mlp]
widths = [[], [10, 10]]
[train]
seed = "0..3"
optimizer = [{ name = "sgd", lr = [0.1, 0.2] }, "adamw"]
schedule = ["constant", { name = "step", every = [2, 3] }]
keep = ["init", "epoch-1", "final"]
[[probe]]
kind = "line"
from = ["init", "epoch-1"]
alphas = { start = -0.5, stop = 1.5, count = 9 }
layers = ["all", "each", "fc*"]
batch_norm = ["interpolate", "batch"]
subset = 100
"#;

fn read_and_expand(bytes: &[u8]) {
    if let Ok(sweep) = SweepFile::parse_bytes(bytes) {
        let _ = sweep.expand(&BTreeMap::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_a_setting_is_written_does_not_change_a_digest(
        ways in prop::collection::vec(0..60usize, SETTINGS.len()),
        order in prop::collection::vec(any::<u32>(), SETTINGS.len()),
        noise in any::<u32>(),
    ) {
        let first = written(&[0; SETTINGS.len()], &[0; SETTINGS.len()], 0);
        let other = written(&ways, &order, noise);
        prop_assert_eq!(digests(&first), digests(&other), "{}", other);
    }

    #[test]
    fn random_bytes_never_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_and_expand(&bytes);
    }

    #[test]
    fn random_toml_like_text_never_makes_the_reader_panic(text in "[a-z\\[\\]{}=\"'.,0-9#\\n -]{0,400}") {
        read_and_expand(text.as_bytes());
    }

    #[test]
    fn mutated_files_never_make_the_reader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..30usize, "[a-z0-9\\[\\]{}=\"'.,\\n -]{0,8}"), 1..4),
    ) {
        let mut text = AXES.as_bytes().to_vec();
        for (at, cut, insert) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.bytes());
        }
        read_and_expand(&text);
    }

    #[test]
    fn any_value_in_any_setting_never_makes_the_reader_panic(
        setting in prop::sample::select(SETTINGS.to_vec()),
        value in prop_oneof![
            Just("[[[]]]"), Just("[[], []]"), Just("{}"), Just("[{}]"), Just("\"0..3\""), Just("\"..\""), Just("[\"1..2\", 3]"),
            Just("{ start = 1, stop = 3, count = 3 }"), Just("1979-05-27"), Just("-9223372036854775808"), Just("inf"),
            Just("[nan]"), Just("true"), Just("\"\""), Just("[\"sgd\", 1]"), Just("{ name = 3 }"), Just("{ name = [\"sgd\", \"adamw\"] }"),
            Just("[{ name = [\"step\", \"cosine\"] }]"), Just("\"\\u0000\""), Just("[[0.1], [0.1, 0.2]]"),
        ],
    ) {
        let (table, key, _) = setting;
        let rest: String = SETTINGS
            .iter()
            .filter(|(t, k, ways)| (*t, *k) != (table, key) && *t != "probe" && !ways[0].is_empty())
            .map(|(t, k, ways)| format!("{t}.{k} = {}\n", ways[0]))
            .collect::<Vec<_>>()
            .concat();
        let text = if table == "probe" {
            format!("name = \"x\"\n{rest}[[probe]]\nkind = \"line\"\n{key} = {value}\n")
        } else {
            format!("name = \"x\"\n{rest}{table}.{key} = {value}\n[[probe]]\nkind = \"line\"\n")
        };
        read_and_expand(text.as_bytes());
    }
}

#[test]
fn the_file_of_all_axes_is_right() {
    let sweep = SweepFile::parse(AXES).unwrap().expand(&BTreeMap::new()).unwrap();
    // sets x sizes x means x augmentations x (2 widths + lenet5) x seeds x (2 rates + adamw) x (constant + 2 steps)
    assert_eq!(sweep.runs.len(), 2 * 2 * 2 * 3 * (2 + 1) * 3 * (2 + 1) * (1 + 2));
}
