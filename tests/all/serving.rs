//! A server as its clients see it: real sockets, bytes in and bytes out.

mod answers;
mod client;
mod encrypted;
mod endings;
mod operators;
mod overload;
mod slow;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use weir::Runtime;
use weir_server::{Address, Server, Settings};

/// A request at a checkpoint where everything is allowed.
const CALL: &str = r#"{"checkpoint":"test","content":[{"text":"hello"}]}"#;

/// A server in a thread of its own, until it is dropped.
struct Serving {
    address: SocketAddr,
    admin: SocketAddr,
    host: Arc<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    fn start(host: Runtime, settings: Settings) -> Serving {
        let loopback: Address = "127.0.0.1:0".parse().unwrap();
        let settings = Settings { listen: loopback.clone(), admin: Some(loopback), ..settings };
        Serving::at(Arc::new(host), settings)
    }

    fn at(host: Arc<Runtime>, settings: Settings) -> Serving {
        let (stop, stopped) = oneshot::channel();
        let (bound, addresses) = std::sync::mpsc::channel();
        let runtime = Arc::clone(&host);
        let thread = std::thread::spawn(move || {
            let executor =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            executor.block_on(async {
                let server = Server::bind(settings).unwrap();
                bound.send((server.address().clone(), server.admin_address().unwrap().clone())).unwrap();
                server.run(runtime, async { drop(stopped.await) }).await;
            });
        });
        let (address, admin) = addresses.recv().unwrap();
        // A server that listens to a file is not asked by its address.
        let (address, admin) = (address.tcp().unwrap_or(([0; 4], 0).into()), admin.tcp().unwrap());
        Serving { address, admin, host, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells it to stop, without waiting.
    fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    fn join(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Sends a request on a connection of its own.
    fn ask(&self, request: &str) -> Answer {
        ask(self.address, request)
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.ask(&post(path, headers, body))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.join();
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // Longer than any of it takes: it only ends a test that would hang.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    read(&mut stream).expect("the server answers")
}

/// Reads one answer; none where the connection was closed instead.
fn read(stream: &mut impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
            let length: usize = head.lines().find_map(length).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Some(Answer { status, head, body });
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(read) => bytes.extend(&buffer[..read]),
            // An encrypted connection ends with the reason.
            Err(error) if [ErrorKind::ConnectionReset, ErrorKind::InvalidData].contains(&error.kind()) => {
                return None;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether the server closes a connection without an answer.
fn is_closed(stream: &mut TcpStream) -> bool {
    read(stream).is_none()
}
