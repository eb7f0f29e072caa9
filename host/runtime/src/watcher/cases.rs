//! Each case on a real file system. A looker stands for the loader: it reads one file at every look.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MOST: Duration = Duration::from_millis(60);
/// Longer than hints take to settle; on a busy machine a test may then see less, but never fails for it.
const PAUSE: Duration = Duration::from_millis(150);

/// Only hints make looks: the rescan does not come.
const PATIENCE: Patience = Patience {
    settle: Duration::from_millis(20),
    most: MOST,
    writer: HOUR,
    rescan: HOUR,
    degraded_rescan: Duration::from_millis(50),
};

fn pause() {
    let (_never, silent) = mpsc::channel::<()>();
    let _ = silent.recv_timeout(PAUSE);
}

/// A folder, and what the looks at its `policy` saw.
struct Scene {
    scratch: TempDir,
    folder: PathBuf,
    handle: Handle,
    seen: Receiver<Option<String>>,
    looker: Option<JoinHandle<()>>,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(PATIENCE, |_| {})
    }

    fn with(patience: Patience, prepare: impl FnOnce(&Path)) -> Scene {
        let scratch = TempDir::new().unwrap();
        let folder = scratch.path().join("set");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("policy"), "old").unwrap();
        prepare(&folder);
        let mut watcher = Watcher::start(&folder, patience);
        let handle = watcher.handle();
        let (see, seen) = mpsc::channel();
        let policy = folder.join("policy");
        let looker = std::thread::spawn(move || {
            while watcher.wait() {
                see.send(fs::read_to_string(&policy).ok()).unwrap();
            }
        });
        let scene = Scene { scratch, folder, handle, seen, looker: Some(looker) };
        scene.look();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn aside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn look(&self) -> Option<String> {
        self.seen.recv_timeout(Duration::from_secs(20)).expect("a look within 20 seconds")
    }

    /// Waits for a look that sees `text`.
    fn sees<'a>(&self, text: impl Into<Option<&'a str>>) {
        let text = text.into();
        while self.look().as_deref() != text {}
    }

    fn waits_for(&self, state: &WatchState) {
        while self.handle.state() != *state {
            self.look();
        }
    }

    fn looks(&self) -> usize {
        self.seen.try_iter().count()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(looker) = self.looker.take() {
            looker.join().unwrap();
        }
    }
}

#[test]
fn rename_over() {
    let scene = Scene::new();
    fs::write(scene.aside("new"), "new").unwrap();
    fs::rename(scene.aside("new"), scene.path("policy")).unwrap();
    scene.sees("new");
}

#[test]
fn write_in_place() {
    let scene = Scene::new();
    fs::write(scene.path("policy"), "new").unwrap();
    scene.sees("new");
}

#[test]
fn a_slow_writer_gets_no_look_between_its_pieces() {
    let scene = Scene::new();
    let mut file = File::create(scene.path("policy")).unwrap();
    for piece in ["n", "e", "w"] {
        file.write_all(piece.as_bytes()).unwrap();
        pause();
    }
    assert_eq!(scene.looks(), 0);
    drop(file);
    assert_eq!(scene.look().as_deref(), Some("new"));
}

#[test]
fn a_killed_writer_releases_the_look() {
    let scene = Scene::new();
    let file = File::create(scene.path("policy")).unwrap();
    let mut writer = Command::new("cat").stdin(Stdio::piped()).stdout(file).spawn().unwrap();
    writer.stdin.as_mut().unwrap().write_all(b"half").unwrap();
    while fs::read(scene.path("policy")).unwrap() != b"half" {
        pause();
    }
    assert_eq!(scene.looks(), 0);
    writer.kill().unwrap();
    writer.wait().unwrap();
    scene.sees("half");
}

#[test]
fn a_writer_without_end_is_looked_at_when_patience_ends() {
    let scene = Scene::with(Patience { writer: PAUSE, ..PATIENCE }, |_| {});
    let mut file = File::create(scene.path("policy")).unwrap();
    file.write_all(b"endless").unwrap();
    scene.sees("endless");
}

#[test]
fn an_editor_swaps_files() {
    let scene = Scene::new();
    fs::write(scene.path(".policy.swp"), "state of the editor").unwrap();
    fs::rename(scene.path("policy"), scene.path("policy~")).unwrap();
    fs::write(scene.path("policy"), "new").unwrap();
    fs::remove_file(scene.path("policy~")).unwrap();
    fs::remove_file(scene.path(".policy.swp")).unwrap();
    scene.sees("new");
}

