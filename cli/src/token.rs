//! `transect token`: make, list and revoke tokens. Through a coordinator where one is named; otherwise in the store
//! itself, which is how the first token is made: whoever may write the store needs no token.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use transect_common::pb;
use transect_coordinator::security::{NewToken, Scope, Scopes, Secret};
use transect_coordinator::store::{Store, StoreError, Terms, Timestamp};

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, table};
use crate::sweeps::seconds;

/// Make, list or revoke tokens.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token and print its secret, once
    Create {
        /// What it is called
        name: String,
        /// What it may be used for: read, submit (includes read), work or admin (includes all); may be given several times
        #[arg(long = "scope", required = true, value_delimiter = ',', value_name = "SCOPE", value_parser = scope)]
        scopes: Vec<Scope>,
        /// It ends by itself after so long, such as 12h or 30d; without it, only when it is revoked
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        /// Write the secret to a new file that only you can read, instead of printing it
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// List tokens, without their secrets
    List,
    /// Revoke a token: within 5 seconds no call is let in with it
    Revoke {
        /// Its name, or its id such as t-4
        token: String,
    },
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::from_name(name).ok_or_else(|| format!("`{name}` is no scope; there are read, submit, work and admin"))
}

/// Does what is asked.
pub async fn token(global: &Global, output: Output, args: TokenArgs) -> Outcome {
    let place = Place::open(global).await?;
    let done = match args.verb {
        TokenVerb::Create { name, scopes, expires, write } => {
            let scopes = Scopes::new(scopes).map_err(|e| Failure::Usage(e.to_string()))?;
            create(&place, output, &name, &scopes, expires, write.as_deref()).await
        }
        TokenVerb::List => list(&place, output).await,
        TokenVerb::Revoke { token } => revoke(&place, output, token).await,
    };
    place.close().await;
    done
}

/// Where tokens are kept.
enum Place {
    /// Behind a coordinator.
    There(Box<Session>),
    /// In a store that is opened here.
    Here(Arc<dyn Store>),
}

impl Place {
    async fn open(global: &Global) -> Result<Self, Failure> {
        if global.coordinator.is_some() {
            return Ok(Self::There(Box::new(Session::open(global, Need::Database).await?)));
        }
        let home = transect_coordinator::home::Home::open(&global.home).map_err(anyhow::Error::from)?;
        let place = global.store_place()?;
        let store = Box::pin(place.open(&home.database(), Terms::default())).await.map_err(anyhow::Error::from)?;
        Ok(Self::Here(store))
    }

    async fn close(self) {
        if let Self::There(session) = self {
            session.close().await;
        }
    }
}

async fn create(
    place: &Place,
    output: Output,
    name: &str,
    scopes: &Scopes,
    expires: Option<Duration>,
    write: Option<&Path>,
) -> Outcome {
    // Before the token is made: a secret that cannot be kept would be lost.
    let mut file = write.map(new_file).transpose()?;
    let (token, secret) = match place {
        Place::There(session) => {
            let request = pb::CreateTokenRequest {
                name: name.to_owned(),
                scopes: scopes.names().map(str::to_owned).collect(),
                expires_seconds: expires.map(|life| life.as_secs()),
            };
            let answer = session.admin().create_token(request).await?.into_inner();
            (answer.token.unwrap_or_default(), answer.secret)
        }
        Place::Here(store) => {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("there is no randomness: {e}"))?;
            let (secret, now) = (Secret::from_random(&random), now());
            let new = NewToken::new(name, secret.hash(), scopes.clone(), expires, &who(), now);
            let new = new.map_err(|e| Failure::Usage(e.to_string()))?;
            let token = store.create_token(new, now).await.map_err(failure)?;
            (token.to_wire(now), secret.reveal().to_owned())
        }
    };
    if let (Some(file), Some(path)) = (&mut file, write) {
        writeln!(file, "{secret}").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if output.is_json() {
        let secret = if write.is_some() { Value::Null } else { json!(secret) };
        return output.json(&json!({ "token": shown(&token), "secret": secret }));
    }
    let until =
        token.expires_at.as_deref().map_or("until it is revoked".to_owned(), |at| format!("until {}", seconds(at)));
    let scopes = token.scopes.join(", ");
    if let Some(path) = write {
        let place = path.display();
        return output.text(&format!(
            "token {name} ({}) is good for {scopes} {until}; its secret is in {place}",
            token.token_id
        ));
    }
    output.text(&secret)?;
    output.note(&format!(
        "Token {name} ({}) is good for {scopes} {until}. The line above is its secret, which cannot be shown again: \
         keep it in a file that only you can read, and name that with --token-file.",
        token.token_id
    ));
    Ok(())
}

fn new_file(path: &Path) -> Result<std::fs::File, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(opened.with_context(|| format!("cannot make {} (it must not exist yet)", path.display()))?)
}

async fn list(place: &Place, output: Output) -> Outcome {
    let tokens = match place {
        Place::There(session) => session.admin().list_tokens(pb::ListTokensRequest {}).await?.into_inner().tokens,
        Place::Here(store) => {
            let now = now();
            store.tokens().await.map_err(failure)?.into_iter().map(|token| token.to_wire(now)).collect()
        }
    };
    if output.is_json() {
        return output.json(&tokens.iter().map(shown).collect::<Value>());
    }
    if tokens.is_empty() {
        output.note("There are no tokens: `transect token create NAME --scope admin` makes one.");
        return Ok(());
    }
    let moment = |at: &Option<String>| at.as_deref().map_or("-".to_owned(), seconds);
    let row = |t: &pb::Token| {
        vec![
            t.token_id.clone(),
            t.name.clone(),
            t.scopes.join(","),
            t.state.clone(),
            moment(&t.expires_at),
            moment(&t.used_at),
            t.created_by.clone(),
        ]
    };
    let header = ["id", "name", "scopes", "state", "expires (UTC)", "used (UTC)", "made by"];
    output.text(&table(&header, &[], tokens.iter().map(row).collect()))
}

async fn revoke(place: &Place, output: Output, token: String) -> Outcome {
    let token = match place {
        Place::There(session) => {
            let answer = session.admin().revoke_token(pb::RevokeTokenRequest { token }).await?;
            answer.into_inner().token.unwrap_or_default()
        }
        Place::Here(store) => {
            let now = now();
            store.revoke_token(&token, now).await.map_err(failure)?.to_wire(now)
        }
    };
    if output.is_json() {
        return output.json(&shown(&token));
    }
    output.text(&format!("token {} ({}) is revoked", token.name, token.token_id))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Who made a token beside the store: the user and the machine.
fn who() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim())
}

fn failure(error: StoreError) -> Failure {
    match &error {
        StoreError::NotFound { .. } => Failure::NotFound(error.to_string()),
        StoreError::Taken { .. } => Failure::Usage(error.to_string()),
        _ => Failure::Other(error.into()),
    }
}

fn shown(token: &pb::Token) -> Value {
    json!({
        "token_id": token.token_id,
        "name": token.name,
        "scopes": token.scopes,
        "state": token.state,
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "used_at": token.used_at,
    })
}
