//! Tokens, and whose each worker is.

use async_trait::async_trait;

use super::MemoryStore;
use crate::security::{NewToken, SecretHash, Token, TokenId};
use crate::store::{Result, StoreError, Timestamp, Tokens, WorkerId};

#[async_trait]
impl Tokens for MemoryStore {
    async fn create_token(&self, new: NewToken, now: Timestamp) -> Result<Token> {
        let NewToken { name, hash, scopes, expires_at, created_by } = new;
        self.write(|state| {
            let is_taken = |(known, token): &(SecretHash, Token)| {
                *known == hash || (token.name == name && token.revoked_at.is_none())
            };
            if state.tokens.iter().any(is_taken) {
                return Err(StoreError::Taken { what: "token", name });
            }
            let id = TokenId(state.tokens.len() as i64 + 1);
            let (revoked_at, used_at) = (None, None);
            let token = Token { id, name, scopes, created_at: now, created_by, expires_at, revoked_at, used_at };
            state.tokens.push((hash, token.clone()));
            Ok(token)
        })
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        Ok(self.read(|state| state.tokens.iter().map(|(_, token)| token.clone()).collect()))
    }

    async fn token(&self, hash: SecretHash) -> Result<Option<Token>> {
        let found = |(known, token): &(SecretHash, Token)| (*known == hash).then(|| token.clone());
        Ok(self.read(|state| state.tokens.iter().find_map(found)))
    }

    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Token> {
        self.write(|state| {
            let is_meant = |token: &Token| token.name == name_or_id || token.id.to_string() == name_or_id;
            let mut meant: Vec<&mut Token> =
                state.tokens.iter_mut().map(|(_, token)| token).filter(|token| is_meant(token)).collect();
            // Of several of one name only the newest can be good.
            let token =
                meant.pop().ok_or_else(|| StoreError::NotFound { what: "token", name: name_or_id.to_owned() })?;
            token.revoked_at.get_or_insert(now);
            Ok(token.clone())
        })
    }

    async fn token_used(&self, token: TokenId, now: Timestamp) -> Result<()> {
        let mut state = self.state();
        for (_, known) in state.tokens.iter_mut().filter(|(_, known)| known.id == token) {
            known.used_at = known.used_at.max(Some(now));
        }
        Ok(())
    }

    async fn own_worker(&self, worker: WorkerId, owner: &str) -> Result<()> {
        self.state().owners.entry(worker.0).or_insert_with(|| owner.to_owned());
        Ok(())
    }

    async fn worker_owner(&self, worker: WorkerId) -> Result<Option<String>> {
        Ok(self.read(|state| state.owners.get(&worker.0).cloned()))
    }
}
