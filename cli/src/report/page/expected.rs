//! What the sweep file expects, and whether it is so.

use serde_json::Value;

use super::{Chapter, Subject};
use crate::report::document::{Block, Table};
use crate::report::expected::{Answer, Verdict, answer};

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    let claims = &subject.measured.claims;
    if claims.is_empty() {
        return chapter;
    }
    let answers: Vec<Answer> =
        claims.iter().map(|claim| answer(subject.measured, claim, subject.wishes.rise)).collect();
    let rows = claims.iter().zip(&answers).map(|(claim, answer)| {
        let measure = claim.measure.replace('_', " ");
        vec![answer.text.clone(), answer.verdict.text().to_owned(), measure, answer.seen.clone(), answer.n.to_string()]
    });
    chapter.blocks.push(Block::Table(Table {
        caption:
            "Each claim with a 95 % interval: it agrees when all of the interval is where the claim says, does not \
                  when none is, and cannot tell otherwise. Differences are paired by seed (Student's t); correlations \
                  are Spearman's, with final test accuracy if nothing else is said (bootstrap), and count as none when all of the interval is \
                  within 0.5 of 0."
                .to_owned(),
        header: ["claim", "verdict", "measure", "seen", "n"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        words: 4,
    }));
    let count = |verdict| answers.iter().filter(|answer| answer.verdict == verdict).count();
    chapter.brief.push(format!(
        "Of {} claims, {} agree with what was seen, {} do not, and {} cannot be told at this size.",
        answers.len(),
        count(Verdict::Agrees),
        count(Verdict::Disagrees),
        count(Verdict::CannotTell)
    ));
    chapter.statistics.insert("claims".to_owned(), answers.iter().map(Answer::json).collect::<Value>());
    chapter
}
