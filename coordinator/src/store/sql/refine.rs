//! Lines whose grids are refined: what an interrupted one goes on from, and when one is complete.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use transect_common::data::Split;
use transect_common::line::LineSpec;

use super::db::{Tx, sql};
use super::rows::{count, json, split};
use crate::store::Result;
use crate::store::check::complete;

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

/// Says of each job whose points that are stored are not enough to be done what they lack.
pub(super) async fn lacking(tx: &mut Tx, jobs: &BTreeMap<i64, Arc<LineSpec>>) -> Result<HashMap<i64, String>> {
    if jobs.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<i64> = jobs.keys().copied().collect();
    let mut curves = curves(tx, &json(&ids)).await?;
    let lacks = |(job, line): (&i64, &Arc<LineSpec>)| {
        let curve = curves.remove(job).unwrap_or_default();
        let lacks = complete(line, curve.into_iter().map(|(place, (alpha, _))| (place, alpha))).err()?;
        Some((*job, lacks))
    };
    Ok(jobs.iter().filter_map(lacks).collect())
}

/// Jobs that are about to be done will have no further points.
pub(super) async fn expect_stored_points(tx: &mut Tx, jobs: &[i64]) -> Result<()> {
    if !jobs.is_empty() {
        sqlx::query(sql!("expect_stored_points")).bind(json(&jobs)).execute(&mut **tx).await?;
    }
    Ok(())
}
