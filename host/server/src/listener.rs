//! The accept loop: how many may connect, how long each may take, and how it ends. It serves any [`Handler`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::patient::Patient;
pub use crate::problem::Body;
use crate::settings::Settings;
use crate::socket::{Socket, Stream};
use crate::tls;

/// Longest head of a request, in bytes; beyond it 431.
pub(crate) const HEAD_BYTES: usize = 32 << 10;
/// Most headers of a request; beyond it 431.
pub(crate) const HEADERS: usize = 100;
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 128;
/// How long nothing is accepted when the process has no more files.
const NO_MORE_FILES: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Their address; that of the loopback where the connection is one of this machine's own, through a file.
    pub address: IpAddr,
    /// The names in the certificate that they have proved to be theirs.
    pub names: Arc<[String]>,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of a client; dropped if the client goes away.
    fn handle(self: Arc<Self>, request: Request<Incoming>, from: Peer)
    -> impl Future<Output = Response<Body>> + Send;

    /// Where connections are counted; nowhere by default.
    fn connections(&self) -> Option<&Connections> {
        None
    }
}

/// Connections of a listener.
#[derive(Debug, Default)]
pub struct Connections {
    /// Open ones now.
    pub(crate) open: AtomicU64,
    /// Those closed at once so far, because their address had as many as it may have.
    pub(crate) turned_away: AtomicU64,
}

impl Connections {
    /// Counts one that is closed at once, and says so: the first, and then every time there are twice as many.
    fn turn_away(&self, from: IpAddr) {
        let turned_away = self.turned_away.fetch_add(1, Ordering::Relaxed) + 1;
        if turned_away.is_power_of_two() {
            tracing::warn!(%from, turned_away, "an address has as many connections as `connections_per_address` lets it have");
        }
    }
}

/// Answers connections until `stop` says so, and then what has begun, for as long as the grace lasts.
pub async fn serve<H: Handler>(
    socket: Socket,
    settings: Arc<Settings>,
    handler: Arc<H>,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(settings.connections));
    let addresses = Addresses::default();
    let connection = Connection { settings: Arc::clone(&settings), handler, stop: stop.clone() };
    let begin = |stream, from, permit| match addresses.enter(from, settings.connections_per_address) {
        Some(place) => drop(tokio::spawn(connection.clone().open(stream, from, (permit, place)))),
        None => connection.handler.connections().into_iter().for_each(|counts| counts.turn_away(from)),
    };
    loop {
        // Whoever finds no room waits in the kernel's queue, and costs nothing here.
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
            (socket.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, from)) => begin(stream, from, permit),
            // The client has gone, or this process has no more files: neither ends a server.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(NO_MORE_FILES).await;
            }
        }
    }
    // What had connected by then is answered, too, unless a successor takes it from the same socket.
    while !socket.is_inherited()
        && let Ok(Ok((stream, from))) = timeout(Duration::ZERO, socket.accept()).await
    {
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { break };
        begin(stream, from, permit);
    }
    drop(socket);
    let everybody = u32::try_from(settings.connections).unwrap_or(u32::MAX);
    if timeout(settings.grace, room.acquire_many(everybody)).await.is_err() {
        tracing::warn!("connections that had not ended within the grace are cut");
    }
}

struct Connection<H> {
    settings: Arc<Settings>,
    handler: Arc<H>,
    stop: watch::Receiver<bool>,
}

impl<H> Clone for Connection<H> {
    fn clone(&self) -> Self {
        let Connection { settings, handler, stop } = self;
        Connection { settings: Arc::clone(settings), handler: Arc::clone(handler), stop: stop.clone() }
    }
}

impl<H: Handler> Connection<H> {
    /// Learns who is at the other end, and answers them.
    async fn open(self, stream: Stream, from: IpAddr, _room: (OwnedSemaphorePermit, Place)) {
        let peer = Peer { address: from, names: Arc::default() };
        match stream {
            Stream::Tcp(stream) => self.answer(stream, peer).await,
            Stream::Unix(stream) => self.answer(stream, peer).await,
            Stream::Encrypted(stream, acceptor) => {
                match timeout(self.settings.header_timeout, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let names = tls::names(stream.get_ref().1);
                        self.answer(stream, Peer { names, ..peer }).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%from, %error, "a connection could not be encrypted"),
                    Err(_) => tracing::debug!(%from, "a client took too long to encrypt"),
                }
            }
        }
    }

    async fn answer<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connection { settings, handler, mut stop } = self;
        let _open = Open::new(&handler);
        let begun = Arc::new(Notify::new());
        let service = {
            let (begun, first) = (Arc::clone(&begun), AtomicBool::new(true));
            service_fn(move |request| {
                if first.swap(false, Ordering::Relaxed) {
                    begun.notify_one();
                }
                Arc::clone(&handler).handle(request, peer.clone()).map(Ok::<_, Infallible>)
            })
        };
        let builder = builder(&settings);
        let io = TokioIo::new(Patient::new(stream, settings.write_timeout));
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        // The builder's time-out for heads begins with the first byte only. Whoever has connected is answered once, even by
        // a server that ends; before it has asked, ending its connection would refuse it.
        tokio::select! {
            // However a connection ends, the other side knows it as soon as this one.
            _ = &mut connection => return,
            () = begun.notified() => {}
            () = sleep(settings.header_timeout) => return,
        }
        tokio::select! {
            _ = &mut connection => return,
            _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// Counts a connection while it is open.
struct Open<H: Handler>(Arc<H>);

impl<H: Handler> Open<H> {
    fn new(handler: &Arc<H>) -> Open<H> {
        handler.connections().inspect(|counts| _ = counts.open.fetch_add(1, Ordering::Relaxed));
        Open(Arc::clone(handler))
    }
}

impl<H: Handler> Drop for Open<H> {
    fn drop(&mut self) {
        self.0.connections().inspect(|counts| _ = counts.open.fetch_sub(1, Ordering::Relaxed));
    }
}

/// How connections are served.
fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(settings.header_timeout)
        .keep_alive_timeout(settings.write_timeout);
    builder
}

/// Connections of each address. One that has none is not in it, so it is as large as there are connections.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place among those of its address.
struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
