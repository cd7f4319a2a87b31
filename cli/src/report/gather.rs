//! Reads all that the report needs from the coordinator, in an order that does not change from one report to the next.

use std::collections::BTreeSet;

use transect_common::pb;

use crate::connect::Session;
use crate::errors::Failure;
use crate::results;

/// Jobs asked for at a time: the most that the coordinator gives.
const PAGE: u32 = 1000;

/// Everything that the store knows of one sweep.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// The sweep and its progress.
    pub sweep: pb::Sweep,
    /// Its file, as it was submitted.
    pub file: String,
    /// Every point of every line.
    pub points: Vec<pb::LinePoint>,
    /// Training curves.
    pub curves: Vec<pb::CurvePoint>,
    /// Numbers that belong to a whole line.
    pub measures: Vec<pb::LineMeasure>,
    /// Every job.
    pub jobs: Vec<pb::Job>,
    /// Workers that did some of them, by name.
    pub workers: Vec<pb::Worker>,
}

/// Reads it.
pub async fn gather(session: &Session, sweep: &str) -> Result<Gathered, Failure> {
    let mut client = session.sweeps();
    let (found, measured) = results::measured(session, sweep).await?;
    let request = pb::GetRequest { sweep: found.sweep_id.clone() };
    let file = client.get(request).await?.into_inner().sweep_file;
    let mut jobs: Vec<pb::Job> = vec![];
    let mut page_token = String::new();
    loop {
        let request = pb::JobsRequest {
            sweep: found.sweep_id.clone(),
            state: String::new(),
            page_size: PAGE,
            page_token: std::mem::take(&mut page_token),
        };
        let page = client.jobs(request).await?.into_inner();
        jobs.extend(page.jobs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let names: BTreeSet<&str> = jobs.iter().filter_map(|job| job.worker.as_deref()).collect();
    let mut workers = client.workers(pb::WorkersRequest {}).await?.into_inner().workers;
    workers.retain(|worker| names.contains(worker.name.as_str()));
    workers.sort_by(|a, b| (&a.name, &a.worker_id).cmp(&(&b.name, &b.worker_id)));
    let results::Measured { points, measures, curves } = measured;
    Ok(Gathered { sweep: found, file, points, curves, measures, jobs, workers })
}
