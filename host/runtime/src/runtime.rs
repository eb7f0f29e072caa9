//! The composition root: the only file that knows every stage.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::compiled::{MachineCode, StoreError};
use crate::compiler::Compiler;
use crate::cores::{PerCore, cores};
use crate::decision::Decision;
use crate::digest::Digest;
use crate::engine::{Engine, EngineError, Traps};
use crate::evaluation::Evaluation;
use crate::follow::{Followed, Following, Watch, follow};
use crate::generation::{Generation, GenerationNumber};
use crate::history::History;
use crate::instance::Waiting;
use crate::loader::{Source, load};
use crate::metrics::{Counters, Metrics, SetMetrics};
use crate::plan::Plan;
use crate::pool::{Budget, Keeper};
use crate::preflight::{Workshop, prepare};
use crate::publisher::{GenerationEvent, Publisher, RollbackError};
use crate::record::Recorder;
use crate::report::Report;
use crate::request::Request;
use crate::schedule::{Refusal, Schedule, Standing};
use crate::set::Class;
use crate::state::State;
use crate::thread::Thread;
use crate::watcher::{Patience, WatchState};

/// Instances kept ready where nobody says how many.
pub(crate) const READY: usize = 4096;

/// What a runtime is opened with.
#[derive(Debug, Default)]
pub struct Builder {
    compiler: Compiler,
    recorder: Option<Recorder>,
    store: Option<PathBuf>,
    state: Option<PathBuf>,
    patience: Patience,
    ready: Option<usize>,
    traps: Traps,
}

/// Why a runtime could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The builder was given no recorder: there is no decision without a record.
    NoRecorder,
    /// The Wasm engine cannot start on this machine; the text says why.
    Engine(String),
    /// Machine code cannot be kept where it should be; the text says why.
    Store(String),
    /// The set was refused.
    Set(Report),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoRecorder => {
                f.write_str("no recorder: give the builder one, such as Recorder::jsonl(\"audit\")")
            }
            OpenError::Engine(why) | OpenError::Store(why) => f.write_str(why),
            OpenError::Set(report) => report.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> OpenError {
        OpenError::Engine(error.to_string())
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        OpenError::Store(error.to_string())
    }
}

impl From<Report> for OpenError {
    fn from(report: Report) -> OpenError {
        OpenError::Set(report)
    }
}

impl Builder {
    /// Who compiles; default: this process.
    pub fn compiler(self, compiler: Compiler) -> Builder {
        Builder { compiler, ..self }
    }

    /// Where records go; there is no default.
    pub fn recorder(self, recorder: Recorder) -> Builder {
        Builder { recorder: Some(recorder), ..self }
    }

    /// A folder for machine code, so that a module is compiled once on this machine: made if it is missing, for its owner
    /// alone (0700), shared by hosts, bounded to 1 GiB, void after an upgrade of the engine. Default: none.
    pub fn store(self, folder: impl Into<PathBuf>) -> Builder {
        Builder { store: Some(folder.into()), ..self }
    }

    /// A folder where it is written down what is in force, so that a restart comes back with it: under the same number where
    /// nothing has changed, with the policies of a rollback, or with the last good set where the files are no good set any
    /// more ([`Runtime::refused`] tells). It also keeps what policies have taken of their budgets: a host that is killed
    /// forgets nothing of it, a machine that loses its power at most the last tenth of a second. Made if it is missing, for
    /// its owner alone; for one host at a time. Default: none, and budgets begin anew with each start.
    pub fn state(self, folder: impl Into<PathBuf>) -> Builder {
        Builder { state: Some(folder.into()), ..self }
    }

    /// How often a followed folder is read although nothing was heard of it: a tenth of a second to a day, default 30 s.
    pub fn rescan(self, every: Duration) -> Builder {
        let every = every.clamp(Duration::from_millis(100), Duration::from_secs(24 * 3600));
        let degraded_rescan = self.patience.degraded_rescan.min(every);
        Builder { patience: Patience { rescan: every, degraded_rescan, ..self.patience }, ..self }
    }

    /// Most instances that are kept ready, of all policies together; default 4,096. Fewer where the kernel grants this process
    /// fewer mappings (`vm.max_map_count`) or less address space, of which each takes 4 GiB. A policy without one starts a fresh instance for each request.
    pub fn ready_instances(self, most: usize) -> Builder {
        Builder { ready: Some(most), ..self }
    }

    /// Lets a trap tell the lines of source on the way to it, where a module has DWARF. For authors who look for a fault: nothing
    /// becomes a snapshot, so that places in the code are those of the module.
    pub fn trap_lines(self) -> Builder {
        Builder { traps: Traps::Lines, ..self }
    }

