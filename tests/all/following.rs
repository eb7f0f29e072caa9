//! A host that follows a folder: whatever happens to the files, it ends where they say, and never in between. The tests
//! are named after the rows of the fault list.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weir::{Compiler, OpenError, Recorder, Report, Runtime, Source, Watch};

use crate::harness::{Random, one_policy, pause, request};
use crate::swapping::{build, builds};

/// A folder with a set, and a host that follows it.
struct Place {
    folder: tempfile::TempDir,
    host: Runtime,
    _watch: Watch,
}

const SET: &str = "set";

impl Place {
    fn new() -> Place {
        Place::with(|set| {
            fs::write(set.join("weir.toml"), one_policy("")).unwrap();
            fs::write(set.join("p.wasm"), build(1)).unwrap();
        })
    }

    /// A host over what `fill` puts into the folder.
    fn with(fill: impl FnOnce(&Path)) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join(SET);
        fs::create_dir(&set).unwrap();
        fill(&set);
        let builder = Runtime::builder().recorder(Recorder::memory(10)).rescan(Duration::from_secs(1));
        let host = pollster::block_on(builder.open(Source::dir(set))).unwrap();
        let watch = host.follow();
        Place { folder, host, _watch: watch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(SET).join(name)
    }

    /// Writes a file under another name and renames it.
    fn replace(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let new = self.folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn build(&self) -> u64 {
        let builds = builds(&self.host.evaluate_blocking(request()));
        assert_eq!(builds.len(), 1, "{builds:?}");
        builds.into_iter().next().unwrap()
    }

    fn published(&self) -> u64 {
        self.host.metrics().sets.published
    }

    fn refused(&self) -> Option<Report> {
        self.host.refused().map(|report| (*report).clone())
    }

    /// Waits until the host is where it should be.
    fn until(&self, what: &str, holds: impl Fn(&Place) -> bool) {
        const LONGEST: Duration = Duration::from_secs(60);
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < LONGEST, "{what}: {:?}, {:?}", self.host.metrics().sets, self.refused());
            pause(Duration::from_millis(5));
        }
    }

    /// Waits until the folder has been looked at so many times more.
    fn until_looked(&self, times: u64) {
        let looks = |place: &Place| place.host.metrics().sets.looks;
        let before = looks(self);
        self.until("looks at the folder", |place| looks(place) >= before + times);
    }

    fn until_build(&self, number: u64) {
        self.until(&format!("build {number} in force"), |place| place.build() == number);
    }

    /// Waits until so many sets have been published and nothing is refused: both are written down a moment after a set is in
    /// force.
    fn until_settled(&self, published: u64) {
        self.until(&format!("{published} sets published, none refused"), |place| {
            place.published() == published && place.refused().is_none()
        });
    }

    fn until_refused(&self, says: &str) {
        self.until(&format!("refused with `{says}`"), |place| {
            place.refused().is_some_and(|report| report.to_string().contains(says))
        });
    }
}

#[test]
fn row_33_a_half_written_file_is_never_read() {
    let place = Place::new();
    let wasm = build(2);
    let mut file = File::create(place.path("p.wasm")).unwrap();
    for piece in wasm.chunks(wasm.len() / 3) {
        file.write_all(piece).unwrap();
        pause(Duration::from_millis(300));
        assert_eq!((place.build(), place.published()), (1, 1), "its writer is still at it");
    }
    drop(file);
    place.until_build(2);
    place.until_settled(2);
    assert_eq!(place.host.metrics().sets.refused, 0);
}

#[test]
fn row_34_what_a_killed_writer_leaves_is_refused() {
    let place = Place::new();
    let output = File::create(place.path("p.wasm")).unwrap();
    let mut writer = Command::new("cat").stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    let wasm = build(2);
    writer.stdin.as_mut().unwrap().write_all(&wasm[..wasm.len() / 2]).unwrap();
    place.until("half a file", |place| fs::metadata(place.path("p.wasm")).unwrap().len() > 0);
    writer.kill().unwrap();
    writer.wait().unwrap();
    place.until_refused("malformed module");
    assert_eq!((place.build(), place.published()), (1, 1));
    place.replace("p.wasm", wasm);
    place.until_build(2);
    place.until_settled(2);
}

