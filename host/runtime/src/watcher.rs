//! Says when to look at a folder of policies again, and nothing more: events are hints, digests decide.
//!
//! ```text
//!  inotify -> notify's thread -> hints -> pace --+
//!                                                +-> wait() -> the loader reads the folder and compares digests
//!  no hint for long; the folder is another one --+
//! ```
//!
//! Contents are never read here, so lost, doubled and reordered events are harmless. [`pace`] decides when a look is due;
//! [`folders`] lists what has to be watched. Before every look the list is compared with what is watched, and the
//! subscription is renewed before that look: it then sees what happened in between. Whatever cannot be watched is looked
//! at in short turns.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecursiveMode, Watcher as _};

use folders::{Folders, folders, identity, is_unwatched};
use pace::Pace;

#[cfg(test)]
mod cases;
mod folders;
mod pace;

/// `EMFILE` of Linux.
const TOO_MANY_OPEN_FILES: i32 = 24;

/// How patient the watcher is; every value is far below a century.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Quiet time after the last hint before a look is due; default 50 ms.
    pub(crate) settle: Duration,
    /// A look is due this long after the first hint even if hints go on; also the least time from the end of a look to the
    /// next one that hints ask for; default 200 ms.
    pub(crate) most: Duration,
    /// How long a file that is open for writing holds a look back; default 10 s. A writer that takes longer is looked at
    /// once; what it writes after that asks for no look before it closes the file.
    pub(crate) writer: Duration,
    /// Time from the end of a look to the next without any hint; default 30 s.
    pub(crate) rescan: Duration,
    /// The same while events cannot be trusted, and the pace of trying to watch again; default 1 s. Also how often the
    /// folder is checked for being another one, which costs one `stat`.
    pub(crate) degraded_rescan: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            settle: Duration::from_millis(50),
            most: Duration::from_millis(200),
            writer: Duration::from_secs(10),
            rescan: Duration::from_secs(30),
            degraded_rescan: Duration::from_secs(1),
        }
    }
}

/// Whether hints come.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum WatchState {
    /// Changes are seen at once, except those that give no event: through a hard link, behind a link that leads out of
    /// the folder, by a memory map that stays open, or on another machine's side of a network file system.
    Watching,
    /// Changes are seen at the pace of [`Patience::degraded_rescan`]; why, for people.
    Degraded(String),
}

/// Watches one folder; dropping it ends everything it started.
pub(crate) struct Watcher {
    folder: PathBuf,
    patience: Patience,
    subscribe: Box<Subscribe>,
    /// The running subscription; `None` while degraded.
    subscription: Option<Box<dyn Any + Send>>,
    /// The folders it covers.
    watched: Arc<Folders>,
    /// When the folder is next checked for being another one: neither an unmount nor a link elsewhere gives an event.
    next_check: Instant,
    /// Whether `wait` has asked for a look that has not come back.
    looking: bool,
    shared: Arc<Shared>,
}

/// Asks, tells and stops a [`Watcher`] from other threads.
#[derive(Clone)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

type Callback = Box<dyn Fn(notify::Result<Event>) + Send>;
/// Starts a subscription; it ends when what it returns is dropped.
type Subscribe = dyn Fn(&Folders, Callback) -> notify::Result<Box<dyn Any + Send>> + Send;

struct Shared {
    /// A lock, because notify's thread writes and the loader's thread reads; held for a few lines, never while files are
    /// touched.
    hints: Mutex<Hints>,
    woken: Condvar,
}

struct Hints {
    pace: Pace,
    state: WatchState,
    /// Number of the current subscription; a dropped one may still deliver what it has queued.
    subscription: u64,
    /// The subscription has missed something and has to be renewed.
    missed: bool,
    stopped: bool,
    /// When the waiting thread wakes by itself; it is woken only for what is due earlier, so a storm costs it nothing.
    asleep_until: Instant,
}

impl Watcher {
    /// Watches `folder`. Never fails: what cannot be watched is degraded, and looked at in short turns.
    ///
    /// A first look is due once hints settle, for what changed after the caller had read the folder and before it was
    /// watched.
    pub(crate) fn start(folder: &Path, patience: Patience) -> Watcher {
        start_with(folder, patience, subscribe)
    }

