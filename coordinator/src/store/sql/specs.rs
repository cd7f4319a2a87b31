//! What jobs are, read once: a line and a run never change, so what was read of them is kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use transect_common::line::LineSpec;
use transect_common::run::RunSpec;

use super::db::{Db, Tx, sql};
use super::rows::json;
use crate::store::Result;

/// Most of each that are kept. Sweeps have their lines from a few files, so most need far fewer.
const MOST: usize = 20_000;

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    /// Its canonical form.
    pub text: String,
    /// What that says.
    pub spec: Arc<LineSpec>,
}

/// What was read, by id.
#[derive(Debug, Default)]
pub(super) struct Specs {
    lines: Mutex<HashMap<i64, Arc<Line>>>,
    runs: Mutex<HashMap<i64, Arc<RunSpec>>>,
}

/// Those of `ids` that are kept, and the others.
fn known<T>(kept: &Mutex<HashMap<i64, Arc<T>>>, ids: &BTreeSet<i64>) -> (HashMap<i64, Arc<T>>, Vec<i64>) {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let known: HashMap<i64, Arc<T>> = ids.iter().filter_map(|id| Some((*id, kept.get(id)?.clone()))).collect();
    let missing = ids.iter().filter(|id| !known.contains_key(id)).copied().collect();
    (known, missing)
}

fn keep<T>(kept: &Mutex<HashMap<i64, Arc<T>>>, id: i64, spec: &Arc<T>) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= MOST {
        kept.clear();
    }
    kept.insert(id, spec.clone());
}

/// The lines of those ids.
pub(super) async fn lines(db: &Db, tx: &mut Tx, ids: &BTreeSet<i64>) -> Result<HashMap<i64, Arc<Line>>> {
    let (mut lines, missing) = known(&db.specs.lines, ids);
    if !missing.is_empty() {
        let rows: Vec<(i64, String)> =
            sqlx::query_as(sql!("lines_by_id")).bind(json(&missing)).fetch_all(&mut **tx).await?;
        for (id, text) in rows {
            let spec = Arc::new(LineSpec::from_canonical(&text)?);
            let line = Arc::new(Line { text, spec });
            keep(&db.specs.lines, id, &line);
            lines.insert(id, line);
        }
    }
    Ok(lines)
}

/// The runs of those ids.
pub(super) async fn runs(db: &Db, tx: &mut Tx, ids: &BTreeSet<i64>) -> Result<HashMap<i64, Arc<RunSpec>>> {
    let (mut runs, missing) = known(&db.specs.runs, ids);
    if !missing.is_empty() {
        let rows: Vec<(i64, String)> =
            sqlx::query_as(sql!("runs_by_id")).bind(json(&missing)).fetch_all(&mut **tx).await?;
        for (id, text) in rows {
            let spec = Arc::new(RunSpec::from_canonical(&text)?);
            keep(&db.specs.runs, id, &spec);
            runs.insert(id, spec);
        }
    }
    Ok(runs)
}
