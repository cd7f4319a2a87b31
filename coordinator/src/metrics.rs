//! What the coordinator counts, for `/metrics`.
//!
//! Numbers of jobs, points, workers and sweeps are read from the database when they are asked for; only what the database
//! does not know (calls and their times, rows, bytes, leases, errors since the start) is counted here. Every metric is a
//! line of docs/metrics.md, which a test compares.

mod process;
mod seen;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tracing::{Instrument as _, info_span};
use transect_common::job::{ErrorClass, JobKind};
use transect_common::telemetry::{self, TRACEPARENT};

use crate::store::{RefusalReason, Row, StoreError};
pub use seen::Seen;

/// Labels of a gRPC call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    /// `/transect.v1.SweepService/Submit`; `other` for a method that is not ours.
    method: String,
    /// `Ok`, `NotFound`, ... A stream counts with the code it began with.
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabels {
    state: &'static str,
    device: &'static str,
}

/// The one label of the others; each family names it.
macro_rules! label {
    ($labels:ident, $name:ident) => {
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $labels {
            $name: &'static str,
        }
    };
}

label!(KindLabels, kind);
label!(StateLabels, state);
label!(PriorityLabels, priority);
label!(OperationLabels, operation);
label!(RowLabels, row);
label!(ReasonLabels, reason);
label!(ClassLabels, class);
label!(DirectionLabels, direction);
label!(OutcomeLabels, outcome);

/// Times of anything, by one label.
type Times<L> = Family<L, Histogram, fn() -> Histogram>;

/// What the coordinator counts. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    /// Paths of our methods: labels stay few whatever a client asks for.
    methods: HashSet<String>,
    calls: Family<CallLabels, Counter>,
    seconds: Times<CallLabels>,
    store_seconds: Times<OperationLabels>,
    store_errors: Family<OperationLabels, Counter>,
    lease_seconds: Times<OutcomeLabels>,
    leases_granted: Family<KindLabels, Counter>,
    leases_expired: Counter,
    last_lease: Gauge<f64, AtomicU64>,
    rows: Family<RowLabels, Counter>,
    rows_refused: Family<ReasonLabels, Counter>,
    report_bytes: Counter,
    attempts_failed: Family<ClassLabels, Counter>,
    artifact_bytes: Family<DirectionLabels, Counter>,
    artifact_errors: Family<OperationLabels, Counter>,
    sweeps: Gauge,
    sweeps_live: Family<StateLabels, Gauge>,
    jobs: Family<JobLabels, Gauge>,
    queue: Family<PriorityLabels, Gauge>,
    points: Gauge,
    workers_live: Gauge,
    workers: Family<WorkerLabels, Gauge>,
}