    /// Blocks until a look is due; false once the watcher is stopped. The look ends when `wait` is called again.
    pub(crate) fn wait(&mut self) -> bool {
        if std::mem::take(&mut self.looking) {
            self.shared.lock().pace.look_ended(Instant::now());
        }
        loop {
            let mut hints = self.shared.lock();
            let now = Instant::now();
            if hints.stopped {
                return false;
            }
            if hints.pace.due() <= now {
                hints.pace.look_begins(now);
                drop(hints);
                self.verify();
                self.looking = true;
                return true;
            }
            if self.next_check <= now {
                drop(hints);
                self.check();
                continue;
            }
            hints.asleep_until = hints.pace.next_thought(now).min(self.next_check);
            let asleep = hints.asleep_until - now;
            drop(self.shared.woken.wait_timeout(hints, asleep).expect("hints are counted without a panic"));
        }
    }

    /// A handle for other threads.
    pub(crate) fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// Asks for a look when another folder is in the place of the one that is watched.
    fn check(&mut self) {
        self.next_check = Instant::now() + self.patience.degraded_rescan;
        let there = identity(&self.folder).ok();
        if self.subscription.is_some() && there.as_ref() != self.watched.get(&self.folder) {
            self.shared.tell(|hints, now| hints.pace.hint(now));
        }
    }

    /// Makes sure before a look that what is watched is what is there.
    fn verify(&mut self) {
        let missed = std::mem::take(&mut self.shared.lock().missed);
        match folders(&self.folder) {
            Ok(there) if self.subscription.is_some() && !missed && there == *self.watched => {}
            Ok(there) => self.renew(there),
            Err(why) => self.degrade(why),
        }
    }

    /// Subscribes anew to the folders that are there.
    fn renew(&mut self, there: Folders) {
        let number = self.unsubscribe();
        let there = Arc::new(there);
        let (shared, root, watched) = (self.shared.clone(), self.folder.clone(), there.clone());
        let callback = move |event| {
            if !is_noise(&root, &event) {
                shared.tell(|hints, now| hints.take(number, event, &watched, now));
            }
        };
        match (self.subscribe)(&there, Box::new(callback)) {
            Ok(subscription) => self.subscription = Some(subscription),
            Err(error) => return self.degrade(why(&error)),
        }
        self.watched = there;
        // A folder that came after the list was made and before its parent was watched has given no event.
        let complete = folders(&self.folder).is_ok_and(|there| there == *self.watched);
        self.shared.tell(|hints, now| {
            if !complete {
                hints.pace.hint(now);
            }
            // It may have broken already.
            if !hints.missed {
                hints.set(WatchState::Watching);
            }
        });
    }

    fn degrade(&mut self, why: String) {
        self.unsubscribe();
        self.shared.lock().set(WatchState::Degraded(why));
    }

    /// Ends the subscription and returns the number of the next.
    fn unsubscribe(&mut self) -> u64 {
        self.subscription = None;
        let mut hints = self.shared.lock();
        hints.pace.forget_writers();
        hints.subscription += 1;
        hints.subscription
    }
}

impl Handle {
    /// Whether hints come.
    pub(crate) fn state(&self) -> WatchState {
        self.shared.lock().state.clone()
    }

    /// Asks for a look now; it still waits for hints to settle.
    pub(crate) fn hint(&self) {
        self.shared.tell(|hints, now| hints.pace.hint(now));
    }

    /// Whether it was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.lock().stopped
    }

    /// Ends the waiting of [`Watcher::wait`], for good.
    pub(crate) fn stop(&self) {
        self.shared.lock().stopped = true;
        self.shared.woken.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock().expect("hints are counted without a panic")
    }

    /// Changes the hints, and wakes the waiting thread when that makes a look due before it wakes by itself.
    fn tell(&self, change: impl FnOnce(&mut Hints, Instant)) {
        let now = Instant::now();
        let mut hints = self.lock();
        change(&mut hints, now);
        let due = hints.pace.due();
        if due < hints.asleep_until {
            hints.asleep_until = due;
            self.woken.notify_one();
        }
    }
}

