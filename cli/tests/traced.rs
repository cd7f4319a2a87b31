//! What a collector of traces hears of a submission, from the command to the coordinator, and to each of its runs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use support::{Bench, tiny_sweep};
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_is_one_trace_to_which_those_of_its_runs_link() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let bench = Bench::new();
    bench.write("x.toml", tiny_sweep("x", 3, 1));
    let mut command = bench.command(&["submit", "x.toml", "--log-json"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let spans = collector.0.lock().unwrap();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (submit, rpc, queued) = (named("submit"), named("rpc"), named("queued"));
    assert_eq!((submit.len(), rpc.len(), queued.len()), (1, 1, 3));
    assert_eq!((&rpc[0].trace_id, &rpc[0].parent_span_id), (&submit[0].trace_id, &submit[0].span_id));
    let traces: BTreeSet<_> = queued.iter().map(|span| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 3);
    for span in queued {
        assert_eq!(span.links[0].trace_id, submit[0].trace_id);
        let run = span.attributes.iter().find(|attribute| attribute.key == "run").unwrap();
        let run = format!("{:?}", run.value);
        assert!(run.contains(&hex(&span.trace_id)[..12]), "{run} has the trace {}", hex(&span.trace_id));
    }
    // The coordinator that lived for this command logged, as JSON.
    let log = std::fs::read_to_string(bench.path(".transect/logs/coordinator.log")).unwrap();
    assert!(log.lines().count() > 1 && log.lines().all(|line| line.starts_with("{\"timestamp\"")), "{log}");
}