/// 0.5 ms to 16 s: from one statement to a long poll.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            methods: our_methods(),
            calls: Family::default(),
            seconds: Family::new_with_constructor(times),
            store_seconds: Family::new_with_constructor(times),
            store_errors: Family::default(),
            lease_seconds: Family::new_with_constructor(times),
            leases_granted: Family::default(),
            leases_expired: Counter::default(),
            last_lease: Gauge::default(),
            rows: Family::default(),
            rows_refused: Family::default(),
            report_bytes: Counter::default(),
            attempts_failed: Family::default(),
            artifact_bytes: Family::default(),
            artifact_errors: Family::default(),
            sweeps: Gauge::default(),
            sweeps_live: Family::default(),
            jobs: Family::default(),
            queue: Family::default(),
            points: Gauge::default(),
            workers_live: Gauge::default(),
            workers: Family::default(),
        };
        inner.register();
        inner.begin_at_zero();
        Self { inner: Arc::new(inner) }
    }

    /// Counts leases that ran out.
    pub fn add_leases_expired(&self, leases: u64) {
        self.inner.leases_expired.inc_by(leases);
    }

    /// Counts jobs that were leased together at `now`, or the vain look for some, which took the store so long.
    pub fn add_lease(&self, kinds: impl Iterator<Item = JobKind>, took: Duration, now: SystemTime) {
        let mut outcome = "empty";
        for kind in kinds {
            outcome = "granted";
            self.inner.leases_granted.get_or_create(&KindLabels { kind: kind.name() }).inc();
        }
        if outcome == "granted" {
            self.inner.last_lease.set(now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
        }
        self.inner.lease_seconds.get_or_create(&OutcomeLabels { outcome }).observe(took.as_secs_f64());
    }

    /// Counts a row of a report that the store is given.
    pub fn add_row(&self, row: &Row) {
        let name = match row {
            Row::Epoch(_) => "epoch",
            Row::Checkpoint { .. } => "checkpoint",
            Row::Snapshot(_) => "snapshot",
            Row::Point(_) => "point",
            Row::Measure { .. } => "measure",
            Row::Done { .. } => "done",
            Row::Failed { class, .. } => {
                self.inner.attempts_failed.get_or_create(&ClassLabels { class: class.name() }).inc();
                "failed"
            }
        };
        self.inner.rows.get_or_create(&RowLabels { row: name }).inc();
    }

    /// Counts a row that was refused.
    pub fn add_refusal(&self, reason: &'static str) {
        self.inner.rows_refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts bytes of a report as it came.
    pub fn add_report_bytes(&self, bytes: usize) {
        self.inner.report_bytes.inc_by(bytes as u64);
    }

    /// Counts bytes of artifacts, `in` or `out`.
    pub fn add_artifact_bytes(&self, direction: &'static str, bytes: usize) {
        self.inner.artifact_bytes.get_or_create(&DirectionLabels { direction }).inc_by(bytes as u64);
    }

    /// Passes on the answer about an artifact, and counts it where it is an error that is not the caller's own.
    pub fn artifact<T>(&self, operation: &'static str, answer: Result<T, tonic::Status>) -> Result<T, tonic::Status> {
        let ours = |status: &tonic::Status| {
            matches!(status.code(), Code::Internal | Code::Unavailable | Code::ResourceExhausted | Code::DataLoss)
        };
        if answer.as_ref().is_err_and(ours) {
            self.inner.artifact_errors.get_or_create(&OperationLabels { operation }).inc();
        }
        answer
    }

    /// Times a transaction of the store, and counts it where it fails for a reason that is not the caller's.
    pub async fn store<T>(
        &self,
        operation: &'static str,
        transaction: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let answer = transaction.await;
        let labels = OperationLabels { operation };
        self.inner.store_seconds.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
        if let Err(error) = &answer
            && !error.is_callers()
        {
            self.inner.store_errors.get_or_create(&labels).inc();
        }
        answer
    }

    /// All numbers in the `OpenMetrics` text format.
    pub fn text(&self, seen: &Seen) -> String {
        let inner = &self.inner;
        inner.sweeps.set(seen.counts.sweeps as i64);
        inner.points.set(seen.counts.points as i64);
        inner.workers_live.set(seen.counts.workers as i64);
        for (kind, state, jobs) in seen.jobs() {
            let labels = JobLabels { kind: kind.name(), state: state.name() };
            inner.jobs.get_or_create(&labels).set(jobs as i64);
        }
        for (priority, jobs) in seen.queue() {
            inner.queue.get_or_create(&PriorityLabels { priority }).set(jobs as i64);
        }
        for (state, sweeps) in seen.live() {
            inner.sweeps_live.get_or_create(&StateLabels { state: state.name() }).set(sweeps as i64);
        }
        for (state, device, workers) in seen.workers() {
            inner.workers.get_or_create(&WorkerLabels { state: state.name(), device }).set(workers as i64);
        }
        let mut text = String::new();
        encode(&mut text, &inner.registry).expect("writing to a string does not fail");
        text
    }

    fn add_call(&self, path: &str, code: Code, took: Duration) {
        let method = if self.inner.methods.contains(path) { path } else { "other" };
        let labels = CallLabels { method: method.to_owned(), code: format!("{code:?}") };
        self.inner.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.inner.calls.get_or_create(&labels).inc();
    }
}

impl Inner {
    fn register(&mut self) {
        self.registry.register_collector(Box::new(process::Process::new()));
        let ours = self.registry.sub_registry_with_prefix("transect");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "Version of the coordinator", version);
        ours.register("rpcs", "gRPC calls by method and status code", self.calls.clone());
        let help = "Time to the answer of a gRPC call, or to the start of its stream";
        ours.register_with_unit("rpc_duration", help, Unit::Seconds, self.seconds.clone());
        let help = "Time of a transaction in the store";
        ours.register_with_unit("store_transaction_duration", help, Unit::Seconds, self.store_seconds.clone());
        let help = "Transactions that failed for reasons that lie in the store";
        ours.register("store_errors", help, self.store_errors.clone());
        let help = "Time in which the store found jobs to lease, or none";
        ours.register_with_unit("lease_duration", help, Unit::Seconds, self.lease_seconds.clone());
        ours.register("leases_granted", "Jobs leased since this coordinator started", self.leases_granted.clone());
        let help = "Leases that ran out since this coordinator started";
        ours.register("leases_expired", help, self.leases_expired.clone());
        let help = "When this coordinator leased something last, since 1970; 0 for never";
        ours.register_with_unit("last_lease_timestamp", help, Unit::Seconds, self.last_lease.clone());
        ours.register("report_rows", "Rows of reports given to the store", self.rows.clone());
        ours.register("report_rows_refused", "Rows of reports refused", self.rows_refused.clone());
        ours.register_with_unit("report", "Bytes of reports received", Unit::Bytes, self.report_bytes.clone());
        let help = "Attempts that workers reported as failed";
        ours.register("attempts_failed", help, self.attempts_failed.clone());
        let help = "Bytes of artifacts received and sent";
        ours.register_with_unit("artifact", help, Unit::Bytes, self.artifact_bytes.clone());
        let help = "Operations on artifacts that failed for reasons that lie in their store";
        ours.register("artifact_errors", help, self.artifact_errors.clone());
        ours.register("sweeps", "Sweeps submitted", self.sweeps.clone());
        ours.register("sweeps_live", "Sweeps that are not over", self.sweeps_live.clone());
        ours.register("jobs", "Jobs by kind and state", self.jobs.clone());
        ours.register(
            "queue_depth",
            "Jobs that wait, by the priority of the sweep that needs them",
            self.queue.clone(),
        );
        ours.register("points", "Points stored", self.points.clone());
        ours.register("workers_live", "Workers heard of within a lease", self.workers_live.clone());
        ours.register("workers", "Workers by state and kind of device", self.workers.clone());
    }

    /// What happens for the first time must show as a step from 0, or rates miss it.
    fn begin_at_zero(&self) {
        for kind in JobKind::ALL {
            let _ = self.leases_granted.get_or_create(&KindLabels { kind: kind.name() });
        }
        for class in [ErrorClass::Run, ErrorClass::Machine] {
            let _ = self.attempts_failed.get_or_create(&ClassLabels { class: class.name() });
        }
        for direction in ["in", "out"] {
            let _ = self.artifact_bytes.get_or_create(&DirectionLabels { direction });
        }
        for operation in ["put", "get"] {
            let _ = self.artifact_errors.get_or_create(&OperationLabels { operation });
        }
        for operation in ["lease", "heartbeat", "report", "submit", "expire", "counts"] {
            let _ = self.store_errors.get_or_create(&OperationLabels { operation });
            let _ = self.store_seconds.get_or_create(&OperationLabels { operation });
        }
        for reason in [RefusalReason::Stale, RefusalReason::Unknown, RefusalReason::Invalid] {
            let _ = self.rows_refused.get_or_create(&ReasonLabels { reason: reason.name() });
        }
        for outcome in ["granted", "empty"] {
            let _ = self.lease_seconds.get_or_create(&OutcomeLabels { outcome });
        }
        for row in ["epoch", "checkpoint", "snapshot", "point", "measure", "done", "failed"] {
            let _ = self.rows.get_or_create(&RowLabels { row });
        }
    }
}

