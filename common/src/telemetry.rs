//! Logs and traces of the three programs. (The one module of this crate that does I/O, and only when a program starts it.)
//!
//! Logs are lines of text or of JSON, `info` and above unless `TRANSECT_LOG` says otherwise. Traces are sent over OTLP
//! (gRPC) to `OTEL_EXPORTER_OTLP_ENDPOINT` when it is set, and cost nothing when it is not.
//!
//! A run has one trace, whoever trains it or walks its lines, in whatever attempt and for whichever sweep: its id is the
//! first 32 digits of the run's digest. So nobody has to store or carry it, and who knows a run finds its trace. A
//! submission has the trace of its client, carried in gRPC metadata (W3C `traceparent`); the first span of each of its runs
//! links to it.

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Runtime;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::digest::RunDigest;

/// Name of the gRPC metadata that carries a trace.
pub const TRACEPARENT: &str = "traceparent";
/// Where traces go.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Spans that are not sent yet get so long when the program ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a program logs.
#[derive(Debug, Clone, Copy)]
pub struct Logs {
    /// The program's name, which traces carry.
    pub program: &'static str,
    /// JSON rather than text.
    pub json: bool,
    /// Colours, in text.
    pub ansi: bool,
}

/// Keeps traces going; dropping it sends what is left. Keep it until the program ends.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<Traces>,
}

#[derive(Debug)]
struct Traces {
    provider: SdkTracerProvider,
    /// The exporter's own, so that the program's runtime may be of any kind and busy.
    runtime: Runtime,
}

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to {ENDPOINT}={endpoint}: {reason}. Correct it, or unset it to send none")]
pub struct TelemetryError {
    endpoint: String,
    reason: String,
}

/// Starts logs and traces of this process, to be called once.
///
/// # Errors
/// The address for traces makes no sense. That nobody answers there is no error.
pub fn start<W>(logs: Logs, writer: W) -> Result<Telemetry, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = || EnvFilter::try_from_env("TRANSECT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A full disk is said once, by whoever meets it, and not for every line that cannot be logged.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if logs.json {
        lines.json().with_filter(filter()).boxed()
    } else {
        lines.with_ansi(logs.ansi).with_target(false).with_filter(filter()).boxed()
    };
    let endpoint = std::env::var(ENDPOINT).unwrap_or_default();
    let traces = if endpoint.is_empty() { None } else { Some(traces(logs.program, &endpoint)?) };
    let spans = traces.as_ref().map(|traces| {
        // What the libraries below say of themselves is for logs.
        let ours =
            EnvFilter::new("off,transect=info,transect_common=info,transect_coordinator=info,transect_worker=info");
        tracing_opentelemetry::layer()
            .with_tracer(traces.provider.tracer("transect"))
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    });
    // A second start keeps the first's subscriber.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
    Ok(Telemetry { traces })
}

fn traces(program: &'static str, endpoint: &str) -> Result<Traces, TelemetryError> {
    let wrong = |reason: String| TelemetryError { endpoint: endpoint.to_owned(), reason };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("traces")
        .enable_all()
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    let inside = runtime.enter();
    // The exporter reads the endpoint and the other variables of OpenTelemetry by itself.
    let exporter = SpanExporter::builder().with_tonic().build().map_err(|e| wrong(e.to_string()))?;
    let resource = Resource::builder().with_service_name(program).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    drop(inside);
    Ok(Traces { provider, runtime })
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Traces { provider, runtime }) = self.traces.take() {
            // A collector that is away costs its spans and nothing else.
            let _ = provider.shutdown_with_timeout(PATIENCE);
            runtime.shutdown_background();
        }
    }
}

/// The trace of a run, as the place to put spans under.
fn of_run(run: &RunDigest) -> SpanContext {
    let mut bytes = [0; 24];
    for (byte, digits) in bytes.iter_mut().zip(run.as_str().as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&bytes[..16]);
    span.copy_from_slice(&bytes[16..]);
    SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(span),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

/// Puts a span that has just been made into the trace of a run.
pub fn belongs_to(span: &Span, run: &RunDigest) {
    // Without traces there is nothing to put it into.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(of_run(run)));
}

/// Continues the trace that `traceparent` names; what is no such name is passed over.
pub fn follows(span: &Span, traceparent: &str) {
    if let Some(parent) = read(traceparent) {
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
}

/// Links a span to another.
pub fn links(span: &Span, to: &Span) {
    let context = to.context();
    let context = context.span().span_context().clone();
    if context.is_valid() {
        span.add_link(context);
    }
}

/// The span's name for others, to be sent as [`TRACEPARENT`]; none without traces.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    let flags = context.trace_flags().to_u8();
    context.is_valid().then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// `00-TRACE-SPAN-FLAGS`, as W3C Trace Context has it.
fn read(traceparent: &str) -> Option<SpanContext> {
    let fields: Vec<&str> = traceparent.split('-').collect();
    let [version, trace, span, flags, ..] = fields[..] else { return None };
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let known = version != "ff" && (version != "00" || fields.len() == 4);
    if !(known && is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2)) {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_trace_is_the_beginning_of_its_digest() {
        let digest = RunDigest::of(b"x");
        let context = of_run(&digest);
        assert_eq!(context.trace_id().to_string(), digest.as_str()[..32]);
        assert_eq!(context.span_id().to_string(), digest.as_str()[32..48]);
        assert!(context.is_valid() && context.is_sampled());
    }

    #[test]
    fn a_traceparent_is_read_as_w3c_says_and_anything_else_is_none() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = read(text).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        for wrong in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0+",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn without_traces_a_span_has_no_name_for_others() {
        assert_eq!(traceparent(&tracing::info_span!("x")), None);
    }
}
