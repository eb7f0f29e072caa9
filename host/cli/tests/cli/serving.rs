//! `weir serve` and `weir key` as processes: a host that is asked over HTTP, killed, started again, and told who may ask.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::host::{pause, until};
use crate::{Place, constant, request};

/// Stopped when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) admin: String,
}

impl Server {
    pub(crate) fn start(place: &Place, arguments: &str) -> Server {
        let arguments = format!("serve set --listen 127.0.0.1:0 --admin 127.0.0.1:0 {arguments}");
        Server::run(place.command(&arguments))
    }

    fn run(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (heard, mut stderr) = (Arc::clone(&said), child.stderr.take().unwrap());
        // Ends with the process, whose pipe it reads.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut bytes) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        let line = until("where it answers", || {
            let said = said.lock().unwrap();
            said.lines().find(|line| line.starts_with("weir: answers on")).map(str::to_owned)
        });
        let after = |word: &str| line.split(word).nth(1).unwrap().split(',').next().unwrap().to_owned();
        Server { child, address: after("answers on http://"), admin: after("operators ask http://") }
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = std::process::Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        until("its end", || self.child.try_wait().unwrap()).code()
    }

    /// Asks for a decision on a connection of its own; none where the server has gone.
    pub(crate) fn ask(&self, headers: &str, body: &str) -> Option<(u16, Value)> {
        http(&self.address, "POST /v1/evaluate", headers, body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn http(address: &str, what: &str, headers: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    let head =
        format!("{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n");
    stream.write_all(format!("{head}{headers}Content-Length: {length}\r\n\r\n{body}").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()))))
}