impl Hints {
    /// Takes what a subscription says.
    ///
    /// Only writing makes a writer: a file that is linked or moved in comes whole, and gives no closing.
    fn take(&mut self, subscription: u64, event: notify::Result<Event>, watched: &Folders, now: Instant) {
        if self.subscription != subscription {
            return;
        }
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.set(WatchState::Degraded(why(&error)));
                return self.miss(now);
            }
        };
        // notify drops the watch of a folder that goes away, even if it is back by the next look.
        let moves = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        if event.need_rescan() || moves && event.paths.iter().any(|path| watched.contains_key(path)) {
            return self.miss(now);
        }
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                event.paths.into_iter().for_each(|path| self.pace.writes(path, now));
            }
            EventKind::Access(_) | EventKind::Create(_) | EventKind::Remove(_) => self.settle(&event, now),
            EventKind::Modify(ModifyKind::Name(_)) => self.settle(&event, now),
            EventKind::Modify(_) | EventKind::Any | EventKind::Other => self.pace.hint(now),
        }
    }

    fn settle(&mut self, event: &Event, now: Instant) {
        event.paths.iter().for_each(|path| self.pace.settles(path, now));
    }

    /// The subscription has lost something.
    fn miss(&mut self, now: Instant) {
        self.missed = true;
        self.pace.forget_writers();
        self.pace.hint(now);
    }

    fn set(&mut self, state: WatchState) {
        self.pace.trusted = state == WatchState::Watching;
        self.state = state;
    }
}

fn start_with(
    folder: &Path,
    patience: Patience,
    subscribe: impl Fn(&Folders, Callback) -> notify::Result<Box<dyn Any + Send>> + Send + 'static,
) -> Watcher {
    let now = Instant::now();
    let hints = Hints {
        pace: Pace::new(patience, now),
        state: WatchState::Watching,
        subscription: 0,
        missed: false,
        stopped: false,
        asleep_until: now,
    };
    let mut watcher = Watcher {
        // Events name absolute paths.
        folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
        patience,
        subscribe: Box::new(subscribe),
        subscription: None,
        watched: Arc::default(),
        next_check: now + patience.degraded_rescan,
        looking: false,
        shared: Arc::new(Shared { hints: Mutex::new(hints), woken: Condvar::new() }),
    };
    watcher.verify();
    watcher
}

/// Subscribes to each folder by itself. notify's own recursion would follow links out of the folder, watch `.weir`, and
/// give up at a subfolder that may not be read.
fn subscribe(folders: &Folders, callback: Callback) -> notify::Result<Box<dyn Any + Send>> {
    let alive = Arc::new(());
    let held = alive.clone();
    let mut watcher = notify::recommended_watcher(move |event| {
        let _held = &held;
        callback(event);
    })?;
    if Arc::strong_count(&alive) == 1 {
        // Its thread could not be started. notify does not say so but panics, even when it is dropped.
        std::mem::forget(watcher);
        return Err(notify::Error::generic("a thread could not be started"));
    }
    for folder in folders.keys() {
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            // It went away since it was listed, which the next list shows.
            Err(error) if is_gone(&error) => {}
            result => result?,
        }
    }
    Ok(Box::new(watcher))
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Tells people why events do not come.
fn why(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => "no inotify watch is left: see fs.inotify.max_user_watches".into(),
        notify::ErrorKind::Io(error) if error.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => {
            format!("no inotify instance is left, see fs.inotify.max_user_instances: {error}")
        }
        _ => format!("the folder cannot be watched: {error}"),
    }
}

