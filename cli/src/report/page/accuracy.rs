//! How well each setting does, and how settings differ.

use serde_json::{Value, json};
use transect_common::stats::Interval;

use super::{Chapter, Subject};
use crate::report::claims::{self, Pair};
use crate::report::document::{Block, Table};
use crate::report::layers::Spread;
use crate::report::measured::Run;

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    let spread = |setting: usize, of: &dyn Fn(&Run) -> Option<f64>| {
        let runs = subject.measured.runs.iter().filter(|run| run.setting == setting);
        Spread::of(&runs.filter_map(of).collect::<Vec<_>>())
    };
    let mut rows = vec![];
    let mut statistics = vec![];
    let mut means: Vec<(f64, &String)> = vec![];
    for (setting, label) in subject.labels().iter().enumerate() {
        let accuracy = spread(setting, &Run::accuracy);
        let columns = [
            (spread(setting, &|run| run.end("test").map(|e| e.0)), "test_loss"),
            (spread(setting, &|run| run.end("train").map(|e| e.0)), "train_loss"),
            (spread(setting, &|run| run.end("train").map(|e| e.1)), "train_accuracy"),
        ];
        let text =
            |spread: Option<Spread>, factor, digits| spread.map_or_else(|| "-".to_owned(), |s| s.text(factor, digits));
        let n = subject.measured.runs.iter().filter(|run| run.setting == setting && run.accuracy().is_some()).count();
        rows.push(vec![
            label.clone(),
            n.to_string(),
            text(accuracy, 100.0, 2),
            text(columns[0].0, 1.0, 4),
            text(columns[2].0, 100.0, 2),
            text(columns[1].0, 1.0, 4),
        ]);
        let json_of = |spread: Option<Spread>| spread.map(|s| json!({ "mean": s.mean, "sd": s.sd, "n": s.n }));
        let mut entry = json!({ "setting": label, "test_accuracy": json_of(accuracy) });
        for (spread, name) in columns {
            entry[name] = json!(json_of(spread));
        }
        statistics.push(entry);
        means.extend(accuracy.map(|a| (a.mean, label)));
    }
    let header = ["setting", "n", "test accuracy, %", "test loss", "train accuracy, %", "train loss"];
    chapter.blocks.push(Block::Table(Table {
        caption: "After the last epoch: mean ± standard deviation over n runs. Losses in nats; on the training images \
                  as they were trained on, over the last epoch."
            .to_owned(),
        header: header.map(str::to_owned).to_vec(),
        rows,
        words: 1,
    }));
    let ends = (means.iter().min_by(|a, b| a.0.total_cmp(&b.0)), means.iter().max_by(|a, b| a.0.total_cmp(&b.0)));
    if let (Some(low), Some(high)) = ends {
        chapter.brief.push(if means.len() > 1 {
            let percent = |mean: f64| format!("{:.2} %", 100.0 * mean);
            format!(
                "Mean final test accuracy runs from {} ({}) to {} ({}).",
                percent(low.0),
                low.1,
                percent(high.0),
                high.1
            )
        } else {
            format!("Mean final test accuracy is {:.2} %.", 100.0 * low.0)
        });
    }
    chapter.statistics.insert("accuracy".to_owned(), Value::from(statistics));
    differences(subject, &mut chapter);
    chapter
}

fn differences(subject: &Subject<'_>, chapter: &mut Chapter) {
    let pairs = claims::differences(subject.measured, subject.wishes.baseline);
    chapter.statistics.insert("differences".to_owned(), pairs.iter().map(Pair::json).collect());
    if pairs.is_empty() {
        return;
    }
    chapter.blocks.push(Block::Section("Differences between settings".to_owned()));
    let told: Vec<&Pair> = pairs.iter().filter(|pair| pair.difference.is_ok()).collect();
    let silent: Vec<&Pair> = pairs.iter().filter(|pair| pair.difference.is_err()).collect();
    if !told.is_empty() {
        let rows = told.iter().filter_map(|pair| row(pair)).collect();
        let header = [
            "setting",
            "less",
            "pairs",
            "difference, points",
            "95 % (Student)",
            "95 % (bootstrap)",
            "d_z",
            "Hedges' g",
        ];
        chapter.blocks.push(Block::Table(Table {
            caption: "Final test accuracy in percentage points, run by run with the same seeds: mean ± standard \
                      deviation of the differences, intervals of their mean, and effect sizes (d_z: mean over standard \
                      deviation of the differences; g: over the pooled standard deviation of the runs)."
                .to_owned(),
            header: header.map(str::to_owned).to_vec(),
            rows,
            words: 2,
        }));
        let excludes = |pair: &&&Pair| pair.difference.as_ref().is_ok_and(|d| d.student.excludes(0.0));
        let apart = told.iter().filter(excludes).count();
        chapter.brief.push(format!(
            "{apart} of {} paired differences in accuracy have a 95 % interval (Student) that excludes 0.",
            told.len()
        ));
    }
    if let Some(first) = silent.first()
        && let Err(reason) = &first.difference
    {
        chapter.text(format!(
            "{} no interval, because too few of their runs share seeds ({} and {}: {reason}).",
            if silent.len() == 1 {
                "One pair of settings has".to_owned()
            } else {
                format!("{} pairs of settings have", silent.len())
            },
            first.other,
            first.base,
        ));
    }
}

fn row(pair: &Pair) -> Option<Vec<String>> {
    let found = pair.difference.as_ref().ok()?;
    let between = |interval: Interval| format!("[{:+.2}, {:+.2}]", 100.0 * interval.low, 100.0 * interval.high);
    let effect = |effect: Option<f64>| effect.map_or_else(|| "-".to_owned(), |e| format!("{e:+.2}"));
    Some(vec![
        pair.other.clone(),
        pair.base.clone(),
        found.n.to_string(),
        format!("{:+.2} ± {:.2}", 100.0 * found.mean, 100.0 * found.sd),
        between(found.student),
        found.bootstrap.map_or_else(|| "-".to_owned(), between),
        effect(found.effect),
        effect(pair.hedges_g),
    ])
}
