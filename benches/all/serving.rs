//! What a decision over HTTP costs, against the same accept loop whose handler makes the raw call of a warm instance.
//!
//! Each server has a thread of its own, whose processor time is what is compared; the clients have another. Sixteen
//! connections ask one after the other, so that a server always has something to do.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::watch;
use weir::{Recorder, Runtime};
use weir_server::listener::{Body, Handler, Peer, serve};
use weir_server::socket::Socket;
use weir_server::{Server, Settings};

use crate::evaluation::folder;
use crate::floor::{Floor, Warm};
use crate::hosts::{CALL, GUEST, one_policy};
use crate::measure::{Effort, Ratio, compare, thread_time};
use crate::report::Figure;

const CONNECTIONS: usize = 16;
const BATCH: usize = 100;
const AGAINST: &str =
    "the same accept loop, whose handler calls a warm instance of bare wasmtime 48 without more ado";

thread_local! {
    /// The floor's instance, of the one thread that serves it.
    static WARM: RefCell<Option<Warm>> = const { RefCell::new(None) };
}

/// The floor.
struct Raw(Floor);

impl Handler for Raw {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Peer) -> Response<Body> {
        let body = request.into_body().collect().await.expect("the bench sends whole bodies").to_bytes();
        let answer = WARM.with_borrow_mut(|warm| warm.get_or_insert_with(|| self.0.warm(b"{}")).call(&body));
        Response::new(Either::Left(Full::new(Bytes::from(answer))))
    }
}

/// A server with a thread of its own; it ends with the process.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    thread: Handle,
}

impl Serving {
    /// Starts what listens and answers its address.
    fn start(name: &str, start: impl FnOnce() -> SocketAddr + Send + 'static) -> Serving {
        let (tell, told) = std::sync::mpsc::channel();
        let named = std::thread::Builder::new().name(name.to_owned());
        let run = move || {
            let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
            executor.expect("a thread can wait").block_on(async {
                let address = start();
                tell.send((address, Handle::current())).expect("somebody waits for it");
                std::future::pending::<()>().await;
            });
        };
        named.spawn(run).expect("there is room for a thread");
        let (address, thread) = told.recv().expect("it starts");
        Serving { address, thread }
    }

    fn floor() -> Serving {
        Serving::start("floor", || {
            let socket = Socket::bind(&"127.0.0.1:0".parse().expect("an address")).expect("there is a free port");
            let address = socket.address().expect("it listens").tcp().expect("it is no file");
            let raw = Arc::new(Raw(Floor::new(GUEST)));
            tokio::spawn(async move {
                let (_never, stop) = watch::channel(false);
                serve(socket, Arc::new(Settings::default()), raw, stop).await;
            });
            address
        })
    }

    fn host(name: &str, recorder: Recorder) -> Serving {
        Serving::of(name, || one_policy(recorder))
    }

    /// A server of this host.
    pub(crate) fn of(name: &str, host: impl FnOnce() -> Runtime + Send + 'static) -> Serving {
        Serving::start(name, || {
            let listen = "127.0.0.1:0".parse().expect("an address");
            let longest = Duration::from_secs(5);
            let settings = Settings { listen, admin: None, timeout: longest, ..Settings::default() };
            let server = Server::bind(settings).expect("there is a free port");
            let address = server.address().tcp().expect("it is no file");
            let runtime = Arc::new(host());
            tokio::spawn(server.run(runtime, std::future::pending()));
            address
        })
    }

    /// Processor time of the server's thread.
    pub(crate) fn time(&self) -> Duration {
        let (tell, told) = std::sync::mpsc::channel();
        self.thread.spawn(async move { tell.send(thread_time()).expect("somebody waits for it") });
        told.recv().expect("the server's thread lives")
    }
}

/// A connection of somebody who stays awake: to wake a client on the same machine costs a server a third of a decision, and those
/// of other machines are not woken by it.
pub(crate) struct Client(TcpStream);

fn awake<T>(mut act: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            acted => return acted,
        }
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        awake(|| self.0.read(buffer))
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        awake(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

pub(crate) fn clients(address: SocketAddr) -> Vec<Client> {
    let connect = |_| {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).expect("a connection");
        Client(stream)
    };
    (0..CONNECTIONS).map(connect).collect()
}

pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends so many requests, one on each connection at a time, and reads the answers.
pub(crate) fn ask(clients: &mut [Client], request: &[u8], count: usize) {
    for _ in 0..count.div_ceil(clients.len()) {
        clients.iter_mut().for_each(|client| client.write_all(request).expect("the server reads"));
        clients.iter_mut().for_each(|client| assert!(read(client).starts_with(b"HTTP/1.1 200")));
    }
}

fn read(client: &mut Client) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = client.read(&mut buffer).expect("the server answers");
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if bytes.len() >= end + 4 + length.expect("answers have a length") {
            return bytes;
        }
    }
}

/// What so many requests cost: by the server's processor, or by the clock on the wall.
fn cost<'a>(serving: &'a Serving, request: &'a [u8], wall: bool) -> impl FnMut(usize) -> Duration + 'a {
    let mut clients = clients(serving.address);
    move |count| {
        let (before, started) = (serving.time(), Instant::now());
        ask(&mut clients, request, count);
        if wall { started.elapsed() } else { serving.time() - before }
    }
}

pub(crate) fn over_warm_handler(effort: Effort) -> Vec<Figure> {
    let folder = folder();
    let recorder = Recorder::jsonl_as("bench", folder.path()).expect("a new folder takes records");
    let (floor, host, recorded) =
        (Serving::floor(), Serving::host("host", Recorder::discard()), Serving::host("recorded", recorder));
    // Without a key nobody names a tenant.
    let call = CALL.replace("\"tenant\":\"acme/claims\",", "");
    let request = post("/v1/evaluate", &call);
    let batch = post("/v1/evaluate/batch", &format!("{{\"requests\":[{}]}}", vec![call; BATCH].join(",")));
    let effort = Effort { rounds: effort.rounds.div_ceil(2), batch: effort.batch * 4 };
    let against = |serving: &Serving, wall| -> Ratio {
        compare(effort, cost(serving, &request, wall), cost(&floor, &request, wall))
    };
    let (wall, cpu, with_record) = (against(&host, true), against(&host, false), against(&recorded, false));
    let few = Effort { rounds: effort.rounds, batch: CONNECTIONS };
    let mut batches = cost(&host, &batch, false);
    let mut calls = cost(&host, &request, false);
    let batched = compare(few, &mut batches, |count| calls(count * BATCH));
    vec![
        Figure::new("http_rps", 1.0 / wall.value, "ratio", AGAINST)
            .goal(">= 0.92")
            .beside("requests_per_second", 1e6 / wall.micros.0)
            .beside("requests_per_second_against", 1e6 / wall.micros.1),
        Figure::ratio("http_cpu", &cpu, AGAINST).goal("<= 1.15"),
        Figure::ratio("http_cpu_recorded", &with_record, AGAINST),
        Figure::ratio("batch_100", &batched, "a hundred calls of the same server").goal("<= 0.5"),
    ]
}
