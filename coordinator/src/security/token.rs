//! Tokens as they are kept.

use std::time::Duration;

use transect_common::pb;

use crate::security::{Scopes, SecretHash};
use crate::store::Timestamp;

/// Longest name of a token, in bytes.
const MAX_NAME: usize = 100;
/// Longest life of a token.
const MAX_LIFE: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A token, written `t-4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub i64);

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t-{}", self.0)
    }
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What it is called; no two tokens that are not revoked share a name.
    pub name: String,
    /// What stands for its secret.
    pub hash: SecretHash,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which it is.
    pub id: TokenId,
    /// What it is called.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to about ten minutes.
    pub used_at: Option<Timestamp>,
}

/// A token cannot be made like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The name.
    #[error(
        "`{0}` cannot be a token's name: 1 to {MAX_NAME} of a-z, A-Z, 0-9, `.`, `_` and `-` are needed, and not an id such as t-4"
    )]
    Name(String),
    /// The life.
    #[error("a token lives at least a second and at most ten years")]
    Life,
}

impl Token {
    /// Why it is no longer good at `now`, if it is not.
    pub fn refusal(&self, now: Timestamp) -> Option<String> {
        let name = &self.name;
        match (self.revoked_at, self.expires_at) {
            (Some(at), _) => Some(format!("the token `{name}` was revoked at {at}; ask for a new one")),
            (None, Some(at)) if at <= now => Some(format!("the token `{name}` expired at {at}; ask for a new one")),
            _ => None,
        }
    }

    /// In a word: `live`, `expired` or `revoked`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(at)) if at <= now => "expired",
            _ => "live",
        }
    }
}

impl Token {
    /// As the wire has it at `now`.
    pub fn to_wire(self, now: Timestamp) -> pb::Token {
        pb::Token {
            state: self.state(now).to_owned(),
            token_id: self.id.to_string(),
            name: self.name,
            scopes: self.scopes.names().map(str::to_owned).collect(),
            created_at: self.created_at.to_string(),
            created_by: self.created_by,
            expires_at: self.expires_at.map(|at| at.to_string()),
            revoked_at: self.revoked_at.map(|at| at.to_string()),
            used_at: self.used_at.map(|at| at.to_string()),
        }
    }
}

impl NewToken {
    /// A token that lives for `life` from `now`, or until it is revoked.
    pub fn new(
        name: &str,
        hash: SecretHash,
        scopes: Scopes,
        life: Option<Duration>,
        created_by: &str,
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        let is_good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let looks_like_id = name.strip_prefix("t-").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_good) || looks_like_id {
            return Err(TokenError::Name(name.chars().take(MAX_NAME).collect()));
        }
        if life.is_some_and(|life| !(Duration::from_secs(1)..=MAX_LIFE).contains(&life)) {
            return Err(TokenError::Life);
        }
        let expires_at = life.map(|life| now.plus(life));
        Ok(Self { name: name.to_owned(), hash, scopes, expires_at, created_by: created_by.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn token(expires_at: Option<u64>, revoked_at: Option<u64>) -> Token {
        Token {
            id: TokenId(1),
            name: "ci".into(),
            scopes: Scopes::all(),
            created_at: Timestamp::from_millis(0),
            created_by: "someone".into(),
            expires_at: expires_at.map(Timestamp::from_millis),
            revoked_at: revoked_at.map(Timestamp::from_millis),
            used_at: None,
        }
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked() {
        let now = Timestamp::from_millis(NOW);
        assert_eq!(token(None, None).refusal(now), None);
        assert_eq!(token(Some(NOW + 1), None).state(now), "live");
        assert!(token(Some(NOW), None).refusal(now).unwrap().contains("expired at 1970-"));
        assert!(token(Some(NOW + 1), Some(1)).refusal(now).unwrap().contains("was revoked at"));
    }

    #[test]
    fn odd_names_and_lives_are_refused() {
        let now = Timestamp::from_millis(NOW);
        let new = |name: &str, life| NewToken::new(name, SecretHash([0; 32]), Scopes::all(), life, "me", now);
        for name in ["", "a b", "t-4", "\0", "é", &"x".repeat(101)] {
            assert!(matches!(new(name, None), Err(TokenError::Name(_))), "{name}");
        }
        assert_eq!(new("ci", Some(Duration::ZERO)), Err(TokenError::Life));
        assert_eq!(new("ci", Some(Duration::from_secs(u64::MAX))), Err(TokenError::Life));
        assert_eq!(
            new("ci", Some(Duration::from_secs(5))).unwrap().expires_at,
            Some(Timestamp::from_millis(NOW + 5000))
        );
    }
}
