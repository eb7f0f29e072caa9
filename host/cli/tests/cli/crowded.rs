//! As many connections as a server takes at once, and others who are served meanwhile.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::serving::{Client, Server, http};
use crate::{Place, request};

const CONNECTIONS: u64 = 10_000;
/// Files of this process beside its connections: other tests have some, too.
const OTHERS: u64 = 1_000;

/// Raises what this process may open as far as it can be, and says how many connections that makes.
fn room() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.map_or(CONNECTIONS, |most| CONNECTIONS.min(most.saturating_sub(OTHERS))) as usize
}

#[test]
fn ten_thousand_connections_wait_and_others_are_served() {
    let place = Place::new();
    place.write("server.toml", "connections_per_address = 20000\nconnections = 20000\nheader_timeout = \"10m\"\n");
    let server = Server::start(&place, "--config server.toml");
    let files = || std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count();
    let (before, connections) = (files(), room());
    let mut crowd: Vec<Client> = (0..connections).map(|_| Client::connect(&server.address)).collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        assert_eq!(client.ask("", &request(number, "allow")).0, 200);
        if number % 1_000 == 0 {
            let served = http(&server.address, "POST /v1/evaluate", "", &request(number, "deny")).unwrap();
            assert_eq!(served.1["effect"], "deny", "somebody else is served");
        }
    }
    assert!(files() >= before + connections, "they are all there");
    // Whoever waited longest is still answered.
    assert_eq!(crowd[0].ask("", &request(1, "review")).1["effect"], "review");
    let decided = http(&server.admin, "GET /v1/status", "", "").unwrap().1;
    assert_eq!(decided["denied"], connections.div_ceil(1_000), "{decided}");
    drop(crowd);
    crate::host::until("their files go", || (files() <= before + 10).then_some(()));
}
