//! Errors as gRPC statuses: a code, a sentence that says what to do, and `google.rpc` details.

use std::error::Error;
use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use transect_common::sweep::SweepErrors;

use crate::artifacts::{ArtifactError, CollectError};
use crate::store::StoreError;

/// Statuses travel in HTTP/2 headers, which many clients limit to 8 KiB: so much text goes into the sentence ...
const SENTENCE_BYTES: usize = 1200;
/// ... and so much into the details, which are sent in base64.
const DETAIL_BYTES: usize = 3600;

/// One wrong field of a request.
pub fn invalid(field: &str, message: impl Into<String>) -> Status {
    let message = message.into();
    let sentence = cut(&format!("{field}: {message}"), SENTENCE_BYTES);
    let details = ErrorDetails::with_bad_request_violation(field, cut(&message, DETAIL_BYTES));
    Status::with_error_details(Code::InvalidArgument, sentence, details)
}

/// A thing that is not there. `what` is its kind: `sweep`, `artifact`.
pub fn not_found(what: &str, name: &str, message: impl Into<String>) -> Status {
    let message = cut(&message.into(), SENTENCE_BYTES);
    let details = ErrorDetails::with_resource_info(what, cut(name, SENTENCE_BYTES), "", &message);
    Status::with_error_details(Code::NotFound, message, details)
}

/// The coordinator is on its way out.
pub fn stopping() -> Status {
    Status::unavailable("the coordinator is stopping; try again once it is back")
}

/// A fault of ours. It is logged here, once.
pub fn internal(error: &(dyn Error + 'static)) -> Status {
    tracing::error!(error, "a request failed");
    Status::internal(cut(&format!("the coordinator failed: {error}; its log says more"), SENTENCE_BYTES))
}

/// Every mistake of a sweep file, as a sentence and as one field violation each: `LINE:COLUMN KEY`.
pub fn wrong_sweep(errors: &SweepErrors) -> Status {
    let mistakes = &errors.0;
    let count = match mistakes.len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    let lines =
        fitting(mistakes, SENTENCE_BYTES, |mistake| format!("\n{mistake}"), |more| format!("\nand {more} more"));
    let violations = fitting(
        mistakes,
        DETAIL_BYTES,
        |mistake| Violation(mistake.place(), mistake.message.clone()),
        |more| Violation(String::new(), format!("and {more} more mistakes; mend these first")),
    );
    let violations =
        violations.into_iter().map(|Violation(field, message)| FieldViolation::new(field.trim_end(), message));
    let details = ErrorDetails::with_bad_request(violations.collect::<Vec<_>>());
    let sentence = format!("the sweep file has {count}:{}", lines.concat());
    Status::with_error_details(Code::InvalidArgument, sentence, details)
}

/// Something with a length in bytes that can be cut.
trait Text {
    fn len(&self) -> usize;
    fn cut(self, bytes: usize) -> Self;
}

impl Text for String {
    fn len(&self) -> usize {
        self.len()
    }
    fn cut(self, bytes: usize) -> Self {
        cut(&self, bytes)
    }
}

struct Violation(String, String);

impl Text for Violation {
    fn len(&self) -> usize {
        self.0.len() + self.1.len()
    }
    fn cut(self, bytes: usize) -> Self {
        Self(cut(&self.0, bytes / 4), cut(&self.1, bytes - bytes / 4))
    }
}

/// As many of `items` as fit into `bytes`, the first in any case; `rest` says how many did not.
fn fitting<I, T: Text>(items: &[I], bytes: usize, text: impl Fn(&I) -> T, rest: impl Fn(usize) -> T) -> Vec<T> {
    let mut out: Vec<T> = Vec::new();
    let mut used = 0;
    for (place, item) in items.iter().enumerate() {
        let next = text(item).cut(bytes);
        if place > 0 && used + next.len() > bytes {
            out.push(rest(items.len() - place));
            break;
        }
        used += next.len();
        out.push(next);
    }
    out
}

/// At most about `bytes` of `text`, cut between characters.
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{} ...", &text[..text.floor_char_boundary(bytes)])
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let sentence = cut(&error.to_string(), SENTENCE_BYTES);
        match &error {
            StoreError::NotFound { what, name } => not_found(what, name, sentence),
            StoreError::Ambiguous { what, .. } => invalid(what, sentence),
            StoreError::Taken { what, name } => {
                let details = ErrorDetails::with_resource_info(*what, cut(name, SENTENCE_BYTES), "", &sentence);
                Self::with_error_details(Code::AlreadyExists, sentence, details)
            }
            StoreError::Invalid(_) => Self::invalid_argument(sentence),
            StoreError::Newer { .. } | StoreError::NetworkFileSystem { .. } | StoreError::Unwritable { .. } => {
                logged(&error, Self::failed_precondition(sentence))
            }
            StoreError::Full => logged(&error, Self::resource_exhausted(sentence)),
            StoreError::Damaged(_) => logged(&error, Self::data_loss(sentence)),
            StoreError::Database(_) => internal(&error),
            StoreError::Stopped => stopping(),
        }
    }
}

