//! The coordinator's side of TLS: read from PEM files, and read again when they change.
//!
//! Invariant: a certificate that cannot be read never replaces one that could.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tracing::{info, warn};

use super::settings::TlsFiles;

/// Files are looked at this often.
const LOOK: Duration = Duration::from_secs(5);

/// Why TLS cannot be spoken with those files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of its kind.
    #[error("{option} {}: {reason}. It must be a PEM file with {wanted}", path.display())]
    File {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// They do not belong together, or cannot be used.
    #[error("--tls-cert {} and --tls-key {} cannot be used: {source}", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authority of callers cannot be used.
    #[error("--tls-client-ca {}: {reason}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What differs between the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSide {
    /// The protocol that is agreed on: `h2`, `http/1.1`.
    pub protocol: &'static str,
    /// Callers may do without a certificate even where there is an authority: something else is asked of them.
    pub certificate_is_optional: bool,
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { option, path: path.to_owned(), reason, wanted: "certificates" };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|e| wrong(in_words(&e)))?;
    if read.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(read) }
}

fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is nothing of that kind in it".to_owned(),
        other => other.to_string(),
    }
}

/// The settings of a listener.
fn load(files: &TlsFiles, side: ServerSide) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("--tls-cert", &files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::File {
        option: "--tls-key",
        path: files.key.clone(),
        reason: in_words(&error),
        wanted: "a private key",
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("ring has all suites of the default protocol versions");
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let wrong = |reason: String| TlsError::Authority { path: path.clone(), reason };
            let mut roots = RootCertStore::empty();
            for authority in certificates("--tls-client-ca", path)? {
                roots.add(authority).map_err(|e| wrong(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if side.certificate_is_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| wrong(e.to_string()))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config =
        config.map_err(|source| TlsError::Pair { cert: files.cert.clone(), key: files.key.clone(), source })?;
    config.alpn_protocols = vec![side.protocol.as_bytes().to_vec()];
    Ok(Arc::new(config))
}

/// What tells a file that was replaced from the one before.
type Stamp = Vec<Option<(u64, u64, i64, i64)>>;

fn stamp(files: &TlsFiles) -> Stamp {
    let paths = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    let look = |path: &PathBuf| fs::metadata(path).ok().map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
    paths.into_iter().flatten().map(look).collect()
}

/// The settings of a listener as the files are now.
#[derive(Debug)]
pub struct Reloading {
    files: TlsFiles,
    side: ServerSide,
    current: RwLock<Arc<ServerConfig>>,
}

impl Reloading {
    /// Reads the files. Blocks.
    pub fn open(files: TlsFiles, side: ServerSide) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(load(&files, side)?);
        Ok(Arc::new(Self { files, side, current }))
    }

    /// For the next handshake.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.read().expect("nobody panics while holding this lock").clone()
    }

    /// Looks at the files for as long as it is polled. Connections that are open keep the certificate that they began with.
    pub async fn follow(self: Arc<Self>) {
        let mut loaded = stamp(&self.files);
        let mut told = loaded.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            // Taken before the files are read: what changes meanwhile is read again.
            let now = stamp(&self.files);
            if now == loaded {
                continue;
            }
            match load(&self.files, self.side) {
                Ok(config) => {
                    *self.current.write().expect("nobody panics while holding this lock") = config;
                    loaded.clone_from(&now);
                    info!(cert = %self.files.cert.display(), "the certificate was read anew");
                }
                // Files are replaced one after the other: the next look may find both.
                Err(error) if told != now => {
                    warn!(%error, "the changed certificate cannot be used; going on with the one before");
                }
                Err(_) => {}
            }
            told = now;
        }
    }
}