    /// Loads a set and brings it into force, in a thread of its own. Compiling takes about a millisecond a kilobyte of Wasm.
    ///
    /// # Errors
    /// No recorder, no engine, no store, or a set that was refused, with everything that is wrong with it.
    pub async fn open(self, source: Source) -> Result<Runtime, OpenError> {
        let recorder = self.recorder.ok_or(OpenError::NoRecorder)?;
        let Builder { compiler, store, state, patience, ready, traps, .. } = self;
        let recorded = recorder.last_generation();
        let thread = Thread::default();
        let open = move || {
            let workshop = workshop(compiler, store.as_deref(), ready.unwrap_or(READY), traps)?;
            let (history, state) = match &state {
                Some(folder) => {
                    let (history, state) = remembered(folder, &source)?;
                    (Some(history), state)
                }
                None => (None, Arc::new(State::volatile())),
            };
            let (publisher, beginning) = Publisher::open(workshop, load(&source), history, recorded)?;
            Ok::<_, OpenError>((publisher, beginning, source, state))
        };
        let (publisher, beginning, source, state) = thread.run(open).await?;
        let shared = Shared {
            publisher: Arc::new(publisher),
            schedule: Schedule::new(),
            state,
            recorder,
            counters: PerCore::new(|_| Counters::default()),
            source,
            followed: Arc::new(Followed::new(beginning.seen.as_ref().ok().copied(), beginning.refused)),
            seen: beginning.seen,
            patience,
        };
        let (bulk, drained) = mpsc::channel();
        Ok(Runtime { shared: Arc::new(shared), bulk, drained: Mutex::new(drained), thread })
    }
}

/// What a host left in its folder when it ended.
fn remembered(folder: &Path, source: &Source) -> Result<(History, Arc<State>), OpenError> {
    let refused =
        |what: &str, error| OpenError::Store(format!("cannot write down {what} in `{}`: {error}", folder.display()));
    let history = History::open(folder, source.folder()).map_err(|error| refused("what is in force", error))?;
    let state = State::open(folder).map_err(|error| refused("what policies take", error))?;
    Ok((history, state))
}

/// A host: a policy set in force, and everything needed to judge by it.
pub struct Runtime {
    /// Shared with the tasks of [`Runtime::evaluate_all`].
    shared: Arc<Shared>,
    /// Held by each bulk evaluation; nothing is ever sent.
    bulk: mpsc::Sender<()>,
    /// Closed once nobody holds `bulk`. A lock because a receiver is for one thread; only the end takes it.
    drained: Mutex<mpsc::Receiver<()>>,
    /// Loads what is published.
    thread: Thread,
}

struct Shared {
    publisher: Arc<Publisher>,
    schedule: Arc<Schedule>,
    /// What policies have taken, whatever generation is in force.
    state: Arc<State>,
    recorder: Recorder,
    counters: PerCore<Counters>,
    /// What the host was opened with, and what it said then.
    source: Source,
    seen: Result<Digest, Report>,
    followed: Arc<Followed>,
    patience: Patience,
}

impl Shared {
    async fn evaluate(&self, request: Request, waiting: Waiting) -> Decision {
        let class = match waiting {
            Waiting::Caller => Class::Interactive,
            Waiting::Nobody => Class::Bulk,
        };
        let judged = self.judge(request, waiting, Caller { class, until: None }).await;
        judged.expect("who can wait for ever is never refused")
    }

    async fn judge(&self, request: Request, waiting: Waiting, caller: Caller) -> Result<Decision, Refusal> {
        let mut queued = Queued { shared: self, request: Some(request), waiting };
        let tenant = queued.request.as_ref().map_or("", Request::tenant);
        let slot = self.schedule.enter(|| self.standing(tenant, &caller), caller.until).await;
        let request = queued.request.take().expect("it is there until its turn");
        let slot = slot?;
        let generation = self.publisher.current();
        Ok(Evaluation::new(&generation, &self.state, &self.recorder, self.counters.own(), request, waiting)
            .decide(slot)
            .await)
    }

    fn standing(&self, tenant: &str, caller: &Caller) -> Standing {
        let (class, weight) = self.publisher.current().loaded().part_of(tenant);
        let class = class.max(caller.class);
        Standing { tenant: tenant.into(), class, weight, sheddable: caller.until.is_some() && class != Class::Bulk }
    }
}

/// Who asks, and how long they wait for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// How urgent it is: a tenant's class in the set, or what is less urgent of the two.
    pub class: Class,
    /// When the answer is of no use any more; none waits for ever, and is never refused.
    pub until: Option<Instant>,
}