#[test]
fn row_35_a_storm_of_renames_is_one_change() {
    let place = Place::new();
    let (scratch, swap) = (build(3), place.path(".p.wasm.swp"));
    for round in 0..10_000 {
        fs::write(&swap, if round % 2 == 0 { &scratch[..] } else { b"4913" }).unwrap();
        fs::rename(&swap, place.path("p.wasm~")).unwrap();
    }
    place.replace("p.wasm", build(2));
    place.until_build(2);
    place.until_settled(2);
    let sets = place.host.metrics().sets;
    assert_eq!((sets.compilations, sets.refused), (4, 0));
}

#[test]
fn row_36_a_mounted_config_map_swaps_whole() {
    let volume = |set: &Path, version: &str, number: u64| {
        fs::create_dir(set.join(version)).unwrap();
        fs::write(set.join(version).join("weir.toml"), one_policy(&format!("config = {{ version = {number} }}")))
            .unwrap();
        fs::write(set.join(version).join("p.wasm"), build(number)).unwrap();
    };
    let place = Place::with(|set| {
        volume(set, "..2026_1", 1);
        symlink("..2026_1", set.join("..data")).unwrap();
        symlink("..data/weir.toml", set.join("weir.toml")).unwrap();
        symlink("..data/p.wasm", set.join("p.wasm")).unwrap();
    });
    for number in 2..5 {
        let version = format!("..2026_{number}");
        volume(&place.path(""), &version, number);
        symlink(&version, place.path("..data_tmp")).unwrap();
        fs::rename(place.path("..data_tmp"), place.path("..data")).unwrap();
        fs::remove_dir_all(place.path(&format!("..2026_{}", number - 1))).unwrap();
        place.until_build(number);
        assert_eq!(place.host.generation().plan().policies[0].config["version"], number);
    }
    // Text and module changed together.
    place.until_settled(4);
}

#[test]
fn row_37_and_38_a_change_without_an_event_is_found() {
    let place = Place::new();
    let elsewhere = place.folder.path().join("elsewhere");
    fs::hard_link(place.path("p.wasm"), &elsewhere).unwrap();
    // The kernel tells nobody who watches the folder about a write through another one. The first look comes by itself.
    for number in 2..5 {
        fs::write(&elsewhere, build(number)).unwrap();
        place.until_build(number);
    }
}

#[test]
fn row_39_a_deleted_file_leaves_what_was_in_force() {
    let place = Place::new();
    for (name, content, says) in
        [("p.wasm", build(1), "cannot read"), ("weir.toml", one_policy("").into_bytes(), "there is no `weir.toml`")]
    {
        fs::remove_file(place.path(name)).unwrap();
        place.until_refused(says);
        assert_eq!((place.build(), place.published()), (1, 1));
        place.replace(name, content);
        place.until("nothing is wrong", |place| place.refused().is_none());
        assert_eq!(place.published(), 1, "it is the generation that was in force all the time");
    }
}

#[test]
fn row_40_a_folder_that_goes_and_comes_back_is_followed_on() {
    let place = Place::new();
    let (set, away) = (place.path(""), place.folder.path().join("away"));
    fs::rename(&set, &away).unwrap();
    place.until_refused("cannot read the set");
    assert_eq!(place.build(), 1);
    fs::create_dir(&set).unwrap();
    fs::write(place.path("weir.toml"), one_policy("")).unwrap();
    fs::write(place.path("p.wasm"), build(2)).unwrap();
    place.until_build(2);
    // Followed on, with events, whatever the folder is.
    place.replace("p.wasm", build(3));
    place.until_build(3);
}

