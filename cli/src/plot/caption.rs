//! What a figure says about itself: title, what it depends on, how to read it, and the name of its file.

use std::collections::BTreeSet;

use super::figure::{self, Heading};
use super::series::{Group, Measure};
use super::settings::Setting;

/// Of the losses or accuracies on lines.
pub fn of_lines(sweep: &str, measure: Measure, group: &Group) -> Heading {
    let (from, to, hold) = &group.line;
    let what = match measure {
        Measure::Loss => "loss",
        Measure::Accuracy => "accuracy",
    };
    let mut dependence = vec![format!("Where only some layers move, the others are held at {hold}.")];
    dependence.extend(images(group));
    Heading {
        title: format!("{sweep}: {what} on the line from {from} to {to}"),
        notes: notes(group, dependence),
        x_title: format!("alpha (0 = {from}, 1 = {to})"),
        legend: "what moves".to_owned(),
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
    let tags: [(&str, fn(&Group) -> &str); 3] =
        [("from", |g| &g.line.0), ("to", |g| &g.line.1), ("hold", |g| &g.line.2)];
    for (name, tag) in tags {
        if differs(tag) {
            parts.push(format!("{name}-{}", tag(group)));
        }
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
    let mut notes = vec![];
    if !group.settings.is_empty() {
        notes.push(group.settings.iter().map(Setting::describe).collect::<Vec<_>>().join(", "));
    }
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

/// How many images each value is the mean of: `2,000 train and 2,000 test images.`
fn images(group: &Group) -> Option<String> {
    let counts: BTreeSet<(u8, &str, u64)> =
        group.panels().map(|panel| (u8::from(panel.split != "train"), panel.split.as_str(), panel.images)).collect();
    let counts: Vec<String> =
        counts.iter().map(|(_, split, images)| format!("{} {split}", thousands(*images))).collect();
    (!counts.is_empty()).then(|| format!("Each value is over {} images.", counts.join(" and ")))
}

/// What thin and bold lines are.
fn runs(group: &Group) -> Option<String> {
    let seeds: BTreeSet<u64> = group.traces().flat_map(|trace| &trace.seeds).copied().collect();
    let named = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match seeds.len() {
        0 => None,
        1 => Some(format!("Seed {named}.")),
        2..=8 => Some(format!("Thin: seeds {named}; bold: their mean.")),
        count => Some(format!("Thin: each of {count} seeds; bold: their mean.")),
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
