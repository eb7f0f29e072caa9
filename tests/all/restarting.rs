//! What a host comes back with: the generation that was in force, from its own notes and its store of machine code.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use weir::{GenerationNumber, OpenError, Recorder, Runtime, Source};

use crate::harness::{one_policy, request};
use crate::swapping::{build, builds};

/// A folder with a set, and one for what a host keeps.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.set()).unwrap();
        place.write("weir.toml", one_policy(""));
        place.write("p.wasm", build(1));
        place
    }

    fn set(&self) -> PathBuf {
        self.folder.path().join("set")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.set().join(name), bytes).unwrap();
    }

    fn try_start(&self) -> Result<Runtime, OpenError> {
        let kept = self.folder.path().join("kept");
        let builder =
            Runtime::builder().recorder(Recorder::memory(10)).store(kept.join("code")).state(kept.join("state"));
        pollster::block_on(builder.open(Source::dir(self.set())))
    }

    fn start(&self) -> Runtime {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Number of the generation, the build that judges, and how often a compiler was asked.
fn now(host: &Runtime) -> (u64, u64, u64) {
    let builds = builds(&host.evaluate_blocking(request()));
    let sets = host.metrics().sets;
    (sets.generation, builds.into_iter().next().unwrap(), sets.compilations)
}

fn publish(host: &Runtime, place: &Place) -> u64 {
    pollster::block_on(host.publish(Source::dir(place.set()))).unwrap().get()
}

#[test]
fn an_unchanged_set_comes_back_as_the_same_generation_from_the_store() {
    let place = Place::new();
    let digest = place.start().generation().id().digest;
    for _ in 0..2 {
        let host = place.start();
        assert_eq!((now(&host), host.generation().id().digest), ((1, 1, 0), digest));
    }
    place.write("p.wasm", build(2));
    assert_eq!(now(&place.start()), (2, 2, 2), "what changed meanwhile is another generation");
    assert_eq!(now(&place.start()), (2, 2, 0));
}

#[test]
fn a_rollback_outlives_its_host() {
    let place = Place::new();
    let host = place.start();
    place.write("p.wasm", build(2));
    assert_eq!(publish(&host, &place), 2);
    pollster::block_on(host.rollback(GenerationNumber::new(1))).unwrap();
    assert_eq!(now(&host), (3, 1, 4));
    drop(host);
    let host = place.start();
    // What the folder says was seen before it was rolled back.
    assert_eq!((now(&host), host.refused()), ((3, 1, 0), None));
    drop(host);
    place.write("p.wasm", build(3));
    assert_eq!(now(&place.start()), (4, 3, 2));
}

#[test]
fn files_that_are_no_good_set_bring_back_the_last_good_one() {
    let place = Place::new();
    drop(place.start());
    for (name, good) in [("p.wasm", build(1)), ("weir.toml", one_policy("").into_bytes())] {
        place.write(name, &good[..good.len() / 2]);
        let host = place.start();
        assert_eq!(now(&host), (1, 1, 0), "{name}");
        assert!(host.refused().is_some(), "{name}: it says so");
        drop(host);
        place.write(name, good);
        let host = place.start();
        assert_eq!((now(&host), host.refused()), ((1, 1, 0), None));
    }
}

#[test]
fn without_notes_a_bad_set_opens_nothing() {
    let place = Place::new();
    place.write("p.wasm", "half");
    assert!(matches!(place.try_start(), Err(OpenError::Set(_))));
}

#[test]
fn spoiled_notes_and_code_cost_time_and_nothing_else() {
    let place = Place::new();
    drop(place.start());
    spoil(&place.folder.path().join("kept"));
    let host = place.start();
    assert_eq!((now(&host).1, host.refused()), (1, None));
    let sets = host.metrics().sets;
    assert_eq!((sets.compilations, sets.store_faults), (2, 3), "forged code is refused and replaced");
    drop(host);
    assert_eq!(now(&place.start()).2, 0);
}

/// Changes a byte in the middle of every file but the key, and but what was taken of budgets, which cannot be made anew.
fn spoil(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.file_name().is_some_and(|name| name == "counters") {
            continue;
        }
        if entry.is_dir() {
            spoil(&entry);
        } else if entry.file_name().is_some_and(|name| name != "key") {
            let mut bytes = fs::read(&entry).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(entry, bytes).unwrap();
        }
    }
}

#[test]
fn a_store_that_others_can_enter_is_an_error_that_names_the_way_out() {
    let place = Place::new();
    drop(place.start());
    let code = place.folder.path().join("kept/code");
    fs::set_permissions(&code, fs::Permissions::from_mode(0o755)).unwrap();
    let error = place.try_start().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("only its owner may be able to enter it (mode 0700)"), "{error}");
}

#[test]
fn numbers_go_on_from_the_records_where_nothing_else_is_remembered() {
    let place = Place::new();
    let audit = place.folder.path().join("audit");
    let open = || {
        let recorder = Recorder::jsonl_as("host-1", &audit).unwrap();
        pollster::block_on(Runtime::builder().recorder(recorder).open(Source::dir(place.set()))).unwrap()
    };
    for (build_number, number) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3)] {
        place.write("p.wasm", build(build_number));
        assert_eq!(now(&open()).0, number, "build {build_number}");
    }
    // A generation that judged nothing has left no trace, and its number means nothing to anybody.
    place.write("p.wasm", build(3));
    drop(open());
    place.write("p.wasm", build(4));
    assert_eq!(now(&open()).0, 4);
}