/// A request that waits for its turn. If its caller goes away, it leaves the record of a cancelled one.
struct Queued<'a> {
    shared: &'a Shared,
    request: Option<Request>,
    waiting: Waiting,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let Queued { shared, request, waiting } = self;
        if let Some(request) = request.take() {
            let generation = shared.publisher.current();
            drop(Evaluation::new(
                &generation,
                &shared.state,
                &shared.recorder,
                shared.counters.own(),
                request,
                *waiting,
            ));
        }
    }
}

impl Runtime {
    /// Begins to open a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Judges a request by all policies that apply. This cannot fail: what goes wrong is inside the decision.
    ///
    /// Runs on any executor. Where more ask than there are cores it waits for its turn, by the classes and weights that the
    /// set gives to tenants; a future that has been polled must be polled on, since it may hold its turn. Dropping it ends
    /// the guests and records the request as cancelled.
    pub async fn evaluate(&self, request: Request) -> Decision {
        self.shared.evaluate(request, Waiting::Caller).await
    }

    /// As [`Runtime::evaluate`], for callers who would rather be refused than wait too long: servers.
    ///
    /// # Errors
    /// More than 10 ms of work waits for each core and this tenant has most of it, or half a second though it has not, or its
    /// turn comes too late. Nothing was judged then, and nothing recorded.
    pub async fn evaluate_for(&self, request: Request, caller: Caller) -> Result<Decision, Refusal> {
        self.shared.judge(request, Waiting::Caller, caller).await
    }

    /// Waits for a turn as an evaluation does, and leaves: what the scheduler costs where nobody waits. For the bench.
    #[doc(hidden)]
    pub async fn turn(&self) {
        let caller = Caller { class: Class::Interactive, until: None };
        // Whoever waits for ever is never refused.
        if let Ok(slot) = self.shared.schedule.enter(|| self.shared.standing("", &caller), None).await {
            slot.leave().await;
        }
    }

    /// As [`Runtime::evaluate`], on the calling thread.
    pub fn evaluate_blocking(&self, request: Request) -> Decision {
        pollster::block_on(self.evaluate(request))
    }

    /// Judges a stream of requests on all cores and answers in their order. It waits, and never sheds: a deadline is
    /// for callers who wait, so here it is one second at least.
    ///
    /// Must be polled inside a tokio runtime, whose worker threads do the work.
    pub fn evaluate_all<S>(&self, requests: S) -> impl Stream<Item = Decision> + use<S>
    where
        S: Stream<Item = Request>,
    {
        /// Requests that go to a core at once: hand-over costs more than a small evaluation.
        const CHUNK: usize = 32;
        let (shared, bulk) = (Arc::clone(&self.shared), self.bulk.clone());
        let judge = move |requests: Vec<Request>| {
            let (shared, _bulk) = (Arc::clone(&shared), bulk.clone());
            Abandon(tokio::spawn(async move {
                let mut decisions = Vec::with_capacity(requests.len());
                for request in requests {
                    decisions.push(shared.evaluate(request, Waiting::Nobody).await);
                }
                decisions
            }))
        };
        requests.ready_chunks(CHUNK).map(judge).buffered(2 * cores()).flat_map(stream::iter)
    }

