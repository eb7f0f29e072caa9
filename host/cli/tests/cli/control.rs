//! The socket of a host: who may ask, what else may come through it, and what is left when a host ends.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::Place;
use crate::host::Host;

/// What the host answers to these bytes, if anything.
fn send(place: &Place, bytes: &[u8]) -> String {
    let mut stream = connect(place);
    // It may answer and close before it has taken everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn connect(place: &Place) -> UnixStream {
    let stream = UnixStream::connect(place.path("set/.weir/socket")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

#[test]
fn nobody_answers_without_a_host() {
    let place = Place::new();
    for command in ["status set", "generations set", "rollback set"] {
        let alone = place.weir(command);
        assert_eq!((alone.code, alone.stdout.as_str()), (Some(4), ""), "{command}: {alone:?}");
        assert!(alone.stderr.contains("weir: no host follows `set`\n"), "{command}: {alone:?}");
        assert!(alone.stderr.contains("help: `weir eval set --follow` starts one"), "{command}: {alone:?}");
    }
    let elsewhere = place.weir("status gone --state state");
    assert!(elsewhere.code == Some(4) && elsewhere.stderr.contains("`weir eval gone --follow --state state`"));
    assert_eq!(place.weir("status nowhere").code, Some(2));
    assert!(!place.path("set/.weir").exists());
}

#[test]
fn the_state_folder_is_its_owners_alone() {
    let place = Place::new();
    let host = Host::start(&place, "eval set --follow");
    let mode = |name: &str| fs::symlink_metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("set/.weir"), mode("set/.weir/code"), mode("set/.weir/socket")), (0o700, 0o700, 0o600));
    assert!(fs::metadata(place.path("set/.weir/socket")).unwrap().file_type().is_socket());
    assert_eq!(host.end().code, Some(0));
    assert!(place.path("set/.weir/code").exists() && !place.path("set/.weir/socket").exists());

    fs::set_permissions(place.path("set/.weir"), fs::Permissions::from_mode(0o755)).unwrap();
    let open = place.weir("eval set --follow");
    assert!(open.code == Some(4) && open.stderr.contains("0700") && open.stderr.contains("--state"), "{open:?}");
    // Without --follow it is only not used.
    assert_eq!(place.weir("eval set").code, Some(0));
}

#[test]
fn a_state_folder_may_be_elsewhere() {
    let place = Place::new();
    place.write("set/.weir", "no folder");
    let nowhere = place.weir("eval set --follow");
    assert!(nowhere.code == Some(4) && nowhere.stderr.contains("help: `--state DIR`"), "{nowhere:?}");
    let host = Host::start(&place, "eval set --follow --state deep/er");
    assert_eq!(place.weir("status set").code, Some(4));
    assert_eq!(place.json("status set --state deep/er", 0)["pid"], host.pid());
    assert_eq!(place.weir("rollback set --state deep/er").code, Some(1));
    assert_eq!(host.end().code, Some(0));
    // Code is kept there without --follow, too, and there is no socket then.
    fs::remove_dir_all(place.path("deep")).unwrap();
    assert_eq!(place.weir("eval set --state deep/er").code, Some(0));
    assert!(place.path("deep/er/code").exists() && !place.path("deep/er/socket").exists());

    let long = "x".repeat(120);
    for command in ["eval set --follow", "status set"] {
        let refused = place.weir(&format!("{command} --state {long}"));
        assert!(refused.code == Some(4) && refused.stderr.contains("too long for a socket"), "{refused:?}");
        assert!(refused.stderr.contains("help: use `--state DIR` with a shorter path"), "{refused:?}");
    }
}

