//! How a server ends: what has begun is answered, and a successor takes over without a gap.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_server::{Address, Server, Settings};

use super::{CALL, Serving, connect, post, read};
use crate::harness::{allows_after, burn, host_of, pause};

#[test]
fn what_has_begun_is_answered_and_nothing_new_is_taken() {
    let host =
        host_of(allows_after("", &burn(3_000_000_000)), "limits = { fuel = 9_000_000_000, deadline = \"60 s\" }");
    let mut serving = Serving::start(host, Settings { timeout: Duration::from_secs(5), ..Settings::default() });
    let mut begun = connect(serving.address);
    begun.write_all(post("/v1/evaluate", "", CALL).as_bytes()).unwrap();
    pause(Duration::from_millis(200));
    serving.tell_to_stop();
    assert_eq!(read(&mut begun).unwrap().status, 200);
    serving.join();
    assert!(TcpStream::connect(serving.address).is_err());
}

#[test]
fn an_address_has_one_server_unless_both_share_it() {
    let first = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for share_addresses in [false, true] {
        let listen = Address::Tcp(first.address);
        let settings = Settings { listen, admin: None, share_addresses, ..Settings::default() };
        let bound = executor.block_on(async { Server::bind(settings).map(drop) });
        assert!(bound.unwrap_err().to_string().contains("cannot listen on 127.0.0.1:"));
    }
}

#[test]
fn a_successor_takes_over_without_a_refused_connection() {
    let host = || host_of(allows_after("", ""), "");
    let mut first = Serving::start(host(), Settings { share_addresses: true, ..Settings::default() });
    let (address, admin) = (first.address, first.admin);
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let clients = std::thread::spawn(move || {
        let (mut answered, mut cut) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            // Every connection is taken. One that the kernel gave to the predecessor in its last moment ends without an
            // answer, and is asked again.
            let mut stream = connect(address);
            let sent = stream.write_all(post("/v1/evaluate", "", CALL).as_bytes());
            match sent.ok().and_then(|()| read(&mut stream)) {
                Some(answer) => {
                    assert_eq!(answer.status, 200);
                    answered += 1;
                }
                None => cut += 1,
            }
        }
        (answered, cut)
    });
    let (listen, operators) = (Address::Tcp(address), Some(Address::Tcp(admin)));
    let settings = Settings { listen, admin: operators, share_addresses: true, ..Settings::default() };
    let second = Serving::at(Arc::new(host()), settings);
    pause(Duration::from_millis(100));
    first.join();
    pause(Duration::from_millis(200));
    done.store(true, Ordering::Relaxed);
    let (answered, cut) = clients.join().unwrap();
    assert!(answered > 10 && cut <= 1, "{answered} answered, {cut} cut");
    assert_eq!(second.post("/v1/evaluate", "", CALL).status, 200);
}
