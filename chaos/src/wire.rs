//! A connection between callers and a coordinator that can be cut, refused, stalled or slow.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a wire carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything, at once.
    Passes,
    /// Nothing: connections end, and so do new ones.
    Refuses,
    /// Nothing, in silence.
    Stalls,
    /// Questions, but no answers.
    HoldsAnswers,
    /// Each piece after so long.
    Slow(Duration),
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Grows whenever all connections end.
    cuts: u64,
}

/// A listener that passes on what it gets. Serves until the runtime ends.
pub struct Wire {
    /// Where callers connect.
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

impl Wire {
    /// A wire to `server`, which need not be there yet.
    pub async fn to(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, seen) = watch::channel(State { mode: Mode::Passes, cuts: 0 });
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if seen.borrow().mode != Mode::Refuses {
                    tokio::spawn(carry(client, server, seen.clone()));
                }
            }
        });
        Ok(Self { address, state })
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Carries otherwise from now on.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            state.cuts += u64::from(mode == Mode::Refuses);
        });
    }

    /// How it carries now.
    pub fn mode(&self) -> Mode {
        self.state.borrow().mode
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mut state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (asks, answers) = (state.clone(), state.clone());
    // Whichever ends first takes the other along.
    tokio::select! {
        () = pump(from_client, to_server, false, asks) => {}
        () = pump(from_server, to_client, true, answers) => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    is_answer: bool,
    mut state: watch::Receiver<State>,
) {
    let mut piece = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = from.read(&mut piece).await else { return };
        let carries = |state: &State| match state.mode {
            Mode::Stalls => false,
            Mode::HoldsAnswers => !is_answer,
            _ => true,
        };
        let Ok(mode) = state.wait_for(carries).await.map(|state| state.mode) else { return };
        if let Mode::Slow(late) = mode {
            tokio::time::sleep(late).await;
        }
        if to.write_all(&piece[..n]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answering() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).await.is_ok() {
                        stream.write_all(&[byte[0] + 1]).await.unwrap();
                    }
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> Option<u8> {
        stream.write_all(&[byte]).await.ok()?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await.ok().map(|_| answer[0])
    }

    #[tokio::test]
    async fn a_wire_carries_until_it_is_cut_and_again_when_it_is_made_anew() {
        let wire = Wire::to(answering().await).await.unwrap();
        let mut stream = TcpStream::connect(wire.address).await.unwrap();
        assert_eq!(ask(&mut stream, 1).await, Some(2));
        wire.cut();
        assert_eq!(ask(&mut stream, 1).await, None);
        wire.set(Mode::Refuses);
        let mut stream = TcpStream::connect(wire.address).await.unwrap();
        assert_eq!(ask(&mut stream, 1).await, None);
        wire.set(Mode::Passes);
        let mut stream = TcpStream::connect(wire.address).await.unwrap();
        assert_eq!(ask(&mut stream, 5).await, Some(6));
    }

    #[tokio::test]
    async fn answers_that_are_held_come_later() {
        let wire = Wire::to(answering().await).await.unwrap();
        let mut stream = TcpStream::connect(wire.address).await.unwrap();
        wire.set(Mode::HoldsAnswers);
        let early = tokio::time::timeout(Duration::from_millis(100), ask(&mut stream, 1)).await;
        assert!(early.is_err());
        wire.set(Mode::Passes);
        let mut answer = [0];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [2]);
    }
}