#[test]
fn one_host_follows_a_set_at_a_time() {
    let place = Place::new();
    let mut first = Host::start(&place, "eval set --follow");
    place.write("decisions.jsonl", "those of the first host");
    let second = place.weir("eval set --follow --audit other --out decisions.jsonl");
    assert_eq!((second.code, second.stdout.as_str()), (Some(4), ""), "{second:?}");
    let told = format!("weir: a host follows `set` already: process {}", first.pid());
    assert!(second.stderr.contains(&told) && second.stderr.contains("`--state DIR`"), "{second:?}");
    assert!(!place.path("other").exists() && place.read("decisions.jsonl") == "those of the first host");
    // It has not harmed the first one, and judging without following is nobody's business.
    assert_eq!(place.json("status set", 0)["pid"], first.pid());
    assert_eq!(place.weir("eval set --audit other").code, Some(0));
    let apart = Host::start(&place, "eval set --follow --audit other --state other/state");
    assert_eq!(place.json("status set --state other/state", 0)["pid"], apart.pid());
    first.ask("allow");
}

#[test]
fn a_dead_hosts_socket_is_replaced() {
    let place = Place::new();
    let mut dead = Host::start(&place, "eval set --follow");
    dead.signal("-KILL");
    dead.ended();
    assert!(place.path("set/.weir/socket").exists());
    let alone = place.weir("status set");
    assert!(alone.code == Some(4) && alone.stderr.contains("no host follows `set`"), "{alone:?}");
    let host = Host::start(&place, "eval set --follow");
    assert_eq!(place.json("status set", 0)["pid"], host.pid());
    drop(host);
    // One that could not open its set leaves no socket behind.
    place.write("broken/weir.toml", "set = 1");
    assert_eq!(place.weir("eval broken --follow").code, Some(1));
    assert!(place.path("broken/.weir").exists() && !place.path("broken/.weir/socket").exists());
    // What is no socket is not ours to remove.
    fs::remove_file(place.path("set/.weir/socket")).unwrap();
    place.write("set/.weir/socket", "a file");
    let refused = place.weir("eval set --follow");
    assert!(refused.code == Some(4) && refused.stderr.contains("no socket"), "{refused:?}");
    assert_eq!(place.read("set/.weir/socket"), "a file");
}

#[test]
fn a_signal_ends_in_order() {
    let place = Place::new();
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut host = Host::start(&place, "eval set --follow");
        host.signal(name);
        let ended = host.ended();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(!place.path("set/.weir/socket").exists());
    }
}

#[test]
fn clients_that_misbehave_harm_nothing() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    let long = [b"{\"command\":\"status\", \"x\":\"".as_slice(), &[b'x'; 100_000], b"\"}\n"].concat();
    for (bytes, told) in [
        (&b"garbage\n"[..], "not a command"),
        (b"\xff\xfe\x00\n", "not a command"),
        (b"{\"command\":\"sta", "not a command"),
        (b"{\"command\":\"stop\"}\n", "unknown variant `stop`"),
        (b"{\"command\":\"status\",\"to\":1}\n", "unknown field `to`"),
        (b"{\"command\":\"rollback\",\"to\":\"1\"}\n", "invalid type"),
        (b"{}\n", "command"),
        (b"\n", "not a command"),
        (&long, "longer than 65536 bytes"),
    ] {
        let answer = send(&place, bytes);
        let error: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let message = error["error"]["message"].as_str().unwrap();
        assert!(error["error"]["kind"] == "bad_command" && message.contains(told), "{told}: {error}");
        assert!(answer.ends_with('\n') && answer.lines().count() == 1, "{answer}");
    }
    assert_eq!(send(&place, b""), "");
    // One command is answered, whatever follows it.
    let twice = send(&place, b"{\"command\":\"status\"}\n{\"command\":\"rollback\"}\n");
    assert!(twice.lines().count() == 1 && twice.contains("\"pid\""), "{twice}");
    for _ in 0..50 {
        // Gone before the answer.
        connect(&place).write_all(b"{\"command\":\"status\"}\n").unwrap();
    }
    // More than are served at once, and none of them says a word: they are given up, and the next one has its turn.
    let silent: Vec<UnixStream> = (0..20).map(|_| connect(&place)).collect();
    assert_eq!(place.json("status set", 0)["pid"], host.pid());
    assert_eq!(host.ask("allow")["generation"]["number"], 1);
    // Those who are still there do not hold up the end.
    silent.iter().for_each(|mut stream| drop(stream.write_all(b"{")));
    let ended = host.end();
    assert!(ended.code == Some(0) && !ended.stderr.contains("panicked"), "{ended:?}");
}