#[test]
fn row_40_a_file_that_cannot_be_read_any_more_leaves_what_was_in_force() {
    let place = Place::new();
    // Root may read whatever has a name, so the file loses its name in a circle of links.
    fs::remove_file(place.path("p.wasm")).unwrap();
    symlink("p.wasm", place.path("p.wasm")).unwrap();
    place.until_refused("cannot read");
    assert_eq!(place.build(), 1);
    place.replace("p.wasm", build(2));
    place.until_build(2);
}

#[test]
fn row_41_two_files_under_a_lock_change_together() {
    let place = Place::with(|set| {
        fs::write(set.join("weir.toml"), one_policy("")).unwrap();
        fs::write(set.join("p.wasm"), build(1)).unwrap();
        fs::write(set.join("weir.lock"), weir::lock(set).unwrap().to_string()).unwrap();
    });
    place.replace("p.wasm", build(2));
    place.until_refused("the lock says");
    place.replace("weir.toml", one_policy("config = { a = 1 }"));
    let both = |report: &Report| report.set.len() == 2;
    place.until("both files differ", |place| place.refused().as_ref().is_some_and(both));
    assert_eq!((place.build(), place.published()), (1, 1), "half of a change publishes nothing");
    place.replace("weir.lock", weir::lock(&place.path("")).unwrap().to_string());
    place.until_build(2);
    assert_eq!(place.host.generation().plan().policies[0].config["a"], 1);
    place.until_settled(2);
}

#[test]
fn row_42_what_is_no_plain_file_of_the_folder_is_refused() {
    let place = Place::new();
    fs::write(place.folder.path().join("outside.wasm"), build(9)).unwrap();
    let giant = || File::create(place.path("p.wasm")).unwrap().set_len(10 << 30).unwrap();
    let pipe = || assert!(Command::new("mkfifo").arg(place.path("p.wasm")).status().unwrap().success());
    let cases: [(&str, &dyn Fn()); 6] = [
        ("leads out of the folder", &|| symlink("../outside.wasm", place.path("p.wasm")).unwrap()),
        ("leads out of the folder", &|| {
            symlink(place.folder.path().join("outside.wasm"), place.path("p.wasm")).unwrap()
        }),
        ("not a regular file", &pipe),
        ("not a regular file", &|| fs::create_dir(place.path("p.wasm")).unwrap()),
        ("larger than 33554432 bytes", &giant),
        ("leads out of the folder", &|| symlink("/dev/zero", place.path("p.wasm")).unwrap()),
    ];
    for (number, (says, make)) in (2..).zip(cases) {
        fs::remove_file(place.path("p.wasm")).unwrap();
        make();
        place.until_refused(says);
        let metadata = fs::symlink_metadata(place.path("p.wasm")).unwrap();
        if metadata.is_dir() {
            fs::remove_dir(place.path("p.wasm")).unwrap();
        }
        place.replace("p.wasm", build(number));
        place.until_build(number);
    }
}

#[test]
fn row_45_a_flapping_file_ends_where_it_stops() {
    let place = Place::new();
    for round in 0..1_000 {
        place.replace("p.wasm", build(1 + round % 2));
    }
    place.replace("p.wasm", build(3));
    place.until_build(3);
    let sets = place.host.metrics().sets;
    assert!(sets.published < 100, "{sets:?}: a thousand changes are not a thousand generations");
    assert_eq!(place.host.generations().len().min(3), place.host.generations().len());
}

#[test]
fn a_touched_file_is_nothing_new() {
    let place = Place::new();
    let before = place.host.metrics().sets;
    for name in ["p.wasm", "weir.toml"] {
        File::open(place.path(name)).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        place.replace(name, fs::read(place.path(name)).unwrap());
    }
    place.until_looked(3);
    let after = place.host.metrics().sets;
    assert_eq!((after.published, after.compilations, after.refused), (1, before.compilations, 0));
}

