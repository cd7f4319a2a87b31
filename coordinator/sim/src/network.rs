//! The network between workers, users and coordinators: a tower service under the generated clients that delays, loses,
//! repeats and reorders what passes, and cuts places off from each other.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, BoxFuture, Service, http};
use transect_coordinator::Embedded;

use super::scheduler::{Group, Sim};

/// Most milliseconds that a message travels when nothing is wrong, and when something is.
const FAST: u64 = 20;
const SLOW: u64 = 3_000;
/// A copy arrives so much later at most.
const LATE: u64 = 25_000;

struct Inner {
    /// Coordinators by number; none while one is down.
    coordinators: Vec<Option<(Group, Embedded)>>,
    /// (who, coordinator) that do not hear each other.
    cut: BTreeSet<(Group, usize)>,
    /// Messages are lost, late and repeated.
    is_rough: bool,
}

/// The network; clones are the same.
#[derive(Clone)]
pub struct Network {
    sim: Sim,
    inner: Arc<Mutex<Inner>>,
}

/// A way from somebody to a coordinator: what generated clients send through.
#[derive(Clone)]
pub struct Way {
    network: Network,
    from: Group,
    to: usize,
}

/// A message whole, so that it can be sent twice.
#[derive(Clone)]
struct Message {
    uri: http::Uri,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Message {
    fn request(self) -> http::Request<Body> {
        let mut request = http::Request::new(Body::new(Whole { data: Some(self.body), trailers: None }));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        (*request.uri_mut(), *request.headers_mut()) = (self.uri, self.headers);
        request
    }
}

/// A body that is all there.
struct Whole {
    data: Option<Bytes>,
    trailers: Option<http::HeaderMap>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(http_body::Frame::trailers(trailers))))
    }
}

async fn read(mut body: Body) -> Result<Whole, Status> {
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame?.into_data() {
            Ok(chunk) => data.extend_from_slice(&chunk),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Whole { data: Some(data.into()), trailers })
}

impl Network {
    /// A network without coordinators.
    pub fn new(sim: Sim) -> Self {
        Self { sim, inner: Arc::new(Mutex::new(Inner { coordinators: vec![], cut: BTreeSet::new(), is_rough: false })) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a coordinator is there, or is down.
    pub fn place(&self, number: usize, coordinator: Option<(Group, Embedded)>) {
        let mut inner = self.inner();
        while inner.coordinators.len() <= number {
            inner.coordinators.push(None);
        }
        inner.coordinators[number] = coordinator;
    }

    /// Number of coordinators, there or not.
    pub fn coordinators(&self) -> usize {
        self.inner().coordinators.len()
    }

    /// Whether messages are lost, late and repeated.
    pub fn set_rough(&self, is_rough: bool) {
        self.inner().is_rough = is_rough;
    }

    /// Cuts somebody off from a coordinator, or joins them again.
    pub fn cut(&self, who: Group, coordinator: usize, is_cut: bool) {
        let mut inner = self.inner();
        if is_cut {
            inner.cut.insert((who, coordinator));
        } else {
            inner.cut.remove(&(who, coordinator));
        }
    }

    /// A way to some coordinator.
    pub fn way(&self, from: Group) -> Way {
        let to = self.sim.random(|random| random.below(self.coordinators() as u64)) as usize;
        Way { network: self.clone(), from, to }
    }

    fn is_rough(&self) -> bool {
        self.inner().is_rough
    }

    async fn travel(&self) {
        let most = if self.is_rough() && self.sim.chance(50) { SLOW } else { FAST };
        self.sim.sleep(self.sim.between(1, most)).await;
    }

    /// Whether a message is lost on the way.
    fn is_lost(&self, way: &Way) -> bool {
        let is_cut = self.inner().cut.contains(&(way.from, way.to));
        is_cut || (self.is_rough() && self.sim.chance(30))
    }

    /// Brings a request to its coordinator and the answer back.
    async fn carry(&self, way: Way, message: Message) -> Result<http::Response<Body>, Status> {
        let lost = || Status::unavailable("the connection was lost");
        let method = message.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        self.travel().await;
        if self.is_lost(&way) {
            self.sim.say("net", format_args!("{method} from {} to c{} is lost", way.from, way.to));
            self.travel().await;
            return Err(lost());
        }
        if self.is_rough() && self.sim.chance(30) {
            let (network, way, message, method) = (self.clone(), way.clone(), message.clone(), method.clone());
            self.sim.spawn(0, async move {
                network.sim.sleep(network.sim.between(1, LATE)).await;
                network.sim.say("net", format_args!("{method} from {} to c{} arrives again", way.from, way.to));
                drop(network.deliver(way.to, message).await);
            });
        }
        let answer = self.deliver(way.to, message).await.ok_or_else(lost)?;
        let (parts, body) = answer.into_parts();
        let body = read(body).await?;
        self.travel().await;
        if self.is_lost(&way) {
            self.sim.say("net", format_args!("the answer to {method} from c{} to {} is lost", way.to, way.from));
            return Err(lost());
        }
        Ok(http::Response::from_parts(parts, Body::new(body)))
    }

    /// The coordinator's answer, unless it is down or dies before.
    async fn deliver(&self, to: usize, message: Message) -> Option<http::Response<Body>> {
        let (group, coordinator) = self.inner().coordinators.get(to)?.clone()?;
        let (answer, answered) = oneshot::channel();
        self.sim.spawn(group, async move {
            // Nobody may wait for it any more.
            let _ = answer.send(coordinator.call(message.request()).await);
        });
        answered.await.ok()
    }
}

impl Service<http::Request<Body>> for Way {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<http::Response<Body>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let way = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = read(body).await?.data.unwrap_or_default();
            let message = Message { uri: parts.uri, headers: parts.headers, body };
            let network = way.network.clone();
            network.carry(way, message).await
        })
    }
}
