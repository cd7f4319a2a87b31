//! What the operator asked for, and what follows from it for the two listeners: one pure decision.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::rate::Rate;

/// Files of the coordinator's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those of the authorities between it and the root (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Authorities whose certificates callers must show (PEM); None where they need none.
    pub client_ca: Option<PathBuf>,
}

/// Whether callers are asked for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Where the coordinator has a certificate, unless callers must show one themselves.
    #[default]
    Auto,
    /// Always, beside a certificate where one is asked for.
    Tokens,
}

/// How much is taken of one caller or of all together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections at once, on each listener.
    pub connections: usize,
    /// Calls open at once on one connection.
    pub streams: u32,
    /// Calls of one token (or certificate).
    pub calls: Rate,
    /// Calls of one token open at once, long polls and endless streams included.
    pub open_calls: u32,
    /// Longest silence within a request that is being sent.
    pub silence: Duration,
    /// Tokens are looked up anew after this long.
    pub recheck: Duration,
    /// Callers of calls that stay open are looked at anew this often.
    pub recheck_open: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            streams: 256,
            calls: Rate { per_second: 5000.0, burst: 20_000.0 },
            open_calls: 50_000,
            silence: Duration::from_mins(1),
            recheck: Duration::from_secs(2),
            recheck_open: Duration::from_secs(20),
        }
    }
}

/// All that concerns who may talk to a coordinator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Security {
    /// The certificate; None for plain text.
    pub tls: Option<TlsFiles>,
    /// Who is asked for a token.
    pub auth: Auth,
    /// The operator consents to plain text where others can listen.
    pub insecure: bool,
    /// Limits.
    pub limits: Limits,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever reaches the port.
    Anyone,
    /// Whoever has a token.
    Tokens,
    /// Whoever shows a certificate of the authority.
    Certificates,
    /// Whoever does both.
    Both,
}

impl Who {
    /// True when calls need a token.
    pub fn need_token(self) -> bool {
        matches!(self, Self::Tokens | Self::Both)
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Who may call.
    pub who: Who,
    /// The pages are served over TLS.
    pub pages_tls: bool,
    /// `/metrics` needs a token or a certificate.
    pub pages_ask: bool,
    /// Other machines reach something that is neither encrypted nor asks; the operator consented.
    pub is_exposed: bool,
}

fn is_reachable(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

impl Security {
    /// What follows for a coordinator that listens there, or a sentence that says why it must not start.
    pub(crate) fn policy(&self, listen: SocketAddr, http: Option<SocketAddr>) -> Result<Policy, String> {
        let reachable = [("--listen", Some(listen)), ("--http", http)];
        let reachable = reachable.into_iter().find_map(|(option, address)| {
            address.filter(|&address| is_reachable(address)).map(|address| (option, address))
        });
        let has_tls = self.tls.is_some();
        if let (Some((option, address)), false, false) = (reachable, has_tls, self.insecure) {
            return Err(format!(
                "{option} {address} can be reached by other machines, and nothing there would be encrypted. Add --tls-cert \
                 FILE and --tls-key FILE (docs/security.md shows how to make them; callers then need a token, or a \
                 certificate if --tls-client-ca FILE is given), or listen on 127.0.0.1, or say --insecure if everyone on \
                 that network may use it"
            ));
        }
        let asks_certificates = self.tls.as_ref().is_some_and(|files| files.client_ca.is_some());
        let who = match (asks_certificates, self.auth) {
            (true, Auth::Tokens) => Who::Both,
            (true, Auth::Auto) => Who::Certificates,
            (false, Auth::Tokens) => Who::Tokens,
            (false, Auth::Auto) if has_tls => Who::Tokens,
            (false, Auth::Auto) => Who::Anyone,
        };
        let pages_reachable = http.is_some_and(is_reachable);
        Ok(Policy {
            who,
            pages_tls: has_tls && pages_reachable,
            pages_ask: pages_reachable && (has_tls || self.auth == Auth::Tokens),
            is_exposed: reachable.is_some() && !has_tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:7700";
    const EVERYWHERE: &str = "0.0.0.0:7700";

    fn files(client_ca: bool) -> TlsFiles {
        TlsFiles { cert: "c".into(), key: "k".into(), client_ca: client_ca.then(|| "ca".into()) }
    }

    fn policy(security: &Security, listen: &str, http: &str) -> Result<Policy, String> {
        security.policy(listen.parse().unwrap(), http.parse().ok())
    }

    #[test]
    fn on_loopback_nothing_is_asked_unless_it_is_wanted() {
        for here in [HERE, "[::1]:7700", "127.3.2.1:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(policy(&Security::default(), here, here).unwrap().who, Who::Anyone, "{here}");
        }
        let tokens = Security { auth: Auth::Tokens, ..Security::default() };
        assert_eq!(policy(&tokens, HERE, "off").unwrap().who, Who::Tokens);
    }

    #[test]
    fn a_certificate_is_for_callers_that_are_known_on_loopback_too() {
        let tls = Security { tls: Some(files(false)), ..Security::default() };
        assert_eq!(policy(&tls, HERE, "off").unwrap().who, Who::Tokens);
        let mutual = Security { tls: Some(files(true)), ..Security::default() };
        assert_eq!(policy(&mutual, HERE, "off").unwrap().who, Who::Certificates);
    }

    #[test]
    fn off_loopback_plain_text_is_refused_with_what_to_add() {
        for (listen, http, option) in [
            (EVERYWHERE, "off", "--listen"),
            (HERE, EVERYWHERE, "--http"),
            ("[::]:1", "off", "--listen"),
            ("10.0.0.1:1", HERE, "--listen"),
        ] {
            let said = policy(&Security::default(), listen, http).unwrap_err();
            for word in [option, "--tls-cert", "--tls-key", "--tls-client-ca", "--insecure"] {
                assert!(said.contains(word), "{said}");
            }
        }
    }

    #[test]
    fn off_loopback_tls_asks_for_tokens_or_certificates_or_both() {
        let who = |client_ca, auth| {
            let security = Security { tls: Some(files(client_ca)), auth, ..Security::default() };
            policy(&security, EVERYWHERE, "off").unwrap().who
        };
        assert_eq!(who(false, Auth::Auto), Who::Tokens);
        assert_eq!(who(true, Auth::Auto), Who::Certificates);
        assert_eq!(who(true, Auth::Tokens), Who::Both);
    }

    #[test]
    fn consent_to_plain_text_is_remembered_and_does_not_undo_tls() {
        let insecure = Security { insecure: true, ..Security::default() };
        let exposed = policy(&insecure, EVERYWHERE, EVERYWHERE).unwrap();
        assert_eq!(exposed, Policy { who: Who::Anyone, pages_tls: false, pages_ask: false, is_exposed: true });
        assert!(!policy(&insecure, HERE, HERE).unwrap().is_exposed);
        let with_tls = Security { tls: Some(files(false)), ..insecure };
        assert_eq!(policy(&with_tls, EVERYWHERE, "off").unwrap().who, Who::Tokens);
    }

    #[test]
    fn pages_that_others_reach_are_encrypted_and_ask() {
        let security = Security { tls: Some(files(false)), ..Security::default() };
        let there = policy(&security, HERE, EVERYWHERE).unwrap();
        assert_eq!((there.pages_tls, there.pages_ask, there.who), (true, true, Who::Tokens));
        let here = policy(&security, EVERYWHERE, HERE).unwrap();
        assert_eq!((here.pages_tls, here.pages_ask), (false, false));
    }
}
