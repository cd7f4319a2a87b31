//! Does any point inside the line beat its end?

use serde_json::Value;

use super::{Chapter, Subject};
use crate::report::document::{Block, Table};
use crate::report::inside::{Gain, Inside, inside};
use crate::report::quantities::whole_lines;

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    let lines = whole_lines(subject.measured).into_iter().filter(|line| line.split == "test");
    let found: Vec<Inside> = lines.flat_map(|line| inside(subject.measured, &line)).collect();
    if found.is_empty() {
        return chapter;
    }
    let several = found.iter().any(|one| one.line != found[0].line);
    let with_ensemble = found.iter().any(|one| one.ensemble.is_some());
    let mut header: Vec<String> =
        ["setting", "alpha chosen on train", "runs that gain", "best alpha on test", "runs that gain"]
            .map(str::to_owned)
            .to_vec();
    if with_ensemble {
        header.extend(["mean of outputs", "runs that gain"].map(str::to_owned));
    }
    let row = |one: &Inside| {
        let name = if several { format!("{}, {}", one.setting, one.line.ends()) } else { one.setting.clone() };
        let mut row = vec![name];
        let gains = [&one.chosen, &one.best].into_iter().chain(with_ensemble.then_some(&one.ensemble));
        row.extend(gains.flat_map(|gain| cells(gain.as_ref())));
        row
    };
    let rows = found.iter().map(row).collect();
    chapter.blocks.push(Block::Table(Table {
        caption: "Test accuracy less that at alpha = 1, in percentage points: mean over runs [95 % interval, Student]."
            .to_owned(),
        header,
        rows,
        words: 1,
    }));
    chapter.text(
        "The best alpha on test is picked on the very images it is told on, so its gain looks better than it is; the \
         alpha chosen on train is the fair question. Mean of outputs: the mean of the softmax outputs over the points of \
         the line, as the store measured it.",
    );
    chapter.statistics.insert("inside".to_owned(), found.iter().map(Inside::json).collect::<Value>());
    chapter
}

fn cells(gain: Option<&Gain>) -> [String; 2] {
    let Some(gain) = gain else {
        return ["-".to_owned(), "-".to_owned()];
    };
    let interval = match &gain.difference {
        Ok(found) => format!(" [{:+.2}, {:+.2}]", 100.0 * found.student.low, 100.0 * found.student.high),
        Err(_) => String::new(),
    };
    [format!("{:+.2}{interval}", 100.0 * gain.mean), format!("{}/{}", gain.above, gain.n)]
}
