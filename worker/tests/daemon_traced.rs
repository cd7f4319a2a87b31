//! What a collector of traces hears of a worker: a run's training and lines are one trace, named by the run's digest.
#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod daemon_fake;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use daemon_fake::worker::send;
use daemon_fake::{Fake, line, lines, tiny_run, training, write_tiny_mnist};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};

/// A collector that keeps all spans.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let spans = resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Serves a collector in a thread of its own; where it answers.
fn collect(collector: Collector) -> String {
    let (tell, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector));
            server.serve_with_incoming(incoming).await.unwrap();
        });
    });
    format!("http://{}", address.recv().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn a_runs_training_and_lines_are_one_trace_named_by_its_digest() {
    let collector = Collector::default();
    let endpoint = collect(collector.clone());
    let fake = Fake::start();
    let folder = tempfile::tempdir().unwrap();
    write_tiny_mnist(&folder.path().join("data"));
    let mut worker = Command::new(env!("CARGO_BIN_EXE_transect-worker"))
        .args(["--coordinator", &fake.url(), "--threads", "1", "--log-json", "--home"])
        .arg(folder.path())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env_remove("TRANSECT_DATA")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = tiny_run(1, 1);
    fake.give(training(&run, 1));
    fake.wait_done(1);
    let checkpoints = fake.state().checkpoints(1);
    fake.give(lines(&run, 2, &[line("all")], checkpoints));
    fake.wait_done(2);
    send(worker.id() as i32, Signal::SIGTERM);
    assert!(worker.wait().unwrap().success());

    let spans = collector.0.lock().unwrap();
    let digest = run.digest();
    let traces: BTreeSet<_> = spans.iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces, BTreeSet::from([digest.as_str()[..32].to_owned()]));
    let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!(["lease", "fetch", "train", "probe"].map(count), [2, 2, 1, 1]);
    // Asked to stop while the last rows are stored, the worker may leave before that span begins to count.
    assert!(count("report") >= 1);
    for span in spans.iter() {
        let parent = spans.iter().find(|other| other.span_id == span.parent_span_id).map(|other| other.name.as_str());
        if span.name == "lease" {
            assert_eq!(hex(&span.parent_span_id), digest.as_str()[32..48]);
        } else {
            assert_eq!(parent, Some("lease"), "{}", span.name);
        }
    }
}
