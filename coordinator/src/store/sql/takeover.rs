//! Points that a new line shares with one that was measured before: the same run, split and alpha, on a line that differs
//! in its grid alone. They are taken over when the line is submitted, so that a finer grid measures only what it adds.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use transect_common::line::LineSpec;

use super::db::{Tx, sql};
use super::rows::json;
use crate::store::Result;

#[derive(Serialize)]
struct Shared {
    line: i64,
    place: usize,
    other: i64,
    other_place: usize,
}

/// Takes over what queued lines of `sweep` share with others; `lines` are the digests of its lines.
pub(super) async fn take_over(tx: &mut Tx, sweep: i64, lines: &[String]) -> Result<()> {
    let related: Vec<(i64, String, i64, String)> =
        sqlx::query_as(sql!("related_lines")).bind(json(lines)).fetch_all(&mut **tx).await?;
    let mut shared = vec![];
    for (line, spec, other, other_spec) in related {
        let (new, old) = (alphas(&spec)?, alphas(&other_spec)?);
        let places: HashMap<u64, usize> =
            old.iter().enumerate().map(|(place, alpha)| (alpha.to_bits(), place)).collect();
        shared.extend(new.iter().enumerate().filter_map(|(place, alpha)| {
            let other_place = *places.get(&alpha.to_bits())?;
            Some(Shared { line, place, other, other_place })
        }));
    }
    if shared.is_empty() {
        return Ok(());
    }
    let taken = sqlx::query(sql!("take_over_points")).bind(sweep).bind(json(&shared)).execute(&mut **tx).await?;
    if taken.rows_affected() > 0 {
        let lines: BTreeSet<i64> = shared.iter().map(|shared| shared.line).collect();
        sqlx::query(sql!("count_taken_points")).bind(sweep).bind(json(&lines)).execute(&mut **tx).await?;
    }
    Ok(())
}

fn alphas(spec: &str) -> Result<Vec<f64>> {
    let line = LineSpec::from_canonical(spec)?;
    Ok(line.alphas)
}
