//! What is asked of a database about tokens, and about whose each worker is.

use async_trait::async_trait;

use super::{Result, Timestamp, WorkerId};
use crate::security::{NewToken, SecretHash, Token, TokenId};

/// Tokens. Like all of the store: each method is one transaction, time is passed in, nothing is deleted.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// Stores a token. `Taken` when one of that name is not revoked.
    async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<Token>;

    /// Every token ever made, oldest first.
    async fn tokens(&self) -> Result<Vec<Token>>;

    /// The token whose secret has that hash, good or not.
    async fn token(&self, hash: SecretHash) -> Result<Option<Token>>;

    /// Revokes the token of that name that is not revoked, or of that id (`t-4`). To revoke twice is no error and keeps the
    /// first moment. `NotFound`.
    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Token>;

    /// Notes that a token was used; an earlier moment than the one that is stored changes nothing.
    async fn token_used(&self, token: TokenId, now: Timestamp) -> Result<()>;

    /// Notes who alone speaks for a worker. Whoever was noted first stays.
    async fn own_worker(&self, worker: WorkerId, owner: &str) -> Result<()>;

    /// Who alone speaks for a worker; None when it registered while nobody was asked.
    async fn worker_owner(&self, worker: WorkerId) -> Result<Option<String>>;
}