#[test]
fn kubernetes_swaps_a_link() {
    let publish = |folder: &Path, version: &str| {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("policy"), version).unwrap();
        symlink(version, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    let prepare = |folder: &Path| {
        publish(folder, "..1");
        fs::remove_file(folder.join("policy")).unwrap();
        symlink("..data/policy", folder.join("policy")).unwrap();
    };
    let scene = Scene::with(PATIENCE, prepare);
    for (old, new) in [("..1", "..2"), ("..2", "..3")] {
        publish(&scene.folder, new);
        fs::remove_dir_all(scene.path(old)).unwrap();
        scene.sees(new);
    }
    fs::write(scene.path("..3/policy"), "in the folder behind the link").unwrap();
    scene.sees("in the folder behind the link");
}

#[test]
fn deleted_and_unreadable_files() {
    let scene = Scene::new();
    fs::set_permissions(scene.path("policy"), fs::Permissions::from_mode(0o000)).unwrap();
    scene.look();
    fs::remove_file(scene.path("policy")).unwrap();
    scene.sees(None);
    fs::write(scene.path("policy"), "new").unwrap();
    scene.sees("new");
}

#[test]
fn a_linked_file_does_not_wait_for_a_closing() {
    let scene = Scene::new();
    fs::remove_file(scene.path("policy")).unwrap();
    fs::write(scene.aside("new"), "new").unwrap();
    fs::hard_link(scene.aside("new"), scene.path("policy")).unwrap();
    scene.sees("new");
}

#[test]
fn the_folder_goes_and_comes_back() {
    let scene = Scene::new();
    fs::remove_dir_all(&scene.folder).unwrap();
    scene.waits_for(&WatchState::Degraded("the folder is gone".into()));
    fs::create_dir(&scene.folder).unwrap();
    fs::write(scene.path("policy"), "new").unwrap();
    scene.sees("new");
    scene.waits_for(&WatchState::Watching);
    fs::write(scene.path("policy"), "newer").unwrap();
    scene.sees("newer");
}

#[test]
fn another_folder_takes_the_place() {
    let scene = Scene::new();
    for turn in ["first", "second"] {
        // At once, so that a file system may give the new folder the inode of the old one.
        fs::remove_dir_all(&scene.folder).unwrap();
        fs::create_dir(&scene.folder).unwrap();
        fs::write(scene.path("policy"), turn).unwrap();
        scene.sees(turn);
    }
    fs::create_dir(scene.aside("next")).unwrap();
    fs::write(scene.aside("next/policy"), "third").unwrap();
    fs::rename(&scene.folder, scene.aside("before")).unwrap();
    fs::rename(scene.aside("next"), &scene.folder).unwrap();
    scene.sees("third");
    fs::write(scene.path("policy"), "fourth").unwrap();
    scene.sees("fourth");
    scene.waits_for(&WatchState::Watching);
}

#[test]
fn the_folder_is_a_link_that_turns() {
    let turn = |folder: &Path, version: &str| {
        let target = folder.with_file_name(version);
        fs::create_dir(&target).unwrap();
        fs::write(target.join("policy"), version).unwrap();
        symlink(target, folder.with_file_name("link")).unwrap();
        fs::rename(folder.with_file_name("link"), folder).unwrap();
    };
    let prepare = |folder: &Path| {
        fs::remove_dir_all(folder).unwrap();
        turn(folder, "v1");
    };
    let scene = Scene::with(PATIENCE, prepare);
    turn(&scene.folder, "v2");
    scene.sees("v2");
    fs::write(scene.path("policy"), "behind the link").unwrap();
    scene.sees("behind the link");
}

#[test]
fn subfolders_come_move_and_come_back() {
    let prepare = |folder: &Path| {
        fs::remove_file(folder.join("policy")).unwrap();
        symlink("deep/er/policy", folder.join("policy")).unwrap();
    };
    let scene = Scene::with(PATIENCE, prepare);
    fs::create_dir_all(scene.path("deep/er")).unwrap();
    fs::write(scene.path("deep/er/policy"), "first").unwrap();
    scene.sees("first");
    fs::write(scene.path("deep/er/policy"), "second").unwrap();
    scene.sees("second");
    fs::rename(scene.path("deep"), scene.path("away")).unwrap();
    fs::rename(scene.path("away"), scene.path("deep")).unwrap();
    scene.sees("second");
    fs::write(scene.path("deep/er/policy"), "third").unwrap();
    scene.sees("third");
}

#[test]
fn a_write_through_a_hard_link_is_found_by_the_rescan() {
    let aside = |folder: &Path| fs::hard_link(folder.join("policy"), folder.with_file_name("elsewhere")).unwrap();
    let scene = Scene::with(Patience { rescan: PAUSE, ..PATIENCE }, aside);
    fs::write(scene.aside("elsewhere"), "new").unwrap();
    scene.sees("new");
}

#[test]
fn a_storm_causes_few_looks() {
    let scene = Scene::new();
    let start = Instant::now();
    fs::write(scene.path("a"), "storm").unwrap();
    for _ in 0..10_000 {
        fs::rename(scene.path("a"), scene.path("b")).unwrap();
        fs::rename(scene.path("b"), scene.path("a")).unwrap();
    }
    fs::rename(scene.path("a"), scene.path("policy")).unwrap();
    let mut looks = 1;
    while scene.look().as_deref() != Some("storm") {
        looks += 1;
    }
    let most = start.elapsed().as_millis() / MOST.as_millis() + 2;
    assert!(looks <= most, "{looks} looks, {most} expected at most");
}

#[test]
fn reading_and_the_hosts_own_folder_cause_no_look() {
    let scene = Scene::with(PATIENCE, |folder| fs::create_dir(folder.join(".weir")).unwrap());
    for _ in 0..3 {
        fs::read(scene.path("policy")).unwrap();
        fs::read_dir(&scene.folder).unwrap().for_each(drop);
        fs::write(scene.path(".weir/state"), "1").unwrap();
        pause();
    }
    assert_eq!(scene.looks(), 0);
}

#[test]
fn a_handle_asks_and_stops() {
    let scene = Scene::new();
    scene.handle.clone().hint();
    scene.look();
    assert_eq!(scene.handle.state(), WatchState::Watching);
    scene.handle.stop();
    assert_eq!(scene.seen.recv_timeout(Duration::from_secs(20)), Err(mpsc::RecvTimeoutError::Disconnected));
}
