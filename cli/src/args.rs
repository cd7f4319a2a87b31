//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use transect_coordinator::store::StorePlace;

use crate::errors::Failure;
use crate::{
    cancel, export, gc, import, models, plan, report, results, run, scheduling, slurm, status, store, submit, suggest,
    sweeps, token, watch,
};

/// Measures the loss landscapes of neural networks: trains every run of a sweep once, walks the lines between its
/// checkpoints, and stores every point in a database.
#[derive(Debug, Parser)]
#[command(name = "transect", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const AFTER_HELP: &str = "\
Begin with:  transect plan SWEEP.toml    then  transect run SWEEP.toml

Exit codes:
    0  done
    1  something failed: a run, a probe, a file, the coordinator's answer
    2  wrong usage, a wrong sweep file or a wrong checkpoint
    3  the coordinator cannot be reached
    4  no such sweep, run or import
  130  interrupted; the same command goes on where it stopped";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder that holds the database, artifacts, plots and logs
    #[arg(
        long,
        global = true,
        env = "TRANSECT_HOME",
        default_value = ".transect",
        value_name = "DIR",
        help_heading = "Global options"
    )]
    pub home: PathBuf,
    /// Database of a coordinator that is started for this command: sqlite:PATH or postgres://USER@HOST/DATABASE; without it
    /// the one in the home folder. A URL with a password belongs into the variable, since everybody sees a command line
    #[arg(
        long,
        global = true,
        env = "TRANSECT_STORE",
        hide_env_values = true,
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub store: Option<String>,
    /// Coordinator to talk to, as http://HOST:PORT (several that share a store with commas between: any that answers);
    /// without it the one that is live in the home folder, or else one that is started for this command alone
    #[arg(
        long,
        global = true,
        env = "TRANSECT_COORDINATOR",
        value_name = "URL[,URL...]",
        help_heading = "Global options"
    )]
    pub coordinator: Option<String>,
    /// File with the token to show to the coordinator; without it, TRANSECT_TOKEN is one
    #[arg(long, global = true, env = "TRANSECT_TOKEN_FILE", value_name = "FILE", help_heading = "Global options")]
    pub token_file: Option<PathBuf>,
    /// Authority of the coordinator's certificate (PEM), for https:// addresses; without it, those that the system trusts
    #[arg(long, global = true, env = "TRANSECT_TLS_CA", value_name = "FILE", help_heading = "Global options")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show to the coordinator (PEM), with --tls-client-key
    #[arg(long, global = true, env = "TRANSECT_TLS_CLIENT_CERT", value_name = "FILE", help_heading = "Global options")]
    pub tls_client_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, global = true, env = "TRANSECT_TLS_CLIENT_KEY", value_name = "FILE", help_heading = "Global options")]
    pub tls_client_key: Option<PathBuf>,
    /// Answer in JSON: one document, or one line for each row of a stream
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Write the log of a coordinator that is started for this command as JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub log_json: bool,
    /// Colour the terminal's text
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        value_name = "auto|always|never",
        help_heading = "Global options"
    )]
    pub color: Color,
}

impl Global {
    /// Where the database of a coordinator that is started here is.
    ///
    /// # Errors
    /// It is no place of a store, or the command line holds a password. The text itself is never repeated.
    pub fn store_place(&self) -> Result<StorePlace, Failure> {
        let on_the_line = std::env::args().any(|word| word == "--store" || word.starts_with("--store="));
        let Some(given) = &self.store else { return Ok(StorePlace::Home) };
        let place: StorePlace = given.parse().map_err(|e| Failure::Usage(format!("--store or TRANSECT_STORE: {e}")))?;
        if on_the_line && place.holds_a_secret() {
            let reason = "everybody who lists processes sees the password in --store; put the URL into TRANSECT_STORE";
            return Err(Failure::Usage(reason.to_owned()));
        }
        Ok(place)
    }

    /// What a program started by this one needs to reach the same coordinator.
    pub fn access_variables(&self) -> Vec<(&'static str, PathBuf)> {
        let files = [
            ("TRANSECT_TOKEN_FILE", &self.token_file),
            ("TRANSECT_TLS_CA", &self.tls_ca),
            ("TRANSECT_TLS_CLIENT_CERT", &self.tls_client_cert),
            ("TRANSECT_TLS_CLIENT_KEY", &self.tls_client_key),
        ];
        files.into_iter().filter_map(|(name, file)| Some((name, file.clone()?))).collect()
    }
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// When standard error is a terminal and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Do a sweep on this machine: start a coordinator and workers, follow them, draw the figures
    Run(run::RunArgs),
    /// Say what a sweep would do, and store nothing
    Plan(plan::PlanArgs),
    /// Store a sweep for workers to do
    Submit(submit::SubmitArgs),
    /// Follow a sweep until it ends
    Watch(watch::WatchArgs),
    /// Show how far a sweep is and what failed
    Status(status::StatusArgs),
    /// Show or export what a sweep measured
    Results(results::ResultsArgs),
    /// Draw a sweep's lines as SVG and PNG
    Plot(results::PlotArgs),
    /// Write a sweep's results as one page, with figures and statistics
    Report(report::ReportArgs),
    /// Write a new sweep whose layers are trained by rules read off a sweep's lines of single layers
    Suggest(suggest::SuggestArgs),
    /// Stop a sweep; what other sweeps need goes on
    Cancel(cancel::CancelArgs),
    /// Queue a sweep's failed jobs again
    Retry(cancel::RetryArgs),
    /// Hold a sweep back: none of its jobs begins any more
    Pause(scheduling::SweepArgs),
    /// Let a paused sweep go on
    Resume(scheduling::SweepArgs),
    /// Change a sweep's priority, share or limit of workers
    Adjust(scheduling::AdjustArgs),
    /// Say why a job is not running, or what it is doing
    Explain(scheduling::ExplainArgs),
    /// List sweeps, newest first
    Sweeps(sweeps::SweepsArgs),
    /// List workers
    Workers,
    /// Start workers elsewhere: `worker slurm` writes or submits a batch script
    #[command(subcommand)]
    Worker(slurm::WorkerVerb),
    /// Keep the number of Slurm jobs that are workers in step with the work that waits
    Scale(slurm::ScaleArgs),
    /// Make, list and revoke the tokens by which a coordinator knows its callers
    Token(token::TokenArgs),
    /// Give a worker work again that was set aside because jobs failed on it
    Release(scheduling::ReleaseArgs),
    /// List architectures, or the layers and tensors of one
    Models(models::ModelsArgs),
    /// Store checkpoints that were trained elsewhere
    Import(import::ImportArgs),
    /// Write stored checkpoints to files
    Export(export::ExportArgs),
    /// Move a database
    Store(store::StoreArgs),
    /// Remove artifacts that nothing names any more
    Gc(gc::GcArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
