//! Lines whose grids are refined: what an interrupted one goes on from, and when one is complete.

use std::collections::{BTreeMap, HashMap};

use transect_common::data::Split;
use transect_common::line::LineSpec;

use super::db::{Tx, sql};
use super::rows::{count, json, split};
use crate::store::check::complete;
use crate::store::{JobId, Result};

/// Alpha and loss by split and place.
pub(super) type Curve = BTreeMap<(Split, u32), (f64, f64)>;

/// What is measured of those of the jobs `ids` (a JSON array) whose grids are refined.
pub(super) async fn curves(tx: &mut Tx, ids: &str) -> Result<HashMap<i64, Curve>> {
    let rows: Vec<(i64, String, i64, f64, Option<f64>)> =
        sqlx::query_as(sql!("curves_of_jobs")).bind(ids).fetch_all(&mut **tx).await?;
    let mut curves: HashMap<i64, Curve> = HashMap::new();
    for (job, name, place, alpha, loss) in rows {
        let key = (split(&name)?, count(place)?);
        curves.entry(job).or_default().insert(key, (alpha, loss.unwrap_or(f64::NAN)));
    }
    Ok(curves)
}

/// Says what is wrong with the points that are stored of a line, if it is to be done with them.
pub(super) async fn is_complete(tx: &mut Tx, job: JobId, line: &LineSpec) -> Result<std::result::Result<(), String>> {
    let curve = curves(tx, &json(&[job.0])).await?.remove(&job.0).unwrap_or_default();
    Ok(complete(line, curve.into_iter().map(|(place, (alpha, _))| (place, alpha))))
}

/// Jobs that are about to be done will have no further points.
pub(super) async fn expect_stored_points(tx: &mut Tx, jobs: &[i64]) -> Result<()> {
    if !jobs.is_empty() {
        sqlx::query(sql!("expect_stored_points")).bind(json(&jobs)).execute(&mut **tx).await?;
    }
    Ok(())
}
