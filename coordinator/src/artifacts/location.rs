//! Where artifacts are kept: a folder, or a bucket of an S3-compatible store.
//!
//! Invariant: keys come from the environment (`AWS_*`, read once at the edge) and are never shown: not in `Debug`, not in
//! errors.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use super::error::{ArtifactError, failed};

/// One request may take so long, its body included; requests carry at most one part.
const REQUEST: &str = "60 seconds";
/// A request that fails in passing is tried again for so long; then the caller hears of it, and tries again later.
const RETRY: Duration = Duration::from_secs(10);

/// Where artifacts are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket, and what the names of its objects begin with.
    Bucket {
        /// The bucket.
        bucket: String,
        /// Beginning of all names, without slashes at its ends; may be empty.
        prefix: String,
        /// Endpoint, region, keys, ... by the usual names: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...
        settings: Vec<(String, String)>,
    },
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { bucket, prefix, .. } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl Location {
    /// Reads `FOLDER` or `s3://BUCKET/PREFIX`; `environment` may hold anything, of which `AWS_*` is kept for a bucket.
    pub fn parse(text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ArtifactError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() { Err(wrong(text)) } else { Ok(Self::Folder(text.into())) };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        if scheme != "s3" || bucket.is_empty() || !bucket.bytes().all(is_name) || prefix.contains("//") {
            return Err(wrong(text));
        }
        let settings = environment.filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix, settings: settings.collect() })
    }

    /// What reads, lists and deletes there.
    pub(super) fn objects(&self) -> Result<Arc<dyn ObjectStore>, ArtifactError> {
        match self {
            Self::Folder(path) => folder(path),
            Self::Bucket { bucket, prefix, settings } => connect(bucket, prefix, settings),
        }
    }
}

fn wrong(text: &str) -> ArtifactError {
    // What looks like an address with a password in it is not repeated.
    let shown = if text.contains('@') { "what was given" } else { text };
    ArtifactError::Place(format!(
        "`{shown}` is no place for artifacts: give a folder, or s3://BUCKET/PREFIX with endpoint, region and keys in the \
         environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
    ))
}

fn folder(path: &Path) -> Result<Arc<dyn ObjectStore>, ArtifactError> {
    std::fs::create_dir_all(path).map_err(failed("create", path))?;
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|e| super::error::refused("open", path.display().to_string(), &e, true))?;
    Ok(Arc::new(store.with_fsync(true)))
}

fn connect(bucket: &str, prefix: &str, settings: &[(String, String)]) -> Result<Arc<dyn ObjectStore>, ArtifactError> {
    // TLS needs a provider of cryptography; the first to name one wins, and all name the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new();
    for (name, value) in settings {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    if builder.get_config_value(&timeout).is_none() {
        builder = builder.with_config(timeout, REQUEST);
    }
    let value = |key: AmazonS3ConfigKey| builder.get_config_value(&key);
    let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
    let allows_http = value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)).is_some_and(|v| v == "true");
    if endpoint.is_some_and(|url| url.starts_with("http://")) && !allows_http {
        return Err(ArtifactError::Place(
            "AWS_ENDPOINT_URL begins with http://, so artifacts would travel in the clear: use https://, or set \
             AWS_ALLOW_HTTP=true if that network may carry them"
                .to_owned(),
        ));
    }
    let retry = RetryConfig { retry_timeout: RETRY, ..RetryConfig::default() };
    let store = builder.with_bucket_name(bucket).with_retry(retry).build().map_err(|e| {
        ArtifactError::Place(format!("the settings for s3://{bucket} (AWS_* in the environment) do not work: {e}"))
    })?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, ArtifactError> {
        let environment = [("AWS_SECRET_ACCESS_KEY", "hush"), ("HOME", "/root"), ("AWS_REGION", "")];
        Location::parse(text, environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter())
    }

    #[test]
    fn a_folder_or_a_bucket_with_a_prefix() {
        assert_eq!(parse("some/folder").unwrap(), Location::Folder("some/folder".into()));
        let Location::Bucket { bucket, prefix, settings } = parse("s3://data/lab/one/").unwrap() else { panic!() };
        assert_eq!((bucket.as_str(), prefix.as_str(), settings.len()), ("data", "lab/one", 1));
        assert_eq!(parse("s3://data").unwrap().to_string(), "s3://data");
    }

    #[test]
    fn anything_else_is_told_what_would_be_right() {
        for text in ["", "gs://bucket", "s3://", "s3:///prefix", "s3://key:secret@bucket/x", "s3://a//b"] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains("s3://BUCKET/PREFIX") && !said.contains("secret@"), "{said}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        assert!(!format!("{:?}", parse("s3://data/lab").unwrap()).contains("hush"));
    }

    #[test]
    fn an_endpoint_in_the_clear_must_be_asked_for() {
        let settings = vec![("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned())];
        let location = Location::Bucket { bucket: "b".into(), prefix: String::new(), settings };
        let said = location.objects().unwrap_err().to_string();
        assert!(said.contains("AWS_ALLOW_HTTP=true"), "{said}");
    }
}
