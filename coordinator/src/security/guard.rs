//! The layer that every call passes: who calls, what the method needs, how often, and for how long.

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tonic::{Code, Status};

use super::bodies::{Ending, Hurried, once_refused};
use super::identity::Gate;
use super::incoming::Peer;

/// Lets a call through to its service, with who calls among its extensions, or answers it.
pub async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let admitted = match gate.admit(request.uri().path(), request.headers(), peer.as_ref()).await {
        Err(status) => return status.into_http(),
        Ok(admitted) => admitted,
    };
    let silence = gate.limits().silence;
    let hurried = |request: Request| request.map(|body| Body::new(Hurried::new(body, silence)));
    let Some(admitted) = admitted else {
        return next.run(hurried(request)).await;
    };
    // Whoever is asked once is not to reach a log or a service by this way.
    request.headers_mut().remove(header::AUTHORIZATION);
    request.extensions_mut().insert(admitted.principal.clone());
    let pause = gate.limits().recheck_open;
    let principal = admitted.principal.clone();
    let mut ended = once_refused(pause, move || {
        let (gate, principal) = (gate.clone(), principal.clone());
        async move { gate.still(&principal).await }
    });
    let answer = tokio::select! {
        answer = next.run(hurried(request)) => answer,
        status = &mut ended => return status.into_http(),
    };
    answer.map(|body| Body::new(Ending::new(body, ended, admitted)))
}

/// Lets everyone see whether a coordinator lives, and only readers see its numbers.
pub async fn metrics_need_a_reader(
    State(gate): State<Gate>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path() != "/metrics" {
        return next.run(request).await;
    }
    match gate.reader(request.headers(), Some(&peer)).await {
        Ok(()) => next.run(request).await,
        Err(status) => refused(&status),
    }
}

fn refused(status: &Status) -> Response {
    let code = match status.code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, [(header::WWW_AUTHENTICATE, "Bearer")], format!("{}\n", status.message())).into_response()
}