/// A connection that is kept.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        Client(BufReader::with_capacity(4096, stream))
    }

    /// Asks for a decision.
    pub(crate) fn ask(&mut self, headers: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let head = "POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let request = format!("{head}{headers}Content-Length: {length}\r\n\r\n{body}");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = || {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            line.trim_end().to_ascii_lowercase()
        };
        let status = line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            let header = line();
            match header.strip_prefix("content-length: ") {
                Some(text) => length = text.parse().unwrap(),
                None if header.is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

#[test]
fn a_server_answers_follows_its_set_and_ends_in_order() {
    let place = Place::new();
    let mut server = Server::start(&place, "");
    let effect = |server: &Server| server.ask("", &request(1, "allow")).unwrap().1["effect"].clone();
    assert_eq!(effect(&server), "allow");
    assert_eq!(http(&server.admin, "GET /readyz", "", "").unwrap(), (200, "generation 1\n".into()));
    place.replace("set/allow.wasm", constant(r#"{"effect":"deny"}"#));
    until("the changed set", || (effect(&server) == "deny").then_some(()));
    assert_eq!(place.json("status set", 0)["generation"]["number"], 2);
    assert_eq!(http(&server.admin, "POST /v1/rollback/1", "", "").unwrap().1["number"], 3);
    assert_eq!(effect(&server), "allow");
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(place.records("audit").len() >= 3);
}

/// A server that is given its socket by whoever starts it, as systemd does; it says there when it answers.
fn activated(place: &Place, socket: &TcpListener, told: &std::path::Path) -> Server {
    let inner = place.command("serve set --admin 127.0.0.1:0 --quiet");
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.current_dir(inner.get_current_dir().expect("it runs in its place"));
    command.env("NOTIFY_SOCKET", told).stdin(OwnedFd::from(socket.try_clone().unwrap()));
    Server::run(command)
}

#[test]
fn a_restart_under_a_service_manager_refuses_nobody() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let path = place.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let ready = || {
        let mut word = [0; 32];
        let length = manager.recv(&mut word).unwrap();
        assert_eq!(&word[..length], b"READY=1");
    };
    let over = AtomicBool::new(false);
    let answers: usize = std::thread::scope(|scope| {
        let mut server = activated(&place, &socket, &path);
        assert_eq!(server.address, address);
        ready();
        let client = || {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = http(&address, "POST /v1/evaluate", "", &request(1, "allow"));
                assert_eq!(answer.expect("nobody is refused").0, 200);
                answers += 1;
            }
            answers
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..3 {
            server.signal("-TERM");
            assert_eq!(server.ended(), Some(0));
            server = activated(&place, &socket, &path);
            ready();
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert!(answers > 12, "{answers}");
}

/// The name of a whole line's record.
fn named(line: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        record: String,
    }
    serde_json::from_str::<Named>(line).ok().map(|named| named.record)
}

#[test]
fn every_decision_a_client_saw_is_recorded_however_the_server_ends() {
    let rounds: usize = std::env::var("WEIR_KILL_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let place = Place::new();
    let mut seen = HashSet::new();
    for round in 0..rounds.min(200) {
        let mut server = Server::start(&place, "");
        let found = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let server = &server;
                    scope.spawn(move || {
                        let ask = |number: usize| {
                            let id = round * 1_000_000 + client * 10_000 + number;
                            let (status, decision) = server.ask("", &request(id, "allow"))?;
                            assert_eq!(status, 200, "{decision}");
                            Some(decision["record"].as_str().unwrap().to_owned())
                        };
                        (0..500).map_while(ask).collect::<Vec<_>>()
                    })
                })
                .collect();
            (0..=round % 5).for_each(|_| pause());
            server.signal("-KILL");
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(server.ended(), None);
        seen.extend(found);
    }
    // Only their names: whole records of so many would take memory that other tests of this process watch.
    let files = std::fs::read_dir(place.path("audit")).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).map(std::fs::read_to_string);
    let recorded: HashSet<String> =
        texts.flat_map(|text| text.unwrap().lines().filter_map(named).collect::<Vec<_>>()).collect();
    let lost: Vec<_> = seen.difference(&recorded).collect();
    assert!(!seen.is_empty() && lost.is_empty(), "{} seen, lost: {lost:?}", seen.len());
}

#[test]
fn keys_that_are_made_at_once_are_all_there_and_stay_their_owners() {
    use std::os::unix::fs::{MetadataExt, chown};
    let place = Place::new();
    std::thread::scope(|scope| {
        let place = &place;
        let make = |number| scope.spawn(move || place.weir(&format!("key new t{number}")));
        let made: Vec<_> = (0..8).map(make).collect();
        made.into_iter().for_each(|made| assert_eq!(made.join().unwrap().code, Some(0)));
    });
    let listed = place.weir("key list").stdout;
    assert!((0..8).all(|number| listed.contains(&format!("t{number}"))), "{listed}");
    // Only root can give a file away.
    let file = place.path("keys.toml");
    let given = chown(&file, Some(65_534), Some(65_534)).is_ok();
    let id = listed.lines().find(|line| line.contains("t3")).and_then(|line| line.split_whitespace().next()).unwrap();
    assert_eq!(place.weir(&format!("key revoke {id}")).code, Some(0));
    let there = std::fs::metadata(&file).unwrap();
    assert_eq!((there.uid() == 65_534, there.mode() & 0o777), (given, 0o600));
}

#[test]
fn keys_are_made_shown_once_and_revoked_while_the_server_runs() {
    let place = Place::new();
    let made = place.weir("key new acme/claims --expires 90d");
    assert_eq!(made.code, Some(0), "{made:?}");
    let key = made.stdout.trim().to_owned();
    let id = key.split('_').nth(1).unwrap().to_owned();
    assert!(made.stderr.contains(&id) && !place.read("keys.toml").contains(&key), "{made:?}");
    let listed = place.weir("key list").stdout;
    assert!(listed.contains(&id) && listed.contains("acme/claims") && listed.contains("evaluator"), "{listed}");
    place.write("server.toml", "keys = \"keys.toml\"\n");
    let server = Server::start(&place, "--config server.toml");
    let headers = format!("Authorization: Bearer {key}\r\n");
    let (status, decision) = server.ask(&headers, &request(1, "allow")).unwrap();
    assert_eq!((status, &decision["tenant"]), (200, &"acme/claims".into()));
    assert_eq!(server.ask("", &request(2, "allow")).unwrap().0, 401);
    assert_eq!(place.weir(&format!("key revoke {id}")).code, Some(0));
    until("the revoked key is refused", || {
        server.ask(&headers, &request(3, "allow")).filter(|(status, _)| *status == 401)
    });
    assert_eq!(place.weir(&format!("key revoke {id}")).code, Some(2));
    assert_eq!(place.weir("key new acme --role king").code, Some(2));
    for (wrong, told) in [
        ("key new acme/*", "named whole"),
        ("key new acme --expires 0s", "dead already"),
        ("key new acme --expires=-1d", "dead already"),
        ("key list --keys nowhere.toml", "no file of keys"),
    ] {
        let refused = place.weir(wrong);
        assert!(refused.code == Some(2) && refused.stderr.contains(told), "{wrong}: {refused:?}");
    }
}

#[test]
fn what_cannot_be_served_is_said_with_a_way_out() {
    let place = Place::new();
    place.write("bad.toml", "timeuot = \"1 s\"\n");
    place.write("open.toml", "listen = \"0.0.0.0:0\"\n");
    place.write("keys.toml", "[keys]\n");
    place.write("keyed.toml", "keys = \"keys.toml\"\n");
    for (arguments, code, told) in [
        ("serve nowhere", 2, "a set is a folder"),
        ("serve set --config nowhere.toml", 2, "nowhere.toml"),
        ("serve set --config bad.toml", 2, "timeuot"),
        ("serve set --config open.toml", 2, "insecure = true"),
        ("serve set --config keyed.toml", 2, "chmod 600"),
        ("serve set --listen 192.0.2.1:1", 2, "insecure = true"),
    ] {
        let ended = place.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let ended = crate::ended(ended);
        assert_eq!(ended.code, Some(code), "{arguments}: {ended:?}");
        assert!(ended.stderr.contains(told), "{arguments}: {ended:?}");
    }
}

#[test]
fn what_is_decided_can_be_followed() {
    let place = Place::new();
    let requests: String = (0..30).map(|id| request(id, ["allow", "deny", "review"][id % 3]) + "\n").collect();
    place.weir_with("eval set -q", &requests);
    let shown = place.weir("tail --once -n 4");
    assert_eq!((shown.code, shown.stdout.lines().count()), (Some(0), 4), "{shown:?}");
    let last = shown.stdout.lines().last().unwrap();
    assert!(last.ends_with("/30"), "{last}");
    // Records are numbered in the order they are written in, which is not always that of the requests.
    let all = place.weir("tail --once -n 30").stdout;
    let reviews = all.lines().filter(|line| line.contains("  review  says.review  default  by review  ")).count();
    assert_eq!(reviews, 10, "{all}");
    let denied = place.weir("tail audit --once -n 100 --effect deny --json");
    let denied = crate::json_lines(&denied.stdout);
    assert_eq!(denied.len(), 10);
    assert!(denied.iter().all(|record| record["decision"]["effect"] == "deny"));
    assert_eq!(place.weir("tail nowhere").code, Some(2));
    // What comes is shown as it comes.
    let mut tail = place.command("tail -n 0").spawn().unwrap();
    let mut out = std::io::BufReader::new(tail.stdout.take().unwrap());
    pause();
    let more = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            line
        });
        until("a line of it", || {
            place.weir_with("eval set -q", &request(31, "deny"));
            reader.is_finished().then_some(())
        });
        reader.join().unwrap()
    });
    assert!(more.contains("  deny    says.deny  default  by deny  "), "{more}");
    tail.kill().unwrap();
    tail.wait().unwrap();
}
