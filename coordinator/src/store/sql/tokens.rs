//! Tokens, and whose each worker is.

use async_trait::async_trait;
use sqlx::FromRow;

use super::This;
use super::db::sql;
use super::rows::text;
use crate::security::{NewToken, SecretHash, Token, TokenId};
use crate::store::apart::apart;
use crate::store::{Result, StoreError, Timestamp, Tokens, WorkerId};

#[derive(FromRow)]
struct TokenRow {
    id: i64,
    name: String,
    scopes: String,
    created_at: String,
    created_by: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    used_at: Option<String>,
}

fn token(row: TokenRow) -> Result<Token> {
    let moment = |at: Option<String>| at.map(|at| text(&at)).transpose();
    Ok(Token {
        id: TokenId(row.id),
        name: row.name,
        scopes: text(&row.scopes)?,
        created_at: text(&row.created_at)?,
        created_by: row.created_by,
        expires_at: moment(row.expires_at)?,
        revoked_at: moment(row.revoked_at)?,
        used_at: moment(row.used_at)?,
    })
}

#[async_trait]
impl Tokens for This {
    async fn create_token(&self, new: NewToken, now: Timestamp) -> Result<Token> {
        let db = self.db.clone();
        apart(async move {
            let mut tx = db.begin().await?;
            let row: Option<TokenRow> = sqlx::query_as(sql!("insert_token"))
                .bind(&new.name)
                .bind(new.hash.digits())
                .bind(new.scopes.to_string())
                .bind(now.to_string())
                .bind(&new.created_by)
                .bind(new.expires_at.map(|at| at.to_string()))
                .fetch_optional(&mut *tx)
                .await?;
            let row = row.ok_or(StoreError::Taken { what: "token", name: new.name })?;
            db.commit(tx).await?;
            token(row)
        })
        .await
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        let rows: Vec<TokenRow> = sqlx::query_as(sql!("tokens")).fetch_all(&self.db.readers).await?;
        rows.into_iter().map(token).collect()
    }

    async fn token(&self, hash: SecretHash) -> Result<Option<Token>> {
        let found: Option<TokenRow> =
            sqlx::query_as(sql!("token_by_hash")).bind(hash.digits()).fetch_optional(&self.db.readers).await?;
        found.map(token).transpose()
    }

    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Token> {
        let (db, name) = (self.db.clone(), name_or_id.to_owned());
        apart(async move {
            let id: i64 = name.strip_prefix("t-").and_then(|digits| digits.parse().ok()).unwrap_or(-1);
            let mut tx = db.begin().await?;
            let revoked: Option<TokenRow> = sqlx::query_as(sql!("revoke_token"))
                .bind(&name)
                .bind(id)
                .bind(now.to_string())
                .fetch_optional(&mut *tx)
                .await?;
            let row = match revoked {
                Some(row) => Some(row),
                None => sqlx::query_as(sql!("revoked_token")).bind(&name).bind(id).fetch_optional(&mut *tx).await?,
            };
            let row = row.ok_or(StoreError::NotFound { what: "token", name })?;
            db.commit(tx).await?;
            token(row)
        })
        .await
    }

    async fn token_used(&self, token: TokenId, now: Timestamp) -> Result<()> {
        let db = self.db.clone();
        apart(async move {
            let mut tx = db.begin().await?;
            sqlx::query(sql!("token_used")).bind(token.0).bind(now.to_string()).execute(&mut *tx).await?;
            db.commit(tx).await
        })
        .await
    }

    async fn own_worker(&self, worker: WorkerId, owner: &str) -> Result<()> {
        let (db, owner) = (self.db.clone(), owner.to_owned());
        apart(async move {
            let mut tx = db.begin().await?;
            sqlx::query(sql!("own_worker")).bind(worker.0).bind(owner).execute(&mut *tx).await?;
            db.commit(tx).await
        })
        .await
    }

    async fn worker_owner(&self, worker: WorkerId) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(sql!("worker_owner")).bind(worker.0).fetch_optional(&self.db.readers).await?)
    }
}
