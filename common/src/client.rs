//! Reaching a coordinator: several addresses of one service, any of which will do.
//!
//! Invariants: calls go to one address until it fails; then later calls go to the next, round and round. A call that
//! fails is not repeated here: only its caller knows whether that is harmless.

mod access;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::transport::{self, Endpoint};
use tower::{Service, ServiceExt as _};

pub use access::{Access, AccessError, AccessFiles, reason};

/// A connection must be made within this.
const CONNECT: Duration = Duration::from_secs(5);
/// Without keep-alive a coordinator whose machine vanished would be waited for in silence.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// An address is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a coordinator; it looks like http://127.0.0.1:7700 or https://HOST:7700")]
pub struct AddressError(pub String);

/// None of the addresses answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no coordinator answers at {}", .0.join("; nor at "))]
pub struct Unreachable(pub Vec<String>);

/// Where coordinators answer that share one database. At least one address.
#[derive(Clone)]
pub struct Endpoints {
    places: Vec<(String, Endpoint)>,
    token: Option<HeaderValue>,
}

impl Endpoints {
    /// Reads addresses: `http://HOST:PORT` or `HOST:PORT`, each text one of them or several with commas between.
    ///
    /// # Errors
    /// The first text that is not an address.
    pub fn parse<T: AsRef<str>>(given: &[T]) -> Result<Self, AddressError> {
        let texts = given.iter().flat_map(|text| text.as_ref().split(',')).map(str::trim);
        let places = texts.map(place).collect::<Result<Vec<_>, _>>()?;
        if places.is_empty() { Err(AddressError(String::new())) } else { Ok(Self { places, token: None }) }
    }

    /// The same addresses, reached with what `access` holds. Blocks where the system's authorities are read.
    pub fn with(mut self, access: &Access) -> Result<Self, AccessError> {
        let tls = self.places.iter().any(|(_, endpoint)| is_tls(endpoint)).then(|| access.tls());
        for (address, endpoint) in &mut self.places {
            access.may_travel(address, endpoint.uri())?;
            if let Some(tls) = tls.clone().filter(|_| is_tls(endpoint)) {
                *endpoint = endpoint
                    .clone()
                    .tls_config(tls)
                    .map_err(|e| AccessError::Tls { address: address.clone(), reason: reason(&e) })?;
            }
        }
        self.token.clone_from(&access.token);
        Ok(self)
    }

    /// The same addresses, tried from another one on, so that many clients do not all begin with the first.
    #[must_use]
    pub fn beginning_with(mut self, number: usize) -> Self {
        let len = self.places.len();
        self.places.rotate_left(number % len);
        self
    }
}

impl fmt::Display for Endpoints {
    /// With commas between, as [`Endpoints::parse`] reads them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<&str> = self.places.iter().map(|(address, _)| address.as_str()).collect();
        f.write_str(&addresses.join(","))
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoints({self})")
    }
}

fn is_tls(endpoint: &Endpoint) -> bool {
    endpoint.uri().scheme_str() == Some("https")
}

fn place(text: &str) -> Result<(String, Endpoint), AddressError> {
    let wrong = || AddressError(text.to_owned());
    let address = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let endpoint = Endpoint::from_shared(address.clone()).map_err(|_| wrong())?;
    if endpoint.uri().port().is_none() || !matches!(endpoint.uri().scheme_str(), Some("http" | "https")) {
        return Err(wrong());
    }
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok((address, endpoint))
}

/// A connection to one of several coordinators, which reconnects and moves over by itself. Clones share it.
#[derive(Debug, Clone)]
pub struct Channel {
    places: Arc<[transport::Channel]>,
    current: Arc<AtomicUsize>,
    token: Option<HeaderValue>,
}

