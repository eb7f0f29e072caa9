//! Reloading a host's folder for as long as somebody wants it.
//!
//! ```text
//! watcher: "look again" ─► load (digests, lock) ─► settled? ─► changed? ─► publisher
//! ```
//!
//! What the files say is compared with what they said at the last look, not with what is in force: so a rollback, or a
//! set published from elsewhere, stays until somebody changes a file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::digest::Digest;
use crate::loader::Folder;
use crate::poison;
use crate::publisher::{GenerationEvent, Publisher};
use crate::report::{Report, SetError};
use crate::watcher::{Handle, Patience, WatchState, Watcher};

/// A file younger than this may still have a writer at it.
const YOUNG: Duration = Duration::from_millis(100);
/// Looks that find a file young before it is read as it is: somebody who writes all the time must not stop everything.
const MOST_UNSETTLED: u32 = 50;

/// Follows the folder of a host until it is dropped. A set that is being loaded then does not come into force.
#[must_use = "the folder is followed until this is dropped"]
pub struct Watch {
    handle: Option<Handle>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Follows nothing: a set that is in no folder never changes.
    pub(crate) fn of_nothing() -> Watch {
        Watch { handle: None, thread: None }
    }

    /// Whether changes are heard of at once, or only found by looking from time to time.
    pub fn state(&self) -> WatchState {
        match &self.handle {
            Some(handle) => handle.state(),
            None => WatchState::Degraded("the set is not in a folder".to_owned()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.stop();
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; it must not become another one here.
            let _ = thread.join();
        }
    }
}

/// What a host knows of the folder it follows.
#[derive(Debug, Clone, Serialize)]
pub struct Following {
    /// Whether changes are heard of at once.
    pub watch: WatchState,
    /// Digest of the files at the last look; another than that of the generation in force after a rollback. None where they
    /// are no set.
    pub files: Option<Digest>,
    /// Why the files as they are now are not in force; none where nothing is wrong with them.
    pub refused: Option<Report>,
}

/// The follower's part that others may look at.
pub(crate) struct Followed {
    /// A lock for two small values that change once in a swap.
    now: Mutex<Now>,
}

#[derive(Clone)]
struct Now {
    /// None while nobody follows.
    watcher: Option<Handle>,
    files: Option<Digest>,
    refused: Option<Arc<Report>>,
}

impl Followed {
    /// Before anybody follows: what the files said when the host was opened, and why that is not in force.
    pub(crate) fn new(files: Option<Digest>, refused: Option<Report>) -> Followed {
        Followed { now: Mutex::new(Now { watcher: None, files, refused: refused.map(Arc::new) }) }
    }

    pub(crate) fn read(&self) -> Option<Following> {
        let Now { watcher, files, refused } = self.lock().clone();
        Some(Following { watch: watcher?.state(), files, refused: refused.as_deref().cloned() })
    }

    pub(crate) fn files(&self) -> Option<Digest> {
        self.lock().files
    }

    pub(crate) fn refused(&self) -> Option<Arc<Report>> {
        self.lock().refused.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        poison::lock(&self.now)
    }
}

/// Starts to follow a folder that said `seen` at the last look.
pub(crate) fn follow(
    folder: PathBuf,
    seen: Result<Digest, Report>,
    publisher: Arc<Publisher>,
    followed: Arc<Followed>,
    patience: Patience,
) -> Watch {
    let mut watcher = Watcher::start(&folder, patience);
    let handle = watcher.handle();
    followed.lock().watcher = Some(handle.clone());
    let mut follower = Follower {
        folder,
        seen,
        unsettled: 0,
        state: WatchState::Watching,
        publisher,
        followed,
        handle: handle.clone(),
    };
    let follow = move || {
        while watcher.wait() {
            follower.tell_state();
            follower.look_and_survive();
        }
        follower.followed.lock().watcher = None;
    };
    let thread = std::thread::Builder::new().name("weir-follow".into()).spawn(follow);
    Watch { handle: Some(handle), thread: Some(thread.expect("a host can start one more thread")) }
}

struct Follower {
    folder: PathBuf,
    /// What the files said at the last look: the digest of a whole set, or why it is none.
    seen: Result<Digest, Report>,
    unsettled: u32,
    /// What was told last.
    state: WatchState,
    publisher: Arc<Publisher>,
    followed: Arc<Followed>,
    handle: Handle,
}

impl Follower {
    fn tell_state(&mut self) {
        let state = self.handle.state();
        if state != self.state {
            self.publisher.tell(GenerationEvent::Watch(state.clone()));
            self.state = state;
        }
    }

    /// A defect of ours must not end the following in silence.
    fn look_and_survive(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.look())).is_err() {
            let message = "the host could not load the set, by a defect of weir; stderr has more";
            let report = Report::from(SetError::new(&self.folder.display().to_string(), 1, message));
            let refused = self.publisher.publish(Err(report), self.followed.refused().as_deref(), &|| false).err();
            self.note(refused);
        }
    }

    fn look(&mut self) {
        self.publisher.looks.fetch_add(1, Relaxed);
        let folder = Folder::open(&self.folder);
        let loaded = folder.load();
        if !folder.is_settled(YOUNG) && self.unsettled < MOST_UNSETTLED {
            self.unsettled += 1;
            self.handle.hint();
            return;
        }
        self.unsettled = 0;
        let says = loaded.as_ref().map(|bundle| bundle.digest).map_err(Clone::clone);
        // What the machine refused is tried again in silence, and told only when it has another reason.
        let known = self.followed.refused();
        if says == self.seen && !known.as_ref().is_some_and(|report| report.transient) {
            return;
        }
        if let Ok(digest) = &says {
            self.publisher.saw(*digest);
        }
        let held = says.as_ref().is_ok_and(|digest| self.publisher.holds(*digest));
        self.seen = says;
        if held {
            // Neither a detour nor another try brings back what somebody has rolled back.
            return self.note(None);
        }
        let (next, so) = (Cell::new(Instant::now()), Cell::new(false));
        let overtaken = Overtaken { handle: &self.handle, folder: &folder, next, so };
        let refused = self.publisher.publish(loaded, known.as_deref(), &|| overtaken.is_so()).err();
        if refused.as_ref().is_some_and(|report| report.overtaken) {
            // The next look has another set before it, so that this one counts as not seen.
            self.seen = Err(Report::default());
            return self.handle.hint();
        }
        self.note(refused);
    }

    /// Lets others know what the files say, and why that is not in force.
    fn note(&self, refused: Option<Report>) {
        let mut now = self.followed.lock();
        now.files = self.seen.as_ref().ok().copied();
        now.refused = refused.map(Arc::new);
    }
}

/// Whether a set that is being loaded is still wanted.
struct Overtaken<'a> {
    handle: &'a Handle,
    folder: &'a Folder<'a>,
    /// Before then the files are not compared again.
    next: Cell<Instant>,
    /// It stays so: what was begun has been given up by then.
    so: Cell<bool>,
}

impl Overtaken<'_> {
    /// The host ends, or a file is another one than was read.
    fn is_so(&self) -> bool {
        /// A set may have thousands of files: comparing them may take this part of the time.
        const PART: u32 = 20;
        if self.so.get() || self.handle.is_stopped() {
            return true;
        }
        let started = Instant::now();
        if started < self.next.get() {
            return false;
        }
        let changed = !self.folder.is_settled(Duration::ZERO);
        self.next.set(Instant::now() + started.elapsed() * PART);
        self.so.set(changed);
        changed
    }
}
