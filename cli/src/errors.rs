//! What went wrong, in words, and the exit code that says so.

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use transect_common::sweep::{Diagnostic, SweepErrors};

/// How a command ends.
pub type Outcome = Result<(), Failure>;

/// Why a command did not do what it was asked. Each kind is one exit code.
#[derive(Debug)]
pub enum Failure {
    /// Something failed; the answer already says what. Exit code 1.
    Told,
    /// Anything without a code of its own. Exit code 1.
    Other(anyhow::Error),
    /// Wrong usage or wrong input. Exit code 2.
    Usage(String),
    /// Mistakes in a sweep file, at least one. Exit code 2.
    Sweep {
        /// The file as the user named it.
        file: String,
        /// The mistakes, in the file's order.
        mistakes: Vec<Mistake>,
    },
    /// The coordinator does not answer. Exit code 3.
    Unreachable(String),
    /// Nothing has that name. Exit code 4.
    NotFound(String),
    /// Stopped by a signal. Exit code 130.
    Interrupted,
    /// Whoever read the answer stopped reading. Exit code 0.
    Closed,
}

/// One mistake in a sweep file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `LINE:COLUMN KEY` or `LINE:COLUMN`, after `FILE:` for a file that the sweep file extends, or a key, as far as it
    /// is known.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Failure {
    /// The exit code, which scripts may rely on.
    pub fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Told | Self::Other(_) => 1,
            Self::Usage(_) | Self::Sweep { .. } => 2,
            Self::Unreachable(_) => 3,
            Self::NotFound(_) => 4,
            Self::Interrupted => 130,
        }
    }

    /// For `--json`; nothing when the answer has said it already.
    pub fn json(&self) -> Option<Value> {
        let kind = match self {
            Self::Closed | Self::Told => return None,
            Self::Other(_) => "failed",
            Self::Usage(_) | Self::Sweep { .. } => "usage",
            Self::Unreachable(_) => "unreachable",
            Self::NotFound(_) => "not-found",
            Self::Interrupted => "interrupted",
        };
        let mut error = json!({ "kind": kind, "message": self.to_string() });
        if let Self::Sweep { file, mistakes } = self {
            let violations = mistakes.iter().map(|m| json!({ "place": m.place, "message": m.message }));
            error["file"] = json!(file);
            error["mistakes"] = violations.collect();
        }
        Some(json!({ "error": error }))
    }

    /// The mistakes that the parser found in `file`.
    pub fn sweep(file: &Path, errors: &SweepErrors) -> Self {
        let mistakes = errors.0.iter().map(Mistake::from).collect();
        Self::Sweep { file: file.display().to_string(), mistakes }
    }

    /// An answer of the coordinator to a sweep file: its field violations are places in `file`.
    pub fn about_sweep(file: &Path, status: &Status) -> Self {
        let mistakes = violations(status);
        if status.code() == Code::InvalidArgument && !mistakes.is_empty() {
            return Self::Sweep { file: file.display().to_string(), mistakes };
        }
        Self::from(status)
    }
}

impl From<&Diagnostic> for Mistake {
    fn from(d: &Diagnostic) -> Self {
        Self { place: d.place(), message: d.message.clone() }
    }
}

/// A mistake with the file that it is in: places in a file that `file` extends begin with its name, from `file`'s folder.
fn told(file: &str, mistake: &Mistake) -> String {
    let is_here = mistake.place.is_empty() || mistake.place.starts_with(|c: char| c.is_ascii_digit());
    match file.rsplit_once('/').filter(|_| !is_here) {
        _ if is_here => format!("{file}:{mistake}"),
        Some((folder, _)) => format!("{folder}/{mistake}"),
        None => mistake.to_string(),
    }
}

fn violations(status: &Status) -> Vec<Mistake> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|b| b.field_violations.as_slice()).unwrap_or_default();
    violations.iter().map(|v| Mistake { place: v.field.clone(), message: v.description.clone() }).collect()
}

/// True when the answer was lost on the way rather than given: the coordinator went away, or was never there.
fn is_lost(status: &Status) -> bool {
    // A status that came over the wire has no source; one that the transport made has its error.
    let made_here = std::error::Error::source(status).is_some();
    status.code() == Code::Unavailable || (made_here && status.code() != Code::Cancelled)
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let message = status.message().to_owned();
        if is_lost(status) {
            // What the connection made of it lies deeper.
            let message = std::error::Error::source(status).map_or(message, transect_common::client::reason);
            return Self::Unreachable(format!(
                "the coordinator does not answer ({message}); check that it is running, and --coordinator or --home"
            ));
        }
        match status.code() {
            Code::NotFound => Self::NotFound(message),
            Code::InvalidArgument => {
                let lines: Vec<String> = violations(status).iter().map(ToString::to_string).collect();
                let has_lines = lines.iter().any(|l| !message.contains(l.as_str()));
                Self::Usage(if has_lines { format!("{message}\n{}", lines.join("\n")) } else { message })
            }
            _ => Self::Other(anyhow::anyhow!(message)),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.split_once(' ') {
            Some((place, key)) => write!(f, "{place}: {key}: {}", self.message),
            None if self.place.is_empty() => f.write_str(&self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told | Self::Closed => Ok(()),
            Self::Other(error) => write!(f, "{error:#}"),
            Self::Usage(message) | Self::Unreachable(message) | Self::NotFound(message) => f.write_str(message),
            Self::Sweep { file, mistakes } => {
                let lines: Vec<String> = mistakes.iter().map(|m| told(file, m)).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Interrupted => f.write_str("interrupted; the same command goes on where it stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::{ErrorDetails, FieldViolation};

    #[test]
    fn field_violations_are_shown_as_places_in_the_file() {
        let details = ErrorDetails::with_bad_request(vec![
            FieldViolation::new("3:8 train.optimizer.lr", "must be above 0, is -1"),
            FieldViolation::new("9:1", "no probe"),
        ]);
        let status = Status::with_error_details(Code::InvalidArgument, "2 mistakes", details);
        let failure = Failure::about_sweep(Path::new("sweeps/x.toml"), &status);
        assert_eq!(failure.code(), 2);
        assert_eq!(
            failure.to_string(),
            "sweeps/x.toml:3:8: train.optimizer.lr: must be above 0, is -1\nsweeps/x.toml:9:1: no probe"
        );
        assert_eq!(failure.json().unwrap()["error"]["mistakes"][1]["place"], "9:1");
    }

    #[test]
    fn every_status_has_its_exit_code() {
        let code = |status: Status| Failure::from(status).code();
        assert_eq!(code(Status::not_found("no sweep `x`")), 4);
        assert_eq!(code(Status::unavailable("tcp connect error")), 3);
        assert_eq!(code(Status::invalid_argument("page_size")), 2);
        assert_eq!(code(Status::internal("disk full")), 1);
        assert_eq!(code(Status::from_error(Box::new(std::io::Error::other("connection reset")))), 3);
    }
}