#[test]
fn a_rollback_stays_until_a_file_changes() {
    let place = Place::new();
    place.replace("p.wasm", build(2));
    place.until_build(2);
    let first = place.host.generations()[0].id().number;
    pollster::block_on(place.host.rollback(first)).unwrap();
    assert_eq!(place.build(), 1);
    File::open(place.path("p.wasm")).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    place.until_looked(3);
    assert_eq!((place.build(), place.host.generation().id().number.get()), (1, 3));
    place.replace("p.wasm", build(3));
    place.until_build(3);
}

#[test]
fn a_detour_of_the_files_does_not_undo_a_rollback() {
    let place = Place::new();
    place.replace("p.wasm", build(2));
    place.until_build(2);
    pollster::block_on(place.host.rollback(place.host.generations()[0].id().number)).unwrap();
    let (set, away) = (place.path(""), place.folder.path().join("away"));
    fs::rename(&set, &away).unwrap();
    place.until_refused("cannot read the set");
    fs::rename(&away, &set).unwrap();
    place.until("nothing is refused", |place| place.refused().is_none());
    place.until_looked(2);
    assert_eq!((place.build(), place.published()), (1, 2), "the files say what was rolled back");
    place.replace("p.wasm", build(3));
    place.until_build(3);
    place.replace("p.wasm", build(2));
    place.until_build(2);
}

#[test]
fn another_reason_is_news() {
    let place = Place::new();
    fs::remove_file(place.path("p.wasm")).unwrap();
    place.until_refused("No such file");
    fs::create_dir(place.path("p.wasm")).unwrap();
    place.until_refused("not a regular file");
}

/// Whatever is done to the files, and however quickly: in the end the host is where they say. `WEIR_SEED` replays one.
#[test]
fn any_sequence_of_changes_ends_where_the_files_say() {
    let seeds = match std::env::var("WEIR_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=8).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        let (place, mut random) = (Place::new(), Random(seed));
        for _ in 0..5 {
            let done: Vec<String> = (0..1 + random.below(12)).map(|_| change(&place, &mut random)).collect();
            let said = weir::check(&Source::dir(place.path("")), Compiler::in_process());
            place.until(&format!("seed {seed}: {done:?}"), |place| match &said {
                Ok(plan) => place.host.generation().id().digest == plan.digest && place.refused().is_none(),
                Err(OpenError::Set(report)) => place.refused().as_ref() == Some(report),
                Err(error) => panic!("{error}"),
            });
        }
    }
}

/// Does one thing to the files of a place.
fn change(place: &Place, random: &mut Random) -> String {
    let number = 1 + random.below(4) as u64;
    let (toml, wasm, lock) = (place.path("weir.toml"), place.path("p.wasm"), place.path("weir.lock"));
    let text = one_policy(&format!("config = {{ number = {number} }}"));
    let gone = |path: &Path| drop(fs::remove_file(path));
    let what = random.below(13);
    match what {
        0..=2 => place.replace("p.wasm", build(number)),
        3 => {
            gone(&wasm);
            fs::write(&wasm, build(number)).unwrap();
        }
        4..=5 => place.replace("weir.toml", text),
        6 => {
            gone(&toml);
            fs::write(&toml, &text[..text.len() / 2]).unwrap();
        }
        7 => gone(&wasm),
        8 => {
            let folder = place.path(&format!("..{}", random.next()));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("p.wasm"), build(number)).unwrap();
            gone(&wasm);
            symlink(Path::new(folder.file_name().unwrap()).join("p.wasm"), &wasm).unwrap();
        }
        9 => {
            if let Ok(locked) = weir::lock(&place.path("")) {
                place.replace("weir.lock", locked.to_string());
            }
        }
        10..=11 => gone(&lock),
        _ => pause(Duration::from_millis(random.below(400) as u64)),
    }
    format!("{what}/{number}")
}
