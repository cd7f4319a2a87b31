//! Who calls, and whether they may: tokens and certificates, looked up once in a while, and counted.
//!
//! Invariant: what a lookup answered is forgotten after [`Limits::recheck`], so a token that was revoked is refused
//! that soon on every coordinator of the database.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tonic::codegen::http::header::{AUTHORIZATION, HeaderMap};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{error, warn};

use super::incoming::Peer;
use super::rate::{Bucket, Rate};
use super::scope::{Scope, Scopes};
use super::secret::{Secret, SecretHash};
use super::settings::{Limits, Who};
use super::table::{Need, needs};
use super::token::Token;
use crate::store::{Store, StoreError, Timestamp, WorkerId};

/// Lookups of tokens that no coordinator ever made, from one address: each costs a question to the database.
const GUESSES: Rate = Rate { per_second: 20.0, burst: 200.0 };
/// When a token was used is written down this often.
const NOTE_USE: Duration = Duration::from_mins(10);
/// Entries of each map that is kept in memory, at most.
const MOST_KEPT: usize = 20_000;
/// Longest wait for the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who calls.
#[derive(Debug, Clone)]
pub struct Principal {
    /// `token:4`, `certificate:3f...`; None where nobody is asked.
    id: Option<Arc<str>>,
    /// For people: the token's name.
    name: Arc<str>,
    scopes: Scopes,
    hash: Option<SecretHash>,
}

impl Principal {
    /// Whoever reaches the port, where nobody is asked.
    fn anyone() -> Self {
        Self { id: None, name: "anyone".into(), scopes: Scopes::all(), hash: None }
    }

    fn token(token: &Token, hash: SecretHash) -> Self {
        let id = format!("token:{}", token.id.0).as_str().into();
        Self { id: Some(id), name: token.name.as_str().into(), scopes: token.scopes.clone(), hash: Some(hash) }
    }

    fn certificate(digits: &str) -> Self {
        let id: Arc<str> = format!("certificate:{digits}").as_str().into();
        Self { id: Some(id.clone()), name: id, scopes: Scopes::all(), hash: None }
    }

    /// What they are called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells them from others; None where nobody is asked.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// Asks callers who they are, and counts their calls. Clones share it.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    who: Who,
    limits: Limits,
    store: Arc<dyn Store>,
    /// Tokens as they were when they were looked up; None for no such token.
    known: Mutex<Kept<SecretHash, (Instant, Option<Token>)>>,
    /// Whose each worker is: that never changes.
    owners: Mutex<Kept<WorkerId, Arc<str>>>,
    callers: Mutex<Kept<Arc<str>, Caller>>,
    guesses: Mutex<Kept<IpAddr, Bucket>>,
    began: Instant,
}

/// A map that stays small: it begins anew when it is full, which costs lookups and nothing else.
struct Kept<K, V>(HashMap<K, V>);

