//! `SweepService`: what users submit, follow and read.

use futures::stream::{BoxStream, try_unfold};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tonic::{Request, Response, Status};
use tracing::{Instrument as _, Span, info, info_span};
use transect_common::job::JobState;
use transect_common::pb::sweep_service_server::SweepService;
use transect_common::schedule::{self, MAX_PRIORITY, MAX_SHARE, Offer};
use transect_common::{pb, telemetry};

use super::along::along;
use super::paging::{MAX_ROWS, chunks, fill, page_size, page_token};
use super::{Shared, imports, plan, translate, watch};
use crate::status::{invalid, stopping};
use crate::store::{Adjust, CheckpointsOf, JobId, NewSweep, Page, Retry, Store, SweepId, WorkerInfo, WorkerState};

/// Longest idempotency key, in characters.
/// Runs of a sweep whose traces link to its submission; the others' begin with their first lease.
const MAX_TRACED: usize = 256;
const MAX_KEY: usize = 128;

/// Serves sweeps.
#[derive(Debug)]
pub struct Service {
    shared: Shared,
}

impl Service {
    /// Serves the sweeps of `shared`.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    fn store(&self) -> &dyn Store {
        &*self.shared.store
    }

    async fn sweep(&self, id: SweepId) -> Result<Option<pb::Sweep>, Status> {
        Ok(Some(translate::sweep(self.store().sweep(id).await?)))
    }
}

#[tonic::async_trait]
impl SweepService for Service {
    async fn plan(&self, request: Request<pb::PlanRequest>) -> Result<Response<pb::PlanResponse>, Status> {
        let (expansion, missing_imports) = plan::suppose(&self.shared, request.into_inner().sweep_file).await?;
        let planned = plan::plan(&self.shared, expansion).await?;
        Ok(Response::new(pb::PlanResponse { missing_imports, ..planned }))
    }

    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Result<Response<pb::SubmitResponse>, Status> {
        let pb::SubmitRequest { sweep_file, idempotency_key } = request.into_inner();
        if idempotency_key.chars().count() > MAX_KEY {
            return Err(invalid("idempotency_key", format!("it may have at most {MAX_KEY} characters")));
        }
        let expansion = plan::expand(&self.shared, sweep_file.clone()).await?;
        let idempotency_key = match idempotency_key.as_str() {
            "" => blake3::hash(sweep_file.as_bytes()).to_hex().to_string(),
            key => key.to_owned(),
        };
        let runs: Vec<_> = expansion.runs.iter().take(MAX_TRACED).map(|run| run.digest.clone()).collect();
        let new = NewSweep { file: sweep_file, idempotency_key, expansion };
        let submitted = self.shared.metrics.store("submit", self.store().submit(new, self.shared.now())).await?;
        let (sweep, created) = (submitted.sweep, submitted.created);
        info!(sweep = %sweep.id, name = sweep.name, runs = sweep.runs, jobs = sweep.jobs, created, "sweep submitted");
        for run in &runs {
            let queued = info_span!("queued", sweep = %sweep.id, run = run.short());
            telemetry::belongs_to(&queued, run);
            telemetry::links(&queued, &Span::current());
        }
        Ok(Response::new(pb::SubmitResponse { sweep: Some(translate::sweep(sweep)), created }))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        let sweep_file = self.store().sweep_file(id).await?;
        let totals = self.store().totals(id).await?.into_iter().map(translate::totals).collect();
        Ok(Response::new(pb::GetResponse { sweep: self.sweep(id).await?, sweep_file, totals }))
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListResponse>, Status> {
        let limit = page_size(request.get_ref().page_size)?;
        let before = page_token(&request.get_ref().page_token, |token| token.parse::<SweepId>().ok())?;
        let page = self.store().sweeps(before, limit).await?;
        let next_page_token = page.next.map(|id| id.to_string()).unwrap_or_default();
        let sweeps = page.rows.into_iter().map(translate::sweep).collect();
        Ok(Response::new(pb::ListResponse { sweeps, next_page_token }))
    }

    async fn pause(&self, request: Request<pb::PauseRequest>) -> Result<Response<pb::PauseResponse>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        self.store().pause(id, self.shared.now()).await?;
        info!(sweep = %id, "sweep paused");
        Ok(Response::new(pb::PauseResponse { sweep: self.sweep(id).await? }))
    }

