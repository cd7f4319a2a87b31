//! What the coordinator counts, for `/metrics`.
//!
//! Numbers of jobs, points and workers are read from the database when they are asked for; only what the database does
//! not know (calls and their times, leases that ran out since the start) is counted here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

/// Labels of a gRPC call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    /// `/transect.v1.SweepService/Submit`; `other` for a method that is not ours.
    method: String,
    /// `Ok`, `NotFound`, ... A stream counts with the code it began with.
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    kind: &'static str,
    state: &'static str,
}

/// What the database knows, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sweeps ever submitted.
    pub sweeps: u64,
    /// Number of jobs of each kind in each state.
    pub jobs: Vec<(&'static str, &'static str, u64)>,
    /// Points stored.
    pub points: u64,
    /// Workers that are live.
    pub workers: u64,
}

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
    seconds: Family<MethodLabels, Histogram>,
    leases_expired: Counter,
    sweeps: Gauge,
    jobs: Family<JobLabels, Gauge>,
    points: Gauge,
    workers: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let calls = Family::<CallLabels, Counter>::default();
        // 0.5 ms to 16 s: from one statement to a long poll.
        let seconds: Family<MethodLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0005, 2.0, 16)));
        let leases_expired = Counter::default();
        let jobs = Family::<JobLabels, Gauge>::default();
        let (sweeps, points, workers) = (Gauge::default(), Gauge::default(), Gauge::default());

        let mut registry = Registry::with_prefix("transect");
        registry.register("rpcs", "gRPC calls by method and status code", calls.clone());
        let help = "Time to the answer of a gRPC call, or to the start of its stream";
        registry.register_with_unit("rpc_duration", help, Unit::Seconds, seconds.clone());
        registry.register(
            "leases_expired",
            "Leases that ran out since this coordinator started",
            leases_expired.clone(),
        );
        registry.register("sweeps", "Sweeps submitted", sweeps.clone());
        registry.register("jobs", "Jobs by kind and state", jobs.clone());
        registry.register("points", "Points stored", points.clone());
        registry.register("workers_live", "Workers heard of within a lease", workers.clone());
        let methods = our_methods();
        let inner = Inner { registry, methods, calls, seconds, leases_expired, sweeps, jobs, points, workers };
        Self { inner: Arc::new(inner) }
    }

    /// Counts leases that ran out.
    pub fn add_leases_expired(&self, leases: u64) {
        self.inner.leases_expired.inc_by(leases);
    }

    /// All numbers in the `OpenMetrics` text format.
    pub fn text(&self, counts: &Counts) -> String {
        self.inner.sweeps.set(counts.sweeps as i64);
        for &(kind, state, jobs) in &counts.jobs {
            self.inner.jobs.get_or_create(&JobLabels { kind, state }).set(jobs as i64);
        }
        self.inner.points.set(counts.points as i64);
        self.inner.workers.set(counts.workers as i64);
        let mut text = String::new();
        encode(&mut text, &self.inner.registry).expect("writing to a string does not fail");
        text
    }

    fn add_call(&self, path: &str, code: Code, took: Duration) {
        let method = if self.inner.methods.contains(path) { path } else { "other" };
        let labels = MethodLabels { method: method.to_owned() };
        self.inner.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let labels = CallLabels { method: method.to_owned(), code: format!("{code:?}") };
        self.inner.calls.get_or_create(&labels).inc();
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
    let response = next.run(request).await;
    // An error that ends a call before its stream begins is in the headers; a good answer has its code in the trailers.
    let code = response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()));
    metrics.add_call(&path, code, began.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_code_and_foreign_methods_together() {
        let metrics = Metrics::new();
        let path = "/transect.v1.SweepService/Submit";
        metrics.add_call(path, Code::Ok, Duration::from_millis(3));
        metrics.add_call(path, Code::NotFound, Duration::from_millis(3));
        metrics.add_call("/a/b", Code::Unimplemented, Duration::ZERO);
        metrics.add_call("/c/d", Code::Unimplemented, Duration::ZERO);
        metrics.add_leases_expired(2);
        let counts = Counts { sweeps: 1, jobs: vec![("line", "queued", 4)], points: 9, workers: 1 };
        let text = metrics.text(&counts);
        for line in [
            r#"transect_rpcs_total{method="/transect.v1.SweepService/Submit",code="Ok"} 1"#,
            r#"transect_rpcs_total{method="/transect.v1.SweepService/Submit",code="NotFound"} 1"#,
            r#"transect_rpcs_total{method="other",code="Unimplemented"} 2"#,
            r#"transect_rpc_duration_seconds_count{method="/transect.v1.SweepService/Submit"} 2"#,
            "transect_leases_expired_total 2",
            r#"transect_jobs{kind="line",state="queued"} 4"#,
            "transect_points 9",
            "transect_workers_live 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