impl From<ArtifactError> for Status {
    fn from(error: ArtifactError) -> Self {
        let sentence = cut(&error.to_string(), SENTENCE_BYTES);
        match &error {
            ArtifactError::NotFound(artifact) => not_found("artifact", artifact.as_str(), sentence),
            ArtifactError::Mismatch { .. } => Self::data_loss(sentence),
            ArtifactError::Gap { .. } | ArtifactError::Beyond { .. } => Self::out_of_range(sentence),
            ArtifactError::Removed(_) => Self::aborted(sentence),
            ArtifactError::Busy(_) => Self::unavailable(sentence),
            ArtifactError::Damaged { .. } => logged(&error, Self::data_loss(sentence)),
            ArtifactError::Full { .. } => logged(&error, Self::resource_exhausted(sentence)),
            // Whoever runs the coordinator mends these while the caller waits.
            ArtifactError::Away { .. } | ArtifactError::Denied { .. } | ArtifactError::NoBucket { .. } => {
                logged(&error, Self::unavailable(sentence))
            }
            ArtifactError::Place(_) | ArtifactError::Io { .. } => internal(&error),
        }
    }
}

impl From<CollectError> for Status {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Artifacts(error) => error.into(),
            CollectError::Store(error) => error.into(),
        }
    }
}

/// What the operator should know of as well.
fn logged(error: &dyn fmt::Display, status: Status) -> Status {
    tracing::error!(%error, code = ?status.code(), "a request failed");
    status
}

#[cfg(test)]
mod tests {
    use transect_common::sweep::Diagnostic;

    use super::*;

    fn mistakes(count: u32, message: &str) -> SweepErrors {
        let mistake = |line| Diagnostic {
            file: String::new(),
            line,
            column: 3,
            key: "train.lr".into(),
            message: message.to_owned(),
        };
        SweepErrors((1..=count).map(mistake).collect())
    }

    #[test]
    fn every_mistake_is_a_field_violation_with_line_and_column() {
        let status = wrong_sweep(&mistakes(2, "must be above 0"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(
            status.message(),
            "the sweep file has 2 mistakes:\n1:3: train.lr: must be above 0\n2:3: train.lr: must be above 0"
        );
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[1].field, "2:3 train.lr");
        assert_eq!(violations[1].description, "must be above 0");
    }

    #[test]
    fn statuses_stay_small_enough_for_headers() {
        for status in [
            wrong_sweep(&mistakes(5000, "must be above 0")),
            wrong_sweep(&mistakes(3, &"ä".repeat(1 << 20))),
            invalid("sweep_file", "x".repeat(1 << 20)),
            not_found("sweep", &"x".repeat(1 << 20), "y".repeat(1 << 20)),
        ] {
            assert!(status.message().len() < 2000, "{}", status.message().len());
            assert!(status.details().len() < 6000, "{}", status.details().len());
        }
        let status = wrong_sweep(&mistakes(5000, "must be above 0"));
        assert!(status.message().contains("more"), "{}", status.message());
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert!(violations.last().unwrap().description.contains("more mistakes"));
    }

    #[test]
    fn what_is_not_there_is_named_in_the_details() {
        let status = Status::from(StoreError::NotFound { what: "sweep", name: "s-9".into() });
        assert_eq!(status.code(), Code::NotFound);
        let resource = status.get_details_resource_info().unwrap();
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("sweep", "s-9"));
    }
}