impl Channel {
    /// Connects with the first call. Must be called inside a tokio runtime.
    pub fn lazy(endpoints: &Endpoints) -> Self {
        let places = endpoints.places.iter().map(|(_, endpoint)| endpoint.connect_lazy()).collect();
        Self { places, current: Arc::default(), token: endpoints.token.clone() }
    }

    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// None does.
    pub async fn connect(endpoints: &Endpoints) -> Result<Self, Unreachable> {
        let mut reasons = vec![];
        for (i, (address, endpoint)) in endpoints.places.iter().enumerate() {
            match endpoint.connect().await {
                Ok(connected) => {
                    let place = |(j, (_, other)): (usize, &(String, Endpoint))| {
                        if i == j { connected.clone() } else { other.connect_lazy() }
                    };
                    let places = endpoints.places.iter().enumerate().map(place).collect();
                    let token = endpoints.token.clone();
                    return Ok(Self { places, current: Arc::new(AtomicUsize::new(i)), token });
                }
                Err(error) => reasons.push(format!("{address}: {}", reason(&error))),
            }
        }
        Err(Unreachable(reasons))
    }

    /// Sends later calls to the next address, as after a call that was not answered in time.
    pub fn move_over(&self) {
        self.leave(self.current.load(Ordering::Relaxed));
    }

    /// Moves on from a place, unless another call has done so already.
    fn leave(&self, place: usize) {
        let next = (place + 1) % self.places.len();
        let _ = self.current.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, transport::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let channel = self.clone();
        Box::pin(async move {
            let place = channel.current.load(Ordering::Relaxed);
            let answer = channel.places[place].clone().oneshot(request).await;
            if answer.as_ref().map_or(true, is_unavailable) {
                channel.leave(place);
            }
            answer
        })
    }
}

/// True for an answer that another coordinator may give better.
fn is_unavailable(answer: &Response<Body>) -> bool {
    answer.headers().get("grpc-status").is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_any_number_and_may_leave_out_their_scheme() {
        let endpoints = Endpoints::parse(&["a:1, http://b:2", "http://[::1]:3"]).unwrap();
        assert_eq!(endpoints.to_string(), "http://a:1,http://b:2,http://[::1]:3");
        assert_eq!(Endpoints::parse(&[endpoints.to_string()]).unwrap().to_string(), endpoints.to_string());
        assert_eq!(endpoints.beginning_with(4).to_string(), "http://b:2,http://[::1]:3,http://a:1");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for wrong in ["", "host", "http://", "not an address", "not an address:1", "https://host", "ftp://host:1"] {
            let error = Endpoints::parse(&["127.0.0.1:7700", wrong]).unwrap_err();
            assert_eq!(error, AddressError(wrong.to_owned()));
            assert!(error.to_string().contains("http://127.0.0.1:7700"), "{error}");
        }
        assert!(Endpoints::parse::<&str>(&[]).is_err());
    }

    /// An address at which nobody listens.
    fn nobody() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn an_address_at_which_nobody_listens_is_passed_over() {
        let somebody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [nobody(), somebody.local_addr().unwrap().to_string()];
        let channel = Channel::connect(&Endpoints::parse(&addresses).unwrap()).await.unwrap();
        assert_eq!(channel.current.load(Ordering::Relaxed), 1);
        let error = Channel::connect(&Endpoints::parse(&[nobody(), nobody()]).unwrap()).await.unwrap_err().to_string();
        assert_eq!(error.matches("refused").count(), 2, "{error}");
    }

    #[tokio::test]
    async fn a_call_that_fails_sends_the_next_to_another_address() {
        let mut channel = Channel::lazy(&Endpoints::parse(&[nobody(), nobody()]).unwrap());
        for expected in [1, 0, 1] {
            let request = Request::builder().uri("/service/method").body(Body::default()).unwrap();
            channel.call(request).await.unwrap_err();
            assert_eq!(channel.current.load(Ordering::Relaxed), expected);
        }
        channel.leave(0);
        assert_eq!(channel.current.load(Ordering::Relaxed), 1, "another call had moved on already");
    }
}
