//! What can go wrong with artifacts, by what the reader can do about it.

use std::error::Error;
use std::io;
use std::path::Path;

use transect_common::digest::ArtifactDigest;

/// Why an artifact cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The place given for artifacts is none.
    #[error("{0}")]
    Place(String),
    /// The bytes sent are not those that the name stands for.
    #[error(
        "the bytes sent are not artifact {expected}: their digest is {found} ({bytes} bytes). Nothing was stored; send it again"
    )]
    Mismatch {
        /// The name.
        expected: ArtifactDigest,
        /// The digest of what was sent.
        found: ArtifactDigest,
        /// Number of bytes sent.
        bytes: u64,
    },
    /// An upload goes on behind what is kept of it.
    #[error(
        "{have} bytes of artifact {artifact} are kept here, so its upload cannot go on at {offset}: ask Stat, or begin at 0"
    )]
    Gap {
        /// The name.
        artifact: ArtifactDigest,
        /// Bytes kept of it.
        have: u64,
        /// Where the upload was to go on.
        offset: u64,
    },
    /// What is kept of an upload is in use.
    #[error("artifact {0} is being uploaded or stored by another request at this moment; try again in a few seconds")]
    Busy(ArtifactDigest),
    /// A download begins behind the end.
    #[error("artifact {artifact} has {bytes} bytes, so it cannot be read from {offset}")]
    Beyond {
        /// The name.
        artifact: ArtifactDigest,
        /// Its size.
        bytes: u64,
        /// Where the download was to begin.
        offset: u64,
    },
    /// The bytes stored have changed since.
    #[error(
        "artifact {artifact} is damaged: the bytes of {place} have digest {found}. Put it back from a copy, or delete it and make the artifact again"
    )]
    Damaged {
        /// The name.
        artifact: ArtifactDigest,
        /// The file or object.
        place: String,
        /// The digest of its bytes.
        found: ArtifactDigest,
    },
    /// No such artifact.
    #[error("artifact {0} is not stored; upload it first")]
    NotFound(ArtifactDigest),
    /// A collection took it away in the instant in which it was stored.
    #[error("artifact {0} was removed by a collection of garbage while it was being stored; send it again")]
    Removed(ArtifactDigest),
    /// No space left.
    #[error("no space left to write {place}: {reason}. Nothing was stored; free some space and send it again")]
    Full {
        /// The file or object.
        place: String,
        /// What was said.
        reason: String,
    },
    /// The object store does not answer, or not as it should.
    #[error(
        "cannot {what} {place}: the object store does not answer ({reason}). Nothing is lost: try again once it is back; if it should be there, check AWS_ENDPOINT_URL and AWS_REGION of the coordinator"
    )]
    Away {
        /// What was tried.
        what: &'static str,
        /// On what.
        place: String,
        /// What was said.
        reason: String,
    },
    /// The object store does not let us.
    #[error(
        "cannot {what} {place}: the object store refuses the coordinator's keys ({reason}). Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the coordinator, and that they may read, write, list and delete there"
    )]
    Denied {
        /// What was tried.
        what: &'static str,
        /// On what.
        place: String,
        /// What was said.
        reason: String,
    },
    /// The bucket is not there.
    #[error(
        "cannot {what} {place}: there is no such bucket. Make it, or name another with --artifacts s3://BUCKET/PREFIX"
    )]
    NoBucket {
        /// What was tried.
        what: &'static str,
        /// On what.
        place: String,
    },
    /// The file system will not.
    #[error("cannot {what} {place}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        place: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Turns what the file system said about `path` into an error.
pub fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    move |source| from_io(what, path.display().to_string(), source)
}

fn from_io(what: &'static str, place: String, source: io::Error) -> ArtifactError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ArtifactError::Full { place, reason: source.to_string() }
        }
        _ => ArtifactError::Io { what, place, source },
    }
}

/// Turns what the object store said about `place` into an error.
pub fn refused(what: &'static str, place: String, error: &object_store::Error, is_folder: bool) -> ArtifactError {
    let text = innermost(error);
    if is_folder {
        let kind = io_kind(error).unwrap_or(io::ErrorKind::Other);
        return from_io(what, place, io::Error::new(kind, text));
    }
    let reason = words(&text);
    if text.contains("NoSuchBucket") {
        return ArtifactError::NoBucket { what, place };
    }
    let is_full = ["QuotaExceeded", "InsufficientStorage", "StorageFull", "507 "];
    if is_full.iter().any(|word| text.contains(word)) {
        return ArtifactError::Full { place, reason };
    }
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            ArtifactError::Denied { what, place, reason }
        }
        _ => ArtifactError::Away { what, place, reason },
    }
}

/// The text of the last error in the chain, which names the cause.
fn innermost(error: &object_store::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// What a server said, in short: code and message of an S3 error document, and nothing else of it, since such documents
/// repeat parts of the request.
fn words(text: &str) -> String {
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside.to_owned())
    };
    match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => {
            let head = text.split('<').next().unwrap_or_default();
            head.trim_end_matches([' ', ':']).chars().take(300).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_document_only_code_and_message_are_told() {
        let document = "Server returned non-2xx status code: 403 Forbidden: <?xml?><Error><Code>SignatureDoesNotMatch\
                        </Code><Message>bad key</Message><AWSAccessKeyId>AKIA1</AWSAccessKeyId></Error>";
        assert_eq!(words(document), "SignatureDoesNotMatch: bad key");
        assert_eq!(
            words("Server returned non-2xx status code: 403 Forbidden: "),
            "Server returned non-2xx status code: 403 Forbidden"
        );
    }
}