/// Whether an event says nothing: opening and reading, which the loader does itself, and what is not watched.
fn is_noise(root: &Path, event: &notify::Result<Event>) -> bool {
    let Ok(event) = event else { return false };
    match event.kind {
        EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write) => true,
        _ => !event.paths.is_empty() && event.paths.iter().all(|path| is_unwatched(root, path)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};
    use tempfile::TempDir;

    use super::*;

    /// Hints and trouble cause looks soon, nothing else does; a writer holds them back longer than the rescan.
    const PATIENCE: Patience = Patience {
        settle: Duration::from_millis(20),
        most: Duration::from_millis(60),
        writer: Duration::from_secs(120),
        rescan: Duration::from_secs(60),
        degraded_rescan: Duration::from_millis(50),
    };

    /// Subscribes to nothing and hands the callbacks out; fails as often as it is told to.
    fn injected(failures: usize) -> (Box<Subscribe>, Receiver<Callback>) {
        let (give, callbacks) = mpsc::channel();
        let left = Mutex::new(failures);
        let subscribe = move |_: &Folders, callback: Callback| {
            let mut left = left.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
            }
            give.send(callback).unwrap();
            Ok(Box::new(()) as Box<dyn Any + Send>)
        };
        (Box::new(subscribe), callbacks)
    }

    fn no_watch_is_left() -> WatchState {
        WatchState::Degraded("no inotify watch is left: see fs.inotify.max_user_watches".into())
    }

    /// A watcher of an empty folder after its first look.
    fn watcher(scratch: &TempDir, subscribe: Box<Subscribe>) -> Watcher {
        let mut watcher = start_with(scratch.path(), PATIENCE, subscribe);
        look(&mut watcher);
        watcher
    }

    /// Waits for a look, which is not the rescan.
    fn look(watcher: &mut Watcher) {
        let start = Instant::now();
        assert!(watcher.wait());
        assert!(start.elapsed() < PATIENCE.rescan / 2);
    }

    #[test]
    fn overflow_renews_the_subscription() {
        let (scratch, (subscribe, callbacks)) = (TempDir::new().unwrap(), injected(0));
        let mut watcher = watcher(&scratch, subscribe);
        let first = callbacks.recv().unwrap();
        first(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        look(&mut watcher);
        let second = callbacks.try_recv().expect("a new subscription before the look");
        // What the old subscription still has in its queue counts no more.
        first(Err(notify::Error::generic("late")));
        assert_eq!(watcher.handle().state(), WatchState::Watching);
        second(Ok(Event::new(EventKind::Any)));
        look(&mut watcher);
        assert!(callbacks.try_recv().is_err());
    }

    #[test]
    fn without_inotify_looks_go_on_until_it_is_there() {
        let (scratch, (subscribe, callbacks)) = (TempDir::new().unwrap(), injected(3));
        let mut watcher = start_with(scratch.path(), PATIENCE, subscribe);
        for _ in 0..2 {
            assert_eq!(watcher.handle().state(), no_watch_is_left());
            look(&mut watcher);
        }
        assert!(callbacks.try_recv().is_err());
        // The look that comes with the new subscription sees what happened before it.
        look(&mut watcher);
        assert_eq!(watcher.handle().state(), WatchState::Watching);
        assert!(callbacks.try_recv().is_ok());
    }

    #[test]
    fn an_error_degrades_and_the_next_look_repairs() {
        let (scratch, (subscribe, callbacks)) = (TempDir::new().unwrap(), injected(0));
        let mut watcher = watcher(&scratch, subscribe);
        callbacks.recv().unwrap()(Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)));
        assert_eq!(watcher.handle().state(), no_watch_is_left());
        look(&mut watcher);
        assert_eq!(watcher.handle().state(), WatchState::Watching);
        assert!(callbacks.try_recv().is_ok());
    }

    #[test]
    fn what_events_mean() {
        let root = Path::new("/set");
        let says = |kind: EventKind, path: &str| {
            let event = Ok(Event::new(kind).add_path(path.into()));
            let mut hints = quiet_hints();
            let before = hints.pace.due();
            if !is_noise(root, &event) {
                hints.take(0, event, &Folders::from([("/set/sub".into(), (0, 0, None))]), Instant::now());
            }
            match hints.pace.due() {
                _ if hints.missed => "renew",
                due if due == before => "nothing",
                due if due < before => "look",
                _ => "hold",
            }
        };
        let access = EventKind::Access;
        let name = |mode| EventKind::Modify(ModifyKind::Name(mode));
        let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for (kind, path, meaning) in [
            (access(AccessKind::Open(AccessMode::Any)), "/set/a", "nothing"),
            (access(AccessKind::Close(AccessMode::Read)), "/set/a", "nothing"),
            (access(AccessKind::Read), "/set/a", "nothing"),
            (access(AccessKind::Close(AccessMode::Write)), "/set/a", "look"),
            (access(AccessKind::Close(AccessMode::Write)), "/set/.weir/a", "nothing"),
            (data, "/set/a", "hold"),
            (data, "/set/.weir/a/b", "nothing"),
            (data, "/set/sub/.weir/a", "hold"),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "/set/a", "look"),
            (EventKind::Create(CreateKind::File), "/set/a", "look"),
            (EventKind::Create(CreateKind::Folder), "/set/.git", "nothing"),
            (EventKind::Remove(RemoveKind::File), "/set/a", "look"),
            (EventKind::Remove(RemoveKind::Folder), "/set/sub", "renew"),
            (name(RenameMode::From), "/set/sub", "renew"),
            (name(RenameMode::To), "/set/a", "look"),
            (EventKind::Any, "/set/a", "look"),
        ] {
            assert_eq!(says(kind, path), meaning, "{kind:?} {path}");
        }
    }

    /// Hints after a look, with nothing open.
    fn quiet_hints() -> Hints {
        let now = Instant::now();
        let mut pace = Pace::new(PATIENCE, now);
        pace.look_begins(now);
        pace.look_ended(now);
        Hints { pace, state: WatchState::Watching, subscription: 0, missed: false, stopped: false, asleep_until: now }
    }
}
