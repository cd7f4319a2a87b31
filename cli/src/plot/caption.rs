//! What a figure says about itself: title, what it depends on, how to read it, and the name of its file.

use std::collections::BTreeSet;

use super::figure::{self, Heading};
use super::heatmap;
use super::series::{Group, Measure, Panel};
use super::settings::Setting;

/// Of the losses or accuracies on lines.
pub fn of_lines(sweep: &str, measure: Measure, group: &Group) -> Heading {
    let (from, to, _) = &group.line;
    let what = match measure {
        Measure::Loss => "loss",
        Measure::Accuracy => "accuracy",
    };
    let mut dependence: Vec<String> = held(group).into_iter().collect();
    dependence.extend(images(group.panels()));
    Heading {
        title: format!("{sweep}: {what} on the line from {from} to {to}"),
        notes: notes(group, dependence),
        x_title: format!("alpha (0 = {from}, 1 = {to})"),
        legend: "what moves".to_owned(),
    }
}

/// Of the mean losses on lines as a picture of layers by alpha.
pub fn of_layers(sweep: &str, group: &Group) -> Heading {
    let lines = of_lines(sweep, Measure::Loss, group);
    let mut sentences: Vec<String> = held(group).into_iter().collect();
    sentences.extend(images(group.columns.iter().filter_map(heatmap::chosen)));
    sentences.push(match seeds(group) {
        Some((2.., seeds)) => format!("Colours: mean of {seeds}, grey where one is not finite."),
        Some((_, seed)) => format!("Colours: {seed}, grey where the loss is not finite."),
        None => "Grey where the loss is not finite.".to_owned(),
    });
    let mut notes: Vec<String> = settings(group).into_iter().collect();
    notes.push(sentences.join(" "));
    Heading {
        title: format!("{sweep}: loss of every layer's line from {} to {}", group.line.0, group.line.1),
        notes,
        ..lines
    }
}

/// Of training curves.
pub fn of_training(sweep: &str, group: &Group) -> Heading {
    let dependence =
        vec!["Train: mean over each epoch's batches as they were trained on. Test: after each epoch.".to_owned()];
    Heading {
        title: format!("{sweep}: training"),
        notes: notes(group, dependence),
        x_title: "epoch".to_owned(),
        legend: "split".to_owned(),
    }
}

/// The part of a file's name that tells `group` from the others: its settings that differ among them, or nothing.
/// Only letters, digits, `.`, `_` and `-`, at most 60 of them.
pub fn slug(group: &Group, groups: &[Group]) -> String {
    let differs = |part: fn(&Group) -> &str| groups.iter().any(|other| part(other) != part(group));
    let mut parts: Vec<String> = vec![];
    for setting in &group.settings {
        if groups.iter().any(|other| !other.settings.contains(setting)) {
            parts.push(format!("{}-{}", setting.short_name(), setting.value));
        }
    }
    if differs(|other| &other.line.0) {
        parts.push(format!("from-{}", group.line.0));
    }
    if differs(|other| &other.line.1) {
        parts.push(format!("to-{}", group.line.1));
    }
    if differs(|other| &other.line.2) {
        parts.push(format!("hold-{}", group.line.2));
    }
    let mut slug = file_name(&parts.join("-"));
    slug.truncate(60);
    slug
}

/// `text` with everything that is awkward in the name of a file replaced by `-`.
pub fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = text.chars().map(plain).collect();
    name.trim_matches(['-', '.']).to_owned()
}

fn notes(group: &Group, mut sentences: Vec<String>) -> Vec<String> {
    let mut notes: Vec<String> = settings(group).into_iter().collect();
    sentences.extend(runs(group));
    match group.not_finite() {
        0 => {}
        1 => sentences.push("One value is not finite and leaves a gap.".to_owned()),
        count => sentences.push(format!("{} values are not finite and leave gaps.", thousands(count as u64))),
    }
    match figure::cut_off(&group.columns) {
        0 => {}
        1 => sentences.push("One loss lies beyond its axis.".to_owned()),
        count => sentences.push(format!("{} losses lie beyond their axis.", thousands(count as u64))),
    }
    notes.push(sentences.join(" "));
    notes
}

/// `lr = 0.1, momentum = 0.9`
fn settings(group: &Group) -> Option<String> {
    let described: Vec<String> = group.settings.iter().map(Setting::describe).collect();
    (!described.is_empty()).then(|| described.join(", "))
}

/// Where the rest is held, when some lines leave a rest.
fn held(group: &Group) -> Option<String> {
    let some_rest = group.traces().any(|trace| trace.label != "all");
    some_rest.then(|| format!("Where only some layers move, the others are held at {}.", group.line.2))
}

/// How many images each value is the mean of: `2,000 train and 2,000 test images`.
fn images<'a>(panels: impl Iterator<Item = &'a Panel>) -> Option<String> {
    let counts: BTreeSet<(bool, &str, u64)> =
        panels.map(|panel| (panel.split != "train", panel.split.as_str(), panel.images)).collect();
    let counts: Vec<String> =
        counts.iter().map(|(_, split, images)| format!("{} {split}", thousands(*images))).collect();
    (!counts.is_empty()).then(|| format!("Each value is over {} images.", counts.join(" and ")))
}

/// What thin and thick lines are.
fn runs(group: &Group) -> Option<String> {
    match seeds(group)? {
        (1, seed) => Some(format!("One run: {seed}.")),
        (_, seeds) => Some(format!("Thin: {seeds}; thick: their mean.")),
    }
}

/// Number of seeds, and their names in a piece that does not break: `seeds 0, 1, 2`.
fn seeds(group: &Group) -> Option<(usize, String)> {
    let seeds: BTreeSet<u64> = group.traces().flat_map(|trace| &trace.seeds).copied().collect();
    let named = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",\u{a0}");
    match seeds.len() {
        0 => None,
        1 => Some((1, format!("seed\u{a0}{named}"))),
        count @ 2..=8 => Some((count, format!("seeds\u{a0}{named}"))),
        count => Some((count, format!("{count}\u{a0}seeds"))),
    }
}

/// `60,000`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_the_settings_that_differ() {
        let group = |lr: &str, hold: &str| Group {
            settings: vec![Setting::new("data.set", "mnist"), Setting::new("train.optimizer.lr", lr)],
            line: ("init".to_owned(), "final".to_owned(), hold.to_owned()),
            columns: vec![],
        };
        let groups = [group("0.1", "init"), group("0.5", "final")];
        assert_eq!(slug(&groups[0], &groups), "lr-0.1-hold-init");
        assert_eq!(slug(&groups[0], &groups[..1]), "");
    }

    #[test]
    fn names_of_files_stay_inside_their_folder() {
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
        assert_eq!(file_name("lr = [0.1, 1e-3]"), "lr----0.1--1e-3");
        assert_eq!(file_name("größe"), "gr--e");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 60_000, 1_234_567].map(thousands), ["0", "999", "1,000", "60,000", "1,234,567"]);
    }
}
