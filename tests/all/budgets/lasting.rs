//! What was taken outlives generations and hosts.

use std::path::Path;

use weir::{Recorder, Runtime, Source};

use super::{GRANTED, allowed, ask, taker, taker_of};
use crate::harness::{host_of, one_policy};

fn kept(folder: &Path, wasm: Vec<u8>) -> Runtime {
    let source = Source::memory(one_policy(GRANTED), [("p.wasm", wasm)]);
    let builder = Runtime::builder().recorder(Recorder::memory(10)).state(folder);
    pollster::block_on(builder.open(source)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_swap_changes_nothing_that_was_taken() {
    let host = host_of(taker(1, 6, 60_000), GRANTED);
    let swap = |wasm| {
        let source = Source::memory(one_policy(GRANTED), [("p.wasm", wasm)]);
        pollster::block_on(host.publish(source)).unwrap()
    };
    let grants = |times| (0..times).filter(|_| allowed(&ask(&host, "a", 0))).count();
    assert_eq!(grants(4), 4);
    swap(taker_of("key", 1, 6, 60_000, "(nop)"));
    assert_eq!(grants(1), 1);
    swap(taker_of("other", 1, 1, 60_000, ""));
    assert_eq!(grants(3), 1);
    swap(taker(1, 6, 60_000));
    assert_eq!(grants(5), 1);
}

#[test]
fn a_host_that_ends_in_any_way_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let grants = |host: &Runtime, times| (0..times).filter(|_| allowed(&ask(host, "a", 0))).count();
    let host = kept(folder.path(), taker(1, 10, 60_000));
    assert_eq!(grants(&host, 3), 3);
    // Dropped, not shut down: nothing is written out that was not before its last answer.
    drop(host);
    for expected in [4, 3, 0] {
        let host = kept(folder.path(), taker(1, 10, 60_000));
        assert_eq!(grants(&host, 4), expected);
        pollster::block_on(host.shutdown(std::time::Duration::from_secs(1)));
    }
}

#[test]
fn a_spoiled_snapshot_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    drop(kept(folder.path(), taker(1, 10, 60_000)));
    let snapshot = folder.path().join("counters/snapshot");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let source = Source::memory(one_policy(GRANTED), [("p.wasm", taker(1, 10, 60_000))]);
    let opened =
        pollster::block_on(Runtime::builder().recorder(Recorder::memory(10)).state(folder.path()).open(source));
    let error = opened.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("counters/snapshot") && error.contains("remove its folder"), "{error}");
}
