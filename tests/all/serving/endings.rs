//! How a server ends: what has begun is answered, and a successor takes over without a gap.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_server::Settings;

use super::{CALL, Serving, ask, connect, post, read};
use crate::harness::{allows_after, burn, host_of, pause};

#[test]
fn what_has_begun_is_answered_and_nothing_new_is_taken() {
    let host =
        host_of(allows_after("", &burn(100_000_000)), "limits = { fuel = 1_000_000_000, deadline = \"60 s\" }");
    let mut serving = Serving::start(host, Settings { timeout: Duration::from_secs(5), ..Settings::default() });
    let mut begun = connect(serving.address);
    begun.write_all(post("/v1/evaluate", "", CALL).as_bytes()).unwrap();
    pause(Duration::from_millis(50));
    serving.tell_to_stop();
    assert_eq!(read(&mut begun).unwrap().status, 200);
    serving.join();
    assert!(TcpStream::connect(serving.address).is_err());
}

#[test]
fn a_successor_takes_over_without_a_refused_connection() {
    let host = || host_of(allows_after("", ""), "");
    let mut first = Serving::start(host(), Settings::default());
    let (address, admin) = (first.address, first.admin);
    let (ended, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&done);
    let clients = std::thread::spawn(move || {
        let mut answered = 0;
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(ask(address, &post("/v1/evaluate", "", CALL)).status, 200);
            answered += 1;
        }
        answered
    });
    let settings = Settings { listen: address, admin: Some(admin), ..Settings::default() };
    let second = Serving::at(Arc::new(host()), settings);
    pause(Duration::from_millis(100));
    first.join();
    ended.store(true, Ordering::Relaxed);
    pause(Duration::from_millis(200));
    done.store(true, Ordering::Relaxed);
    assert!(clients.join().unwrap() > 10);
    assert_eq!(second.post("/v1/evaluate", "", CALL).status, 200);
}