    async fn resume(&self, request: Request<pb::ResumeRequest>) -> Result<Response<pb::ResumeResponse>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        self.store().unpause(id, self.shared.now()).await?;
        info!(sweep = %id, "sweep goes on");
        Ok(Response::new(pb::ResumeResponse { sweep: self.sweep(id).await? }))
    }

    async fn adjust(&self, request: Request<pb::AdjustRequest>) -> Result<Response<pb::AdjustResponse>, Status> {
        let pb::AdjustRequest { sweep, priority, share, max_workers } = request.into_inner();
        if let Some(priority) = priority.filter(|priority| !(-MAX_PRIORITY..=MAX_PRIORITY).contains(priority)) {
            let bounds = format!("{priority} is not in [-{MAX_PRIORITY}, {MAX_PRIORITY}]");
            return Err(invalid("priority", bounds));
        }
        if let Some(share) = share.filter(|share| !(*share > 0.0 && *share <= MAX_SHARE)) {
            return Err(invalid("share", format!("{share} is not above 0 and at most {MAX_SHARE}")));
        }
        let id = self.store().find_sweep(&sweep).await?;
        self.store().adjust(id, Adjust { priority, share, max_workers }, self.shared.now()).await?;
        info!(sweep = %id, ?priority, ?share, ?max_workers, "sweep adjusted");
        Ok(Response::new(pb::AdjustResponse { sweep: self.sweep(id).await? }))
    }

    async fn explain(&self, request: Request<pb::ExplainRequest>) -> Result<Response<pb::ExplainResponse>, Status> {
        let id = request.get_ref().job_id;
        let job = i64::try_from(id).map(JobId).map_err(|_| invalid("job_id", format!("there is no job {id}")))?;
        let explained = self.store().explain(job, self.shared.now()).await?;
        let workers = self.store().workers().await?;
        let there: Vec<(String, Offer)> = workers
            .into_iter()
            .filter(|worker| worker.state != WorkerState::Gone)
            .map(|worker| {
                let is_closed = worker.state != WorkerState::Live;
                let WorkerInfo { device, memory_bytes, labels, .. } = worker.info;
                (worker.name, Offer { device, memory_bytes, labels, seconds_left: None, is_closed })
            })
            .collect();
        let reasons = schedule::explain(&explained.facts, &there).into_iter();
        Ok(Response::new(pb::ExplainResponse {
            job: Some(translate::job(explained.job)),
            reasons: reasons.map(|reason| pb::Reason { code: reason.code.to_owned(), text: reason.text }).collect(),
            sweeps: explained.sweeps.into_iter().map(|(id, name)| format!("{id} {name}")).collect(),
        }))
    }

    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        Ok(Response::new(watch::watch(self.shared.clone(), id).boxed()))
    }

    type ResultsStream = BoxStream<'static, Result<pb::ResultsResponse, Status>>;

    async fn results(&self, request: Request<pb::ResultsRequest>) -> Result<Response<Self::ResultsStream>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        let store = self.shared.store.clone();
        let pages = pages(self.shared.clone(), move |after| {
            let store = store.clone();
            async move { Ok(store.points(id, after, MAX_ROWS).await?) }
        });
        let rows = along(pages).map_ok(|rows| rows.into_iter().map(translate::line_point).collect());
        let points = messages(rows).map_ok(|points| pb::ResultsResponse { points, measures: vec![] });
        let store = self.shared.store.clone();
        let pages = self::pages(self.shared.clone(), move |after| {
            let store = store.clone();
            async move { Ok(store.measures(id, after, MAX_ROWS).await?) }
        });
        let rows = pages.map_ok(|rows| rows.into_iter().map(translate::line_measure).collect());
        let measures = messages(rows).map_ok(|measures| pb::ResultsResponse { points: vec![], measures });
        Ok(Response::new(points.chain(measures).boxed()))
    }

    type CurvesStream = BoxStream<'static, Result<pb::CurvesResponse, Status>>;

    async fn curves(&self, request: Request<pb::CurvesRequest>) -> Result<Response<Self::CurvesStream>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        let store = self.shared.store.clone();
        let pages = pages(self.shared.clone(), move |after| {
            let store = store.clone();
            async move { Ok(store.curves(id, after, MAX_ROWS).await?) }
        });
        let rows = pages.map_ok(|rows| rows.into_iter().map(translate::curve_point).collect());
        Ok(Response::new(messages(rows).map_ok(|points| pb::CurvesResponse { points }).boxed()))
    }

    async fn jobs(&self, request: Request<pb::JobsRequest>) -> Result<Response<pb::JobsResponse>, Status> {
        let request = request.into_inner();
        let limit = page_size(request.page_size)?;
        let after = page_token(&request.page_token, |token| token.parse().ok().map(JobId))?;
        let state = match request.state.as_str() {
            "" => None,
            name => Some(JobState::from_name(name).ok_or_else(|| {
                let names: Vec<_> = JobState::ALL.iter().map(|state| state.name()).collect();
                invalid("state", format!("`{name}` is no state of a job; there are {}", names.join(", ")))
            })?),
        };
        let id = self.store().find_sweep(&request.sweep).await?;
        let page = self.store().jobs(id, state, after, limit).await?;
        let mut next = page.next;
        let mut jobs: Vec<pb::Job> = page.rows.into_iter().map(translate::job).collect();
        // Long errors may fill a message before the page is.
        let full = fill(&jobs);
        if full < jobs.len() {
            jobs.truncate(full);
            next = jobs.last().map(|job| JobId(job.job_id as i64));
        }
        let next_page_token = next.map(|job| job.0.to_string()).unwrap_or_default();
        Ok(Response::new(pb::JobsResponse { jobs, next_page_token }))
    }

    async fn cancel(&self, request: Request<pb::CancelRequest>) -> Result<Response<pb::CancelResponse>, Status> {
        let id = self.store().find_sweep(&request.get_ref().sweep).await?;
        let cancelled = self.store().cancel(id, self.shared.now()).await?;
        info!(sweep = %id, jobs = cancelled, "sweep cancelled");
        Ok(Response::new(pb::CancelResponse { sweep: self.sweep(id).await?, cancelled }))
    }

    async fn retry(&self, request: Request<pb::RetryRequest>) -> Result<Response<pb::RetryResponse>, Status> {
        let pb::RetryRequest { sweep, machine_errors_only, cancelled } = request.into_inner();
        let id = self.store().find_sweep(&sweep).await?;
        let queued = self.store().retry(id, Retry { machine_errors_only, cancelled }, self.shared.now()).await?;
        info!(sweep = %id, jobs = queued, "sweep's jobs queued again");
        Ok(Response::new(pb::RetryResponse { sweep: self.sweep(id).await?, queued }))
    }

    async fn import(&self, request: Request<pb::ImportRequest>) -> Result<Response<pb::ImportResponse>, Status> {
        let request = request.into_inner();
        let name = request.name.clone();
        let span = info_span!("import", name);
        let import = imports::checked(&self.shared, request).instrument(span).await?;
        let created = self.store().import(import, self.shared.now()).await?;
        info!(name, created, "checkpoints imported");
        Ok(Response::new(pb::ImportResponse { name, created }))
    }

    async fn checkpoints(
        &self,
        request: Request<pb::CheckpointsRequest>,
    ) -> Result<Response<pb::CheckpointsResponse>, Status> {
        use pb::checkpoints_request::Of;
        let of = match request.into_inner().of {
            None => return Err(invalid("of", "name a sweep, a run or an import")),
            Some(Of::Sweep(sweep)) => CheckpointsOf::Sweep(self.store().find_sweep(&sweep).await?),
            Some(Of::Import(name)) => CheckpointsOf::Import(name),
            Some(Of::Run(digits)) => {
                let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if !(6..=64).contains(&digits.len()) || !digits.bytes().all(is_digit) {
                    let message =
                        format!("`{digits}` does not begin a run's digest: 6 to 64 of 0-9 and a-f are needed");
                    return Err(invalid("run", message));
                }
                CheckpointsOf::Run(digits)
            }
        };
        let checkpoints = self.store().checkpoints(&of).await?;
        let checkpoints = checkpoints.into_iter().map(translate::checkpoint).collect();
        Ok(Response::new(pb::CheckpointsResponse { checkpoints }))
    }

    async fn release_worker(
        &self,
        request: Request<pb::ReleaseWorkerRequest>,
    ) -> Result<Response<pb::ReleaseWorkerResponse>, Status> {
        let worker = self.store().release_worker(&request.get_ref().worker, self.shared.now()).await?;
        info!(worker = worker.name, "worker released from quarantine");
        Ok(Response::new(pb::ReleaseWorkerResponse { worker: Some(translate::worker(worker)) }))
    }

    async fn workers(&self, _: Request<pb::WorkersRequest>) -> Result<Response<pb::WorkersResponse>, Status> {
        let workers = self.store().workers().await?.into_iter().map(translate::worker).collect();
        Ok(Response::new(pb::WorkersResponse { workers }))
    }
}

