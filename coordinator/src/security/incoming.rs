//! Connections: how many there may be, TLS, and an end for those that say nothing.
//!
//! Handshakes run side by side, each with a time limit, so that a caller who stalls holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::tls::Reloading;

/// Longest TLS handshake, and longest wait for what opens HTTP/2.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes that open HTTP/2 (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// At most one line in the log for so long about callers who are turned away.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where they call from.
    pub address: SocketAddr,
    /// Digits of BLAKE3 of the certificate that they showed and that our authority signed.
    pub certificate: Option<Arc<str>>,
}

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// It must open HTTP/2 soon, and may then stay.
    Greeting,
    /// It ends after this long: pages are short.
    Life(Duration),
}

/// What a connection travels on.
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that was let in.
pub struct Connection {
    wire: Wire,
    peer: Peer,
    /// When to give up, and after how many more bytes not to.
    deadline: Option<(Pin<Box<Sleep>>, Option<usize>)>,
    _place: OwnedSemaphorePermit,
}

/// Connections that were let in, one after the other.
pub struct Incoming {
    accepted: mpsc::Receiver<Connection>,
    address: SocketAddr,
    _doors: Vec<AbortOnDropHandle<()>>,
}

impl Incoming {
    /// Lets in up to `most` connections at once from `listener`, over TLS where there is a certificate.
    pub fn open(
        listener: TcpListener,
        tls: Option<Arc<Reloading>>,
        most: usize,
        patience: Patience,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(64);
        let follow = tls.clone().map(|tls| AbortOnDropHandle::new(tokio::spawn(tls.follow())));
        let places = Arc::new(Semaphore::new(most));
        let door = AbortOnDropHandle::new(tokio::spawn(accept(listener, tls, places, patience, sender)));
        Ok(Self { accepted, address, _doors: follow.into_iter().chain([door]).collect() })
    }
}

/// Lets a line into the log now and then: callers must not be able to fill it.
#[derive(Default)]
struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn may(&self) -> bool {
        let mut last = self.0.lock().expect("nobody panics while holding this lock");
        let may = last.is_none_or(|at| at.elapsed() > BETWEEN_LINES);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Reloading>>,
    places: Arc<Semaphore>,
    patience: Patience,
    sender: mpsc::Sender<Connection>,
) {
    let (full, turned_away) = (Seldom::default(), Arc::new(Seldom::default()));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles, most likely: others close theirs meanwhile.
                warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            if full.may() {
                warn!(%address, "too many connections; new ones are turned away until some end");
            }
            continue;
        };
        // Small messages go at once; without it they only go later.
        let _ = stream.set_nodelay(true);
        let (tls, sender, turned_away) = (tls.clone(), sender.clone(), turned_away.clone());
        tokio::spawn(async move {
            match greet(stream, address, tls, patience, place).await {
                Ok(connection) => drop(sender.send(connection).await),
                Err(error) if turned_away.may() => warn!(%address, %error, "a connection was turned away"),
                Err(error) => debug!(%address, %error, "a connection was turned away"),
            }
        });
    }
}

async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Reloading>>,
    patience: Patience,
    place: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    let mut peer = Peer { address, certificate: None };
    let wire = match tls {
        None => Wire::Plain(stream),
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls.current());
            let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await.map_err(|_| late())??;
            let shown = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
            peer.certificate = shown.map(|certificate| blake3::hash(certificate).to_hex().as_str().into());
            Wire::Tls(Box::new(stream))
        }
    };
    debug!(%address, is_encrypted = matches!(wire, Wire::Tls(_)), "connected");
    let deadline = match patience {
        Patience::Greeting => (Box::pin(sleep(HANDSHAKE)), Some(PREFACE)),
        Patience::Life(life) => (Box::pin(sleep(life)), None),
    };
    Ok(Connection { wire, peer, deadline: Some(deadline), _place: place })
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing that makes sense was said in time")
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accepted.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.accepted.recv().await {
            Some(connection) => {
                let address = connection.peer.address;
                (connection, address)
            }
            // The door is open for as long as this is.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Incoming>> for Peer {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Incoming>) -> Self {
        stream.io().peer.clone()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some((sleep, _)) = &mut self.deadline
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(late()));
        }
        let before = buf.filled().len();
        let read = match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        ready!(read)?;
        if let Some((_, Some(wanted))) = &mut self.deadline {
            *wanted = wanted.saturating_sub(buf.filled().len() - before);
            if *wanted == 0 {
                self.deadline = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