fn our_methods() -> HashSet<String> {
    let set = FileDescriptorSet::decode(transect_common::DESCRIPTORS).expect("the build wrote a descriptor set");
    let services = set.file.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
    services
        .flat_map(|(package, service)| {
            service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        })
        .collect()
}

/// Counts and times each gRPC call that passes through.
pub async fn count_call(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.uri().path().to_owned();
    let response = match request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
        Some(traceparent) => {
            let span = info_span!("rpc", method = path);
            telemetry::follows(&span, traceparent);
            next.run(request).instrument(span).await
        }
        None => next.run(request).await,
    };
    // An error that ends a call before its stream begins is in the headers; a good answer has its code in the trailers.
    let code = response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()));
    metrics.add_call(&path, code, began.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::store::Counts;

    #[test]
    fn calls_are_counted_by_method_and_code_and_foreign_methods_together() {
        let metrics = Metrics::new();
        let path = "/transect.v1.SweepService/Submit";
        metrics.add_call(path, Code::Ok, Duration::from_millis(3));
        metrics.add_call(path, Code::NotFound, Duration::from_millis(3));
        metrics.add_call("/a/b", Code::Unimplemented, Duration::ZERO);
        metrics.add_call("/c/d", Code::Unimplemented, Duration::ZERO);
        metrics.add_leases_expired(2);
        metrics.add_lease([JobKind::Line, JobKind::Line].into_iter(), Duration::from_millis(1), UNIX_EPOCH);
        let jobs = BTreeMap::from([((JobKind::Line, transect_common::job::JobState::Queued), 4)]);
        let counts = Counts { sweeps: 1, jobs, points: 9, workers: 1 };
        let text = metrics.text(&Seen { counts, ..Seen::default() });
        for line in [
            r#"transect_rpcs_total{method="/transect.v1.SweepService/Submit",code="Ok"} 1"#,
            r#"transect_rpcs_total{method="/transect.v1.SweepService/Submit",code="NotFound"} 1"#,
            r#"transect_rpcs_total{method="other",code="Unimplemented"} 2"#,
            r#"transect_rpc_duration_seconds_count{method="/transect.v1.SweepService/Submit",code="Ok"} 1"#,
            "transect_leases_expired_total 2",
            r#"transect_leases_granted_total{kind="line"} 2"#,
            r#"transect_lease_duration_seconds_count{outcome="granted"} 1"#,
            r#"transect_jobs{kind="line",state="queued"} 4"#,
            r#"transect_jobs{kind="line",state="done"} 0"#,
            r#"transect_workers{state="quarantined",device="cuda"} 0"#,
            "transect_points 9",
            "transect_workers_live 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn errors_of_the_store_are_counted_and_those_of_callers_are_not() {
        let metrics = Metrics::new();
        let not_found: Result<(), _> = Err(StoreError::NotFound { what: "sweep", name: "x".into() });
        metrics.store("report", async { not_found }).await.unwrap_err();
        metrics.store("report", async { Err::<(), _>(StoreError::Stopped) }).await.unwrap_err();
        let text = metrics.text(&Seen::default());
        for line in [
            r#"transect_store_errors_total{operation="report"} 1"#,
            r#"transect_store_transaction_duration_seconds_count{operation="report"} 2"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    /// Name and type of every metric that is served, as PromQL knows it.
    fn served() -> BTreeSet<(String, String)> {
        let metrics = Metrics::new();
        metrics.add_call("/", Code::Ok, Duration::ZERO);
        let text = metrics.text(&Seen::default());
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => (format!("{name}_total"), kind.to_owned()),
                "info" => (format!("{name}_info"), "gauge".to_owned()),
                _ => (name.to_owned(), kind.to_owned()),
            })
            .collect()
    }

    #[test]
    fn the_documented_metrics_are_those_that_are_served() {
        let page = include_str!("../../docs/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<_> = rows
            .map(|row| {
                let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
                (cells.next().unwrap(), cells.next().unwrap())
            })
            .collect();
        assert_eq!(documented, served());
    }

    #[test]
    fn dashboard_and_alerts_name_only_metrics_that_are_served() {
        let mut names = BTreeSet::new();
        for text in [
            include_str!("../../deploy/prometheus/alerts.yml"),
            include_str!("../../deploy/prometheus/grafana.json"),
            include_str!("../../deploy/kubernetes/base/scaling.yaml"),
        ] {
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            names.extend(words.filter(|w| w.starts_with("transect_") || w.starts_with("process_")).map(str::to_owned));
        }
        let served: BTreeSet<_> = served().into_iter().map(|(name, _)| name).collect();
        let known = |name: &str| {
            let parts = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            served.contains(name) || parts.is_some_and(|base| served.contains(base))
        };
        let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
        assert!(names.len() > 10 && unknown.is_empty(), "{unknown:?}");
    }
}