/// Reads page after page as the client takes them.
fn pages<T, C, F>(
    shared: Shared,
    read: impl Fn(Option<C>) -> F + Clone + Send + 'static,
) -> impl Stream<Item = Result<Vec<T>, Status>> + Send
where
    T: Send,
    C: Send + 'static,
    F: Future<Output = Result<Page<T, C>, Status>> + Send,
{
    /// Where to read on.
    enum Place<C> {
        Page(Option<C>),
        End,
    }
    try_unfold(Place::Page(None), move |place| {
        let (read, stop) = (read.clone(), shared.stop.clone());
        async move {
            let Place::Page(after) = place else {
                return Ok(None);
            };
            if stop.is_cancelled() {
                // Half of the results must not look like all of them.
                return Err(stopping());
            }
            let page = read(after).await?;
            let next = page.next.map_or(Place::End, |cursor| Place::Page(Some(cursor)));
            Ok(Some((page.rows, next)))
        }
    })
}

/// Cuts pages of rows into messages of a size that clients take.
fn messages<M: prost::Message + 'static>(
    rows: impl Stream<Item = Result<Vec<M>, Status>> + Send + 'static,
) -> impl Stream<Item = Result<Vec<M>, Status>> + Send + 'static {
    rows.map_ok(|rows| futures::stream::iter(chunks(rows).into_iter().map(Ok))).try_flatten()
}
