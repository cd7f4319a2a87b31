//! The `transect` command: one file for each verb, a few for what they share.
//!
//! Shared: `args` (the command line), `connect` (where the coordinator is), `sweepfile` (reading one), `output` (what is
//! printed), `errors` (what went wrong, and the exit code), `json` (the wire's messages as JSON), `summary` (results
//! condensed), `progress` (how far a sweep is), `fleet` (worker processes of `run`).
//!
//! Invariants: only this crate prints to a terminal; what a command answers goes to standard output, everything else to
//! standard error; with `--json` standard output holds nothing but JSON.

mod args;
mod cancel;
mod connect;
mod dataset;
mod disk;
mod errors;
mod export;
mod fleet;
mod gc;
mod import;
mod json;
mod models;
mod output;
mod plan;
mod plot;
mod progress;
mod refined;
mod report;
mod results;
mod run;
mod scheduling;
mod signals;
mod slurm;
mod status;
mod store;
mod submit;
mod suggest;
mod summary;
mod sweepfile;
mod sweeps;
mod token;
mod watch;
mod workers;

use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Verb};
use errors::{Failure, Outcome};
use output::Output;
use transect_common::telemetry::{self, Logs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json, cli.global.color);
    let logs = Logs { program: "transect", json: cli.global.log_json, ansi: false };
    // Kept until the end: then the last spans are sent.
    let _telemetry = match telemetry::start(logs, connect::log) {
        Ok(telemetry) => telemetry,
        Err(error) => return output.failure(&Failure::Usage(error.to_string())),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return output.failure(&Failure::Other(anyhow::anyhow!("cannot start: {e}"))),
    };
    // Boxed: `block_on` is compiled three times over, with all that is inlined into it.
    let acting: Pin<Box<dyn Future<Output = _>>> = Box::pin(act(cli, output));
    let outcome = runtime.block_on(acting);
    runtime.shutdown_timeout(Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

/// `run` stops its workers when interrupted, so it looks after signals itself; every other command just ends.
async fn act(cli: Cli, output: Output) -> Outcome {
    let global = cli.global;
    let answers_signals = matches!(cli.verb, Verb::Run(_));
    let verb = async {
        match cli.verb {
            Verb::Run(args) => run::run(&global, output, args).await,
            Verb::Submit(args) => submit::submit(&global, output, args).await,
            Verb::Plan(args) => plan::plan(&global, output, args).await,
            Verb::Watch(args) => watch::watch(&global, output, args).await,
            Verb::Status(args) => status::status(&global, output, args).await,
            Verb::Results(args) => results::results(&global, output, args).await,
            Verb::Plot(args) => results::plot(&global, output, args).await,
            Verb::Report(args) => report::report(&global, output, args).await,
            Verb::Suggest(args) => suggest::suggest(&global, output, args).await,
            Verb::Cancel(args) => cancel::cancel(&global, output, args).await,
            Verb::Retry(args) => cancel::retry(&global, output, args).await,
            Verb::Worker(verb) => slurm::worker(&global, output, verb).await,
            Verb::Scale(args) => slurm::scale(&global, output, args).await,
            Verb::Token(args) => token::token(&global, output, args).await,
            Verb::Pause(args) => scheduling::pause(&global, output, args).await,
            Verb::Resume(args) => scheduling::resume(&global, output, args).await,
            Verb::Adjust(args) => scheduling::adjust(&global, output, args).await,
            Verb::Explain(args) => scheduling::explain(&global, output, args).await,
            Verb::Release(args) => scheduling::release(&global, output, args).await,
            Verb::Store(args) => Box::pin(store::store(output, args)).await,
            Verb::Workers => workers::workers(&global, output).await,
            Verb::Sweeps(args) => sweeps::sweeps(&global, output, args).await,
            Verb::Models(args) => models::models(output, &args),
            Verb::Import(args) => import::import(&global, output, args).await,
            Verb::Export(args) => export::export(&global, output, args).await,
            Verb::Gc(args) => gc::gc(&global, output, args).await,
            Verb::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "transect", &mut script);
                let script = String::from_utf8_lossy(&script);
                if output.is_json() {
                    output.json(&serde_json::json!({ "script": script }))
                } else {
                    output.text(script.trim_end())
                }
            }
        }
    };
    if answers_signals {
        return verb.await;
    }
    tokio::select! {
        outcome = verb => outcome,
        () = signals::interrupted() => Err(Failure::Interrupted),
    }
}