impl<K: Eq + Hash, V> Kept<K, V> {
    fn room(&mut self, is_needed: impl Fn(&V) -> bool) -> &mut HashMap<K, V> {
        if self.0.len() >= MOST_KEPT {
            self.0.retain(|_, value| is_needed(value));
        }
        &mut self.0
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[derive(Clone, Copy)]
struct Caller {
    bucket: Bucket,
    open: u32,
}

/// A call that was let in; it counts as open until this is dropped.
pub struct Admitted {
    /// Who calls.
    pub principal: Principal,
    _open: Option<Open>,
}

struct Open {
    gate: Gate,
    id: Arc<str>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut callers = self.gate.inner.callers.lock().expect("nobody panics while holding this lock");
        if let Some(caller) = callers.0.get_mut(&self.id) {
            caller.open = caller.open.saturating_sub(1);
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("who", &self.inner.who).finish_non_exhaustive()
    }
}

impl Gate {
    /// Lets in whoever `who` says, by the tokens of `store`.
    pub fn new(who: Who, limits: Limits, store: Arc<dyn Store>) -> Self {
        let inner = Inner {
            who,
            limits,
            store,
            known: Mutex::default(),
            owners: Mutex::default(),
            callers: Mutex::default(),
            guesses: Mutex::default(),
            began: Instant::now(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Lets a call in, or says why not. None for a method that needs nothing.
    pub async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Option<Admitted>, Status> {
        let need = needs(path).ok_or_else(|| Status::unimplemented("there is no such method"))?;
        let any_of: &[Scope] = match need {
            Need::Nothing => return Ok(None),
            Need::Known => &Scope::ALL,
            Need::AnyOf(scopes) => scopes,
        };
        let principal = self.principal(self.inner.who, headers, peer).await?;
        may(&principal, path, any_of)?;
        let open = principal.id.clone().map(|id| self.count(id)).transpose()?;
        Ok(Some(Admitted { principal, _open: open }))
    }

    /// Whether somebody who asks for a page may read; a certificate or a token will do.
    pub async fn reader(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<(), Status> {
        let who = if peer.is_some_and(|peer| peer.certificate.is_some()) { Who::Certificates } else { Who::Tokens };
        let principal = self.principal(who, headers, peer).await?;
        may(&principal, "/metrics", &[Scope::Read])?;
        principal.id.map(|id| self.count(id)).transpose().map(drop)
    }

    /// Errors once `principal` may no longer call. A database that is away refuses nobody who is in already.
    pub async fn still(&self, principal: &Principal) -> Result<(), Status> {
        let Some(hash) = principal.hash else { return Ok(()) };
        match self.token(hash, None).await {
            Err(status) if status.code() == Code::Unauthenticated => Err(status),
            _ => Ok(()),
        }
    }

    async fn principal(&self, who: Who, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Principal, Status> {
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        match (who, certificate) {
            (Who::Anyone, _) => return Ok(Principal::anyone()),
            (Who::Certificates, Some(digits)) => return Ok(Principal::certificate(digits)),
            (Who::Certificates | Who::Both, None) => {
                return Err(Status::unauthenticated("this coordinator asks for a certificate of its authority"));
            }
            (Who::Tokens, _) | (Who::Both, Some(_)) => {}
        }
        let hash = secret(headers)?.hash();
        let token = self.token(hash, peer.map(|peer| peer.address.ip())).await?;
        Ok(Principal::token(&token, hash))
    }

    /// The token of that hash, when it is good now.
    async fn token(&self, hash: SecretHash, from: Option<IpAddr>) -> Result<Token, Status> {
        let kept = self.inner.known.lock().expect("nobody panics while holding this lock").0.get(&hash).cloned();
        let token = match kept {
            Some((at, token)) if at.elapsed() < self.inner.limits.recheck => token,
            kept => {
                let is_guess = kept.is_none_or(|(_, token)| token.is_none());
                if let Some(ip) = from.filter(|_| is_guess) {
                    self.guess(ip)?;
                }
                self.look_up(hash).await?
            }
        };
        let now = std::time::SystemTime::now().into();
        match token.as_ref().map(|token| token.refusal(now)) {
            None => Err(Status::unauthenticated(
                "this coordinator does not know that token; `transect token list` shows those it knows, by name",
            )),
            Some(Some(refusal)) => Err(Status::unauthenticated(refusal)),
            Some(None) => Ok(token.expect("it was looked at")),
        }
    }

    async fn look_up(&self, hash: SecretHash) -> Result<Option<Token>, Status> {
        // Before it is asked: an answer counts from when it was true.
        let at = Instant::now();
        let found = tokio::time::timeout(PATIENCE, self.inner.store.token(hash)).await;
        let found = found.map_err(|_| Status::unavailable("the database does not answer; try again"))?;
        let token = found.map_err(|e| cannot_ask(&e))?;
        let recheck = self.inner.limits.recheck;
        let mut known = self.inner.known.lock().expect("nobody panics while holding this lock");
        known.room(|(at, _)| at.elapsed() < recheck).insert(hash, (at, token.clone()));
        drop(known);
        if let Some(token) = &token {
            self.note_use(token);
        }
        Ok(token)
    }

    /// Writes down now and then that a token was used. Nothing waits for it, and nothing is lost with it.
    fn note_use(&self, token: &Token) {
        let now: Timestamp = std::time::SystemTime::now().into();
        if token.used_at.is_none_or(|at| at.plus(NOTE_USE) <= now) && token.refusal(now).is_none() {
            let (store, id) = (self.inner.store.clone(), token.id);
            tokio::spawn(async move {
                if let Err(error) = store.token_used(id, now).await {
                    warn!(token = %id, %error, "could not write down that a token was used");
                }
            });
        }
    }

    fn guess(&self, ip: IpAddr) -> Result<(), Status> {
        let now = self.inner.began.elapsed();
        let mut guesses = self.inner.guesses.lock().expect("nobody panics while holding this lock");
        let guesses = guesses.room(|bucket| !bucket.is_full(GUESSES, now));
        let bucket = guesses.entry(ip).or_insert_with(|| Bucket::full(GUESSES, now));
        bucket.take(GUESSES, now).map_err(|wait| too_much("too many unknown tokens from this address", wait))
    }

    fn count(&self, id: Arc<str>) -> Result<Open, Status> {
        let (now, limits) = (self.inner.began.elapsed(), &self.inner.limits);
        let mut callers = self.inner.callers.lock().expect("nobody panics while holding this lock");
        let callers = callers.room(|caller| caller.open > 0 || !caller.bucket.is_full(limits.calls, now));
        let new = || Caller { bucket: Bucket::full(limits.calls, now), open: 0 };
        let caller = callers.entry(id.clone()).or_insert_with(new);
        if caller.open >= limits.open_calls {
            return Err(too_much("too many calls of one token are open at once", Duration::from_secs(1)));
        }
        caller.bucket.take(limits.calls, now).map_err(|wait| too_much("too many calls of one token", wait))?;
        caller.open += 1;
        Ok(Open { gate: self.clone(), id })
    }

    /// From now on `worker` is spoken for by `principal` alone.
    pub async fn own(&self, principal: &Principal, worker: WorkerId) -> Result<(), Status> {
        let Some(id) = &principal.id else { return Ok(()) };
        self.inner.store.own_worker(worker, id).await?;
        let mut owners = self.inner.owners.lock().expect("nobody panics while holding this lock");
        owners.room(|_| false).insert(worker, id.clone());
        Ok(())
    }

    /// Errors unless `principal` may speak for `worker`.
    pub async fn speaks_for(&self, principal: &Principal, worker: WorkerId) -> Result<(), Status> {
        let Some(id) = &principal.id else { return Ok(()) };
        let kept = self.inner.owners.lock().expect("nobody panics while holding this lock").0.get(&worker).cloned();
        let owner = match kept {
            Some(owner) => Some(owner),
            None => self.inner.store.worker_owner(worker).await?.map(|owner| Arc::from(owner.as_str())),
        };
        match owner {
            // Registered while nobody was asked: it registers again, and is its caller's then.
            None => Err(crate::status::not_found(
                "worker",
                &worker.to_string(),
                format!("{worker} is not known to belong to `{}`; register again", principal.name),
            )),
            Some(owner) if owner == *id => {
                let mut owners = self.inner.owners.lock().expect("nobody panics while holding this lock");
                owners.room(|_| false).insert(worker, owner);
                Ok(())
            }
            Some(_) => Err(Status::permission_denied(format!(
                "{worker} was registered with another token or certificate than `{}`, and only that one speaks for it",
                principal.name
            ))),
        }
    }
}

fn may(principal: &Principal, path: &str, any_of: &[Scope]) -> Result<(), Status> {
    if principal.scopes.allow(any_of) {
        return Ok(());
    }
    let what = path.rsplit_once('/').map_or(path, |(_, method)| method);
    let needed: Vec<String> = any_of.iter().map(|scope| format!("`{}`", scope.name())).collect();
    Err(Status::permission_denied(format!(
        "the token `{}` may {}; {what} needs {}",
        principal.name,
        principal.scopes,
        needed.join(" or ")
    )))
}

fn secret(headers: &HeaderMap) -> Result<Secret, Status> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (given.next(), given.next());
    let Some(first) = first else {
        return Err(Status::unauthenticated(
            "this coordinator asks for a token: give one with --token-file FILE or TRANSECT_TOKEN; `transect token create` \
             makes them",
        ));
    };
    let text = first.to_str().ok().and_then(|text| text.split_once(' '));
    let secret = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // What was given is not repeated: it may be a secret of something else.
    secret.and_then(|(_, text)| Secret::read(text.trim())).filter(|_| second.is_none()).ok_or_else(|| {
        Status::unauthenticated(
            "what was given is no token of Transect: `authorization: Bearer transect_...` is needed",
        )
    })
}

fn too_much(what: &str, wait: Duration) -> Status {
    let wait = wait.max(Duration::from_millis(10));
    let sentence = format!("{what}; try again in {:.2} s", wait.as_secs_f64());
    Status::with_error_details(Code::ResourceExhausted, sentence, ErrorDetails::with_retry_info(Some(wait)))
}

fn cannot_ask(cause: &StoreError) -> Status {
    error!(error = %cause, "cannot look tokens up");
    Status::unavailable("the coordinator cannot look tokens up; try again")
}
