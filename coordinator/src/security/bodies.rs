//! Requests that must not stall, and answers that end when their caller may no longer have them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request whose sender must not fall silent half-way.
pub struct Hurried {
    body: Body,
    silence: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Hurried {
    /// `body`, of which something must arrive in every `silence`.
    pub fn new(body: Body, silence: Duration) -> Self {
        Self { body, silence, deadline: None }
    }
}

impl HttpBody for Hurried {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.deadline = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let silence = self.silence;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(silence)));
        ready!(deadline.as_mut().poll(cx));
        let status = Status::deadline_exceeded(format!("the rest of the request did not arrive within {silence:?}"));
        Poll::Ready(Some(Err(status.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What ends a call that is open: the status that it ends with.
pub type Ended = Pin<Box<dyn Future<Output = Status> + Send>>;

/// An answer that may be ended before it is complete. Keeps `T` for as long as it lasts.
pub struct Ending<T> {
    body: Body,
    ended: Option<Ended>,
    kept: Option<T>,
}

impl<T> Ending<T> {
    /// `body`, until `ended` says otherwise.
    pub fn new(body: Body, ended: Ended, kept: T) -> Self {
        Self { body, ended: Some(ended), kept: Some(kept) }
    }
}

impl<T: Unpin> HttpBody for Ending<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(ended) = &mut self.ended else { return Poll::Ready(None) };
        // Asked first: a stream that always has more would never be ended otherwise.
        if let Poll::Ready(status) = ended.as_mut().poll(cx) {
            (self.ended, self.kept) = (None, None);
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            return match status.add_header(&mut trailers) {
                Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Err(status) => Poll::Ready(Some(Err(axum::Error::new(status)))),
            };
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Answers what `check` does once it fails, asked every `pause`.
pub fn once_refused<F>(pause: Duration, check: impl Fn() -> F + Send + 'static) -> Ended
where
    F: Future<Output = Result<(), Status>> + Send,
{
    Box::pin(async move {
        let mut next = Instant::now() + pause;
        loop {
            tokio::time::sleep_until(next).await;
            if let Err(status) = check().await {
                return status;
            }
            next = Instant::now() + pause;
        }
    })
}
