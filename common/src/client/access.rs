//! What a client shows and whom it trusts: a token, authorities, a certificate of its own; and what it means when a
//! connection fails for want of one of them.
//!
//! Invariants: a secret is read from a file or the environment, never from a command line; it is in no `Debug`; it is sent
//! over TLS, or in plain text to this machine alone.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use tonic::codegen::http::HeaderValue;
use tonic::codegen::http::Uri;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Where systems keep the authorities that they trust: Debian and Alpine, Fedora, openSUSE.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Where what a client shows and trusts is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessFiles {
    /// A file with a token in it.
    pub token: Option<PathBuf>,
    /// The authority that signed the coordinator's certificate (PEM); None for those that the system trusts.
    pub ca: Option<PathBuf>,
    /// A certificate of the client's own (PEM), with `key`.
    pub cert: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
}

/// What a client shows and whom it trusts.
#[derive(Clone, Default)]
pub struct Access {
    /// As it is sent.
    pub(super) token: Option<HeaderValue>,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read {what} from {}: {source}", path.display())]
    File {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no token.
    #[error("{0} holds no token: `transect_` and 64 digits, as `transect token create` prints it")]
    NoToken(String),
    /// A certificate without its key, or the other way round.
    #[error("--tls-client-cert and --tls-client-key go together")]
    Half,
    /// The token could be read on its way.
    #[error("the token would travel to {0} in plain text; use an https:// address (docs/security.md)")]
    PlainText(String),
    /// TLS cannot be spoken.
    #[error("cannot speak TLS with {address}: {reason}. Check --tls-ca, --tls-client-cert and --tls-client-key")]
    Tls {
        /// The coordinator.
        address: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the files. `token` is one from the environment, used where no file is named. Blocks.
    pub fn read(files: &AccessFiles, token: Option<&str>) -> Result<Self, AccessError> {
        let token = match (&files.token, token) {
            (Some(path), _) => {
                let text = String::from_utf8(read("a token", path)?).unwrap_or_default();
                Some(header(&text).ok_or_else(|| AccessError::NoToken(path.display().to_string()))?)
            }
            (None, Some(text)) if !text.trim().is_empty() => {
                Some(header(text).ok_or_else(|| AccessError::NoToken("TRANSECT_TOKEN".to_owned()))?)
            }
            (None, _) => None,
        };
        let identity = match (&files.cert, &files.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((read("a certificate", cert)?, read("a private key", key)?)),
            _ => return Err(AccessError::Half),
        };
        let ca = files.ca.as_deref().map(|path| read("the authority's certificate", path)).transpose()?;
        Ok(Self { token, ca, identity })
    }

    /// The settings for an `https://` address; authorities of the system where none is named.
    pub(super) fn tls(&self) -> ClientTlsConfig {
        let system = || SYSTEM.iter().find_map(|path| fs::read(path).ok());
        let mut tls = ClientTlsConfig::new();
        if let Some(pem) = self.ca.clone().or_else(system) {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        if let Some((cert, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        tls
    }

    /// Errors when a secret would travel to `address` in plain text.
    pub(super) fn may_travel(&self, address: &str, uri: &Uri) -> Result<(), AccessError> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_here =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        if self.token.is_some() && uri.scheme_str() != Some("https") && !is_here {
            return Err(AccessError::PlainText(address.to_owned()));
        }
        Ok(())
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, AccessError> {
    fs::read(path).map_err(|source| AccessError::File { what, path: path.to_owned(), source })
}

/// A token as it is sent; marked as something that is not to be shown.
fn header(text: &str) -> Option<HeaderValue> {
    let text = text.trim();
    let digits = text.strip_prefix("transect_")?;
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Why a connection failed, from an error with all its sources: what is wrong and what to do about it.
pub fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if said.last() != Some(&text) {
            said.push(text);
        }
        next = error.source();
    }
    explained(&said.join(": ")).unwrap_or_else(|| said.pop().unwrap_or_default())
}

/// What rustls and HTTP/2 say, in the words of somebody who has to mend it.
fn explained(said: &str) -> Option<String> {
    let has = |what: &str| said.contains(what);
    let is_alert = has("fatal alert") || has("AlertReceived");
    let words = if is_alert && (has("CertificateRequired") || has("certificate required")) {
        "the coordinator asks for a client certificate; give one with --tls-client-cert and --tls-client-key"
    } else if is_alert && (has("UnknownCA") || has("unknown CA")) {
        "the coordinator does not know the authority of this client's certificate (--tls-client-cert)"
    } else if is_alert && (has("CertificateExpired") || has("certificate expired")) {
        "this client's certificate (--tls-client-cert) has expired"
    } else if is_alert && has("ertificate") {
        "the coordinator refuses this client's certificate (--tls-client-cert)"
    } else if is_alert {
        "the coordinator will not speak TLS like that"
    } else if has("certificate expired") || has("Expired") {
        "the coordinator's certificate has expired; it needs a new one"
    } else if has("not valid yet") || has("NotValidYet") {
        "the coordinator's certificate is not valid yet; check the clocks of both machines"
    } else if has("not valid for name") || has("NotValidForName") {
        "the coordinator's certificate is for another host name; use the name that it was made for"
    } else if has("CaUsedAsEndEntity") {
        "the coordinator shows the certificate of an authority itself (as `openssl req -x509` makes them); it needs one that \
         the authority signed (docs/security.md)"
    } else if has("UnknownIssuer") || has("BadSignature") || has("unknown issuer") {
        "the coordinator's certificate is from an authority that is not trusted here; name the right one with --tls-ca"
    } else if has("InvalidContentType") || has("corrupt message") {
        "the coordinator does not speak TLS there; an http:// address does without (on this machine only)"
    } else if has("HTTPS without TLS") {
        "no authority is known for an https:// address; name one with --tls-ca"
    } else if has("frame with invalid size")
        || has("http2 error")
        || has("broken pipe")
        || has("connection closed")
        || has("operation was canceled")
    {
        "it ended the connection; if it speaks TLS, its address begins with https://, and it may ask for --tls-client-cert"
    } else {
        return None;
    };
    Some(format!("{words} ({})", said.rsplit(": ").next().unwrap_or(said)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> String {
        format!("transect_{}", "ab".repeat(32))
    }

    #[test]
    fn a_token_is_read_with_its_end_of_line_and_never_shown() {
        let access = Access::read(&AccessFiles::default(), Some(&format!("{}\n", token()))).unwrap();
        assert!(!format!("{access:?} {:?}", access.token).contains("abab"), "{access:?}");
        for wrong in ["transect_zz", "abc", "Bearer x"] {
            let error = Access::read(&AccessFiles::default(), Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("TRANSECT_TOKEN") && !error.contains(&format!("`{wrong}`")), "{error}");
        }
        assert!(Access::read(&AccessFiles::default(), Some("")).unwrap().token.is_none());
    }

    #[test]
    fn a_token_travels_in_plain_text_to_this_machine_only() {
        let access = Access::read(&AccessFiles::default(), Some(&token())).unwrap();
        for (address, may) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("https://far:1", true),
            ("http://far:1", false),
            ("http://10.0.0.1:1", false),
            ("http://localhost.far:1", false),
        ] {
            assert_eq!(access.may_travel(address, &address.parse().unwrap()).is_ok(), may, "{address}");
        }
        assert!(Access::default().may_travel("http://far:1", &"http://far:1".parse().unwrap()).is_ok());
    }

    #[test]
    fn failures_of_tls_are_told_apart() {
        for (said, words) in [
            ("x: invalid peer certificate: certificate expired: verification time 3 (UNIX)", "has expired"),
            ("invalid peer certificate: UnknownIssuer", "--tls-ca"),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "of an authority itself"),
            ("invalid peer certificate: certificate not valid for name \"a\"; only b", "another host name"),
            ("connection error: received fatal alert: CertificateRequired", "--tls-client-cert and"),
            ("received fatal alert: UnknownCA", "this client's"),
            ("received corrupt message of type InvalidContentType", "does not speak TLS"),
            ("http2 error: connection error received: frame with invalid size", "https://"),
        ] {
            let told = explained(said).unwrap();
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(explained("tcp connect error: Connection refused (os error 111)"), None);
    }
}