    /// Loads and checks another set without bringing it into force. Blocks as long as that takes.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, source: Source) -> Result<Plan, Report> {
        Ok(self.shared.publisher.prepare(&load(&source)?, &|| false)?.plan().clone())
    }

    /// Brings another set into force for every evaluation that begins from then on; those that have begun end on the set
    /// they began with. A set that is in force already stays under its number.
    ///
    /// It is loaded in another thread, which goes on if this future is dropped. What it has in common with the
    /// generations that are loaded is not compiled again.
    ///
    /// # Errors
    /// Everything that is wrong with it; the generation in force stays.
    pub async fn publish(&self, source: Source) -> Result<GenerationNumber, Report> {
        let publisher = Arc::clone(&self.shared.publisher);
        let own = source.folder().is_some() && source.folder() == self.shared.source.folder();
        let publish = move || {
            let loaded = load(&source);
            if let Some(bundle) = loaded.as_ref().ok().filter(|_| own) {
                publisher.saw(bundle.digest);
            }
            publisher.publish(loaded, None, &|| false)
        };
        self.thread.run(publish).await
    }

    /// Brings the policies of a former generation into force again, under a new and higher number. The last three
    /// generations stay loaded, so this takes microseconds, and a few writes to the disk where there is a [`Builder::state`].
    /// A folder that is followed counts again once it changes.
    ///
    /// # Errors
    /// The generation is not loaded any more, or its policies are in force.
    pub async fn rollback(&self, to: GenerationNumber) -> Result<GenerationNumber, RollbackError> {
        self.shared.publisher.rollback(to)
    }

    /// Brings what the source's folder says into force whenever it changes, until the answer is dropped.
    ///
    /// A set from memory never changes. While `weir.lock` and the files disagree nothing is published; without a lock,
    /// replace files by renaming others over them, since a half-written `weir.toml` may be a set, too.
    pub fn follow(&self) -> Watch {
        let Shared { publisher, followed, source, seen, patience, .. } = &*self.shared;
        match source.folder() {
            Some(folder) => {
                follow(folder.to_owned(), seen.clone(), Arc::clone(publisher), Arc::clone(followed), *patience)
            }
            None => Watch::of_nothing(),
        }
    }

    /// Digest of the folder's files at the last look, or when the host was opened; another than that of the generation in
    /// force after a rollback. None where they are no set.
    pub fn files(&self) -> Option<Digest> {
        self.shared.followed.files()
    }

    /// Why the set this host was opened with, as it is now, is not in force; none where nothing is wrong with it.
    pub fn refused(&self) -> Option<Arc<Report>> {
        self.shared.followed.refused()
    }

    /// What is known of the folder that is followed; none where none is.
    pub fn following(&self) -> Option<Following> {
        self.shared.followed.read()
    }

    /// The generation in force.
    pub fn generation(&self) -> Arc<Generation> {
        self.shared.publisher.in_force()
    }

    /// The generations that are loaded, oldest first; the last one is in force.
    pub fn generations(&self) -> Vec<Arc<Generation>> {
        self.shared.publisher.kept()
    }

    /// What happens to the generations from now on.
    pub fn events(&self) -> impl Stream<Item = GenerationEvent> + use<> {
        let next = |mut events: broadcast::Receiver<GenerationEvent>| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(RecvError::Lagged(missed)) => Some((GenerationEvent::Missed(missed), events)),
                Err(RecvError::Closed) => None,
            }
        };
        stream::unfold(self.shared.publisher.events(), next)
    }

    /// What this host has done since it was opened.
    pub fn metrics(&self) -> Metrics {
        let Shared { publisher, schedule, state, recorder, counters, followed, .. } = &*self.shared;
        let degraded = |following: Following| following.watch != WatchState::Watching;
        let sets = SetMetrics { watch_degraded: followed.read().is_some_and(degraded), ..publisher.metrics() };
        Metrics {
            records: recorder.counters(),
            sets,
            instances: publisher.instances(),
            schedule: schedule.metrics(),
            state: state.metrics(),
            ..Counters::sum(counters.iter())
        }
    }

    /// Where this host's records go.
    pub fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Waits up to `grace` for bulk evaluations in flight, and until every record is on the disk. A stream of
    /// [`Runtime::evaluate_all`] counts as in flight until it is dropped.
    pub async fn shutdown(self, grace: Duration) {
        let Runtime { shared, bulk, drained, thread } = self;
        drop(bulk);
        let end = move || {
            let drained = drained.into_inner().unwrap_or_else(PoisonError::into_inner);
            // Either way it is time to end: all are done, or the time is up.
            let _ = drained.recv_timeout(grace);
            // What cannot be written now was answered by `when_record_fails` when it happened.
            let _ = shared.recorder.flush();
            let _ = shared.state.sync();
        };
        thread.run(end).await;
    }
}

/// Checks a set without opening it: for commands and pipelines.
///
/// # Errors
/// As [`Builder::open`], but without a recorder.
pub fn check(source: &Source, compiler: Compiler) -> Result<Plan, OpenError> {
    let workshop = workshop(compiler, None, 0, Traps::default())?;
    let loaded = pollster::block_on(prepare(&workshop, &load(source)?, &[], &|| false))?;
    Ok(loaded.plan().clone())
}

/// Engine, compiler and keeper of a host with so many ready instances.
pub(crate) fn workshop(
    compiler: Compiler,
    store: Option<&Path>,
    ready: usize,
    traps: Traps,
) -> Result<Workshop, OpenError> {
    let engine = Engine::new(ready, traps)?;
    let keeper = Keeper::start(Budget::new(engine.ready()));
    let code = MachineCode::new(engine, compiler, store)?;
    Ok(Workshop { code, keeper, snapshots: traps == Traps::Functions })
}

/// A task that ends when nobody waits for it any more.
struct Abandon<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Abandon<T> {
    type Output = T;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<T> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|joined| match joined {
            Ok(output) => output,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}

impl<T> Drop for Abandon<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
