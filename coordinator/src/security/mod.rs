//! Who may talk to a coordinator, and how much: encryption, tokens and limits.
//!
//! A connection passes [`incoming`] (how many there may be, TLS, silence), a call then passes the guard (who calls, what
//! the method needs, how often), and only then reaches a service. What is promised is in `docs/security.md`.
//!
//! Invariants:
//! - Plain text is spoken on loopback only, unless the operator consented with `--insecure`.
//! - A secret is hashed where it enters and is kept, logged and compared in no other form.
//! - A method without an entry in [`needs`] is refused.

mod bodies;
mod guard;
mod identity;
mod incoming;
mod rate;
mod scope;
mod secret;
mod settings;
mod table;
mod tls;
mod token;

pub(crate) use guard::{guard, metrics_need_a_reader};
pub(crate) use identity::Gate;
pub use identity::Principal;
pub(crate) use incoming::{Incoming, Patience, Peer};
pub use rate::Rate;
pub use scope::{Scope, Scopes, ScopesError};
pub use secret::{PREFIX, Secret, SecretHash};
pub use settings::{Auth, Limits, Security, TlsFiles};
pub(crate) use settings::{Policy, Who};
pub use table::{Need, needs};
pub use tls::TlsError;
pub(crate) use tls::{Reloading, ServerSide};
pub use token::{NewToken, Token, TokenError, TokenId};
