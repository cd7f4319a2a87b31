//! `AdminService`: tokens.

use std::time::Duration;

use tonic::{Request, Response, Status};
use tracing::info;
use transect_common::pb;
use transect_common::pb::admin_service_server::AdminService;

use super::{Shared, now};
use crate::security::{NewToken, Principal, Scope, Scopes, Secret};
use crate::status::invalid;

/// Makes and revokes tokens.
#[derive(Debug)]
pub struct Service {
    shared: Shared,
}

impl Service {
    /// Serves the tokens of `shared`.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

fn caller<T>(request: &Request<T>) -> String {
    request.extensions().get::<Principal>().map_or("anyone", Principal::name).to_owned()
}

#[tonic::async_trait]
impl AdminService for Service {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        let by = caller(&request);
        let pb::CreateTokenRequest { name, scopes, expires_seconds } = request.into_inner();
        let scope = |name: &String| {
            Scope::from_name(name).ok_or_else(|| {
                invalid("scopes", format!("`{name}` is no scope; there are read, submit, work and admin"))
            })
        };
        let scopes = scopes.iter().take(100).map(scope).collect::<Result<Vec<_>, _>>()?;
        let scopes = Scopes::new(scopes).map_err(|e| invalid("scopes", e.to_string()))?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|e| Status::internal(format!("there is no randomness: {e}")))?;
        let (secret, now) = (Secret::from_random(&random), now());
        let life = expires_seconds.map(Duration::from_secs);
        let new = NewToken::new(&name, secret.hash(), scopes, life, &by, now);
        let token = self.shared.store.create_token(new.map_err(|e| invalid("name", e.to_string()))?, now).await?;
        info!(token = %token.id, name = token.name, scopes = %token.scopes, by, "token made");
        let token = Some(token.to_wire(now));
        Ok(Response::new(pb::CreateTokenResponse { token, secret: secret.reveal().to_owned() }))
    }

    async fn list_tokens(&self, _: Request<pb::ListTokensRequest>) -> Result<Response<pb::ListTokensResponse>, Status> {
        let now = now();
        let tokens = self.shared.store.tokens().await?.into_iter().map(|token| token.to_wire(now));
        Ok(Response::new(pb::ListTokensResponse { tokens: tokens.collect() }))
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::RevokeTokenResponse>, Status> {
        let by = caller(&request);
        let now = now();
        let token = self.shared.store.revoke_token(&request.get_ref().token, now).await?;
        info!(token = %token.id, name = token.name, by, "token revoked");
        Ok(Response::new(pb::RevokeTokenResponse { token: Some(token.to_wire(now)) }))
    }
}
