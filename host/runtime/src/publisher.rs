//! Everything that changes which generation is in force: one publisher at a time, and each change told to whoever listens.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;

use crate::digest::Digest;
use crate::generation::{Generation, GenerationId, GenerationNumber, Loaded};
use crate::history::{History, Remembered};
use crate::loader::Bundle;
use crate::metrics::SetMetrics;
use crate::poison;
use crate::pool::InstanceMetrics;
use crate::preflight::{Workshop, prepare};
use crate::registry::{Handle, Registry};
use crate::report::{Report, SetError};
use crate::watcher::WatchState;

/// Events a slow listener may be behind before it misses some; it is told how many.
const EVENTS: usize = 64;

/// Something that happened to the generations of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GenerationEvent {
    /// A set came into force.
    Published(GenerationId),
    /// A former generation's policies are in force again.
    RolledBack {
        /// The new generation.
        to: GenerationId,
        /// The former one whose policies it has.
        restores: GenerationNumber,
    },
    /// A set was refused; the generation in force stayed.
    Refused(Arc<Report>),
    /// Changes of the followed folder are heard of at once, or not any more.
    Watch(WatchState),
    /// This listener was too slow and missed so many events.
    Missed(u64),
}

/// Why there was no rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackError {
    /// The generation is not loaded any more, or never was.
    NotKept {
        /// The generation asked for.
        wanted: GenerationNumber,
        /// Those one can go back to.
        kept: Vec<GenerationNumber>,
    },
    /// The generation, or another with the same policies, is in force.
    InForce(GenerationNumber),
}

impl std::fmt::Display for RollbackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RollbackError::NotKept { wanted, kept } if kept.is_empty() => {
                write!(f, "generation {wanted} is not loaded, and there is no other than the one in force")
            }
            RollbackError::NotKept { wanted, kept } => {
                let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
                write!(f, "generation {wanted} is not loaded; there is {}", kept.join(", "))
            }
            RollbackError::InForce(number) => write!(f, "generation {number} is in force already"),
        }
    }
}

impl std::error::Error for RollbackError {}

/// The one place that publishes.
pub(crate) struct Publisher {
    workshop: Workshop,
    registry: Registry,
    events: broadcast::Sender<GenerationEvent>,
    /// Where it is written down what is in force, and what the followed folder said last.
    history: Option<History>,
    seen: Mutex<Digest>,
    /// What the followed folder said when it was rolled back: it does not come back by itself.
    held: Mutex<Option<Digest>>,
    /// Held while a set is loaded, so that sets come into force in the order in which they were given.
    loading: Mutex<()>,
    /// Held from the last look at what is in force until the next generation is; never while anything is compiled, since a
    /// rollback must not wait for that. Counts the rollbacks.
    turn: Mutex<u64>,
    pub(crate) looks: AtomicU64,
    published: AtomicU64,
    rolled_back: AtomicU64,
    refused: AtomicU64,
    state_faults: AtomicU64,
}

/// How a host began.
pub(crate) struct Beginning {
    /// What the files said.
    pub(crate) seen: Result<Digest, Report>,
    /// Why they are not in force; none where they are, or where a rollback had put them out of force.
    pub(crate) refused: Option<Report>,
}

/// The number of the first generation: that of the newest one that anybody knows of where it has the same digest, else the next.
fn number(digest: Digest, remembered: Option<Remembered>, recorded: Option<GenerationId>) -> GenerationNumber {
    let remembered = remembered.map(|was| GenerationId { number: was.number, digest: was.digest });
    match remembered.into_iter().chain(recorded).max_by_key(|known| known.number) {
        Some(newest) if newest.digest == digest => newest.number,
        Some(newest) => newest.number.next(),
        None => GenerationNumber::FIRST,
    }
}

struct Begun {
    loaded: Loaded,
    bundle: Bundle,
    beginning: Beginning,
}

/// Decides between what the files say and what was in force when the host ended.
fn begin(
    workshop: &Workshop,
    files: Result<Bundle, Report>,
    history: Option<&History>,
    remembered: Option<Remembered>,
) -> Result<Begun, Report> {
    let load = |bundle: &Bundle| pollster::block_on(prepare(workshop, bundle, &[], &|| false));
    let former = || {
        let bundle = Bundle::of_files(history?.files(remembered?.digest)?).ok()?;
        Some((load(&bundle).ok()?, bundle))
    };
    let seen = files.as_ref().map(|bundle| bundle.digest).map_err(Clone::clone);
    let rolled_back = remembered.is_some_and(|was| seen == Ok(was.seen) && was.seen != was.digest);
    if rolled_back && let Some((loaded, bundle)) = former() {
        return Ok(Begun { loaded, bundle, beginning: Beginning { seen, refused: None } });
    }
    match files.and_then(|bundle| Ok((load(&bundle)?, bundle))) {
        Ok((loaded, bundle)) => Ok(Begun { loaded, bundle, beginning: Beginning { seen, refused: None } }),
        Err(report) => {
            let (loaded, bundle) = former().ok_or_else(|| report.clone())?;
            Ok(Begun { loaded, bundle, beginning: Beginning { seen, refused: Some(report) } })
        }
    }
}

impl Publisher {
    /// Loads the first generation and brings it into force: what the files say, or what was in force when the host ended
    /// where that is newer or better. The second answer is why the files are not in force, where they are not.
    pub(crate) fn open(
        workshop: Workshop,
        files: Result<Bundle, Report>,
        history: Option<History>,
        recorded: Option<GenerationId>,
    ) -> Result<(Publisher, Beginning), Report> {
        let remembered = history.as_ref().and_then(History::recall);
        let Begun { loaded, bundle, beginning } = begin(&workshop, files, history.as_ref(), remembered)?;
        let number = number(bundle.digest, remembered, recorded);
        workshop.code.is_in_use();
        loaded.warm();
        let publisher = Publisher {
            workshop,
            registry: Registry::new(number, Arc::new(loaded)),
            events: broadcast::Sender::new(EVENTS),
            seen: Mutex::new(beginning.seen.as_ref().copied().unwrap_or(bundle.digest)),
            history,
            held: Mutex::new(beginning.seen.as_ref().ok().copied().filter(|seen| *seen != bundle.digest)),
            loading: Mutex::new(()),
            turn: Mutex::new(0),
            looks: AtomicU64::new(0),
            published: AtomicU64::new(1),
            rolled_back: AtomicU64::new(0),
            refused: AtomicU64::new(u64::from(beginning.refused.is_some())),
            state_faults: AtomicU64::new(0),
        };
        publisher.keep(&bundle);
        publisher.remember(number, bundle.digest);
        Ok((publisher, beginning))
    }

    /// The generation in force, for one evaluation.
    pub(crate) fn current(&self) -> Handle {
        self.registry.current()
    }

    pub(crate) fn in_force(&self) -> Arc<Generation> {
        self.registry.in_force()
    }

    pub(crate) fn kept(&self) -> Vec<Arc<Generation>> {
        self.registry.kept()
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<GenerationEvent> {
        self.events.subscribe()
    }

    /// Brings a bundle into force; one that is in force already stays under its number. Blocks until it is compiled.
    /// A refusal that is `known` is not told again; nothing comes into force that is `overtaken` by then.
    pub(crate) fn publish(
        &self,
        bundle: Result<Bundle, Report>,
        known: Option<&Report>,
        overtaken: &dyn Fn() -> bool,
    ) -> Result<GenerationNumber, Report> {
        let _loading = poison::lock(&self.loading);
        let published = bundle.and_then(|bundle| self.bring_into_force(&bundle, overtaken));
        published.inspect_err(|report| {
            if known != Some(report) && !report.overtaken {
                self.refused.fetch_add(1, Relaxed);
                self.tell(GenerationEvent::Refused(Arc::new(report.clone())));
            }
        })
    }

    /// Loads a bundle beside the generations that are loaded, and takes over what it has in common with them.
    pub(crate) fn prepare(&self, bundle: &Bundle, overtaken: &dyn Fn() -> bool) -> Result<Loaded, Report> {
        let former: Vec<Arc<Loaded>> = self.kept().iter().map(|generation| Arc::clone(generation.loaded())).collect();
        pollster::block_on(prepare(&self.workshop, bundle, &former, overtaken))
    }

    fn bring_into_force(&self, bundle: &Bundle, overtaken: &dyn Fn() -> bool) -> Result<GenerationNumber, Report> {
        let rollbacks = *poison::lock(&self.turn);
        let kept = self.kept();
        let same = kept.iter().find(|generation| generation.loaded().digest() == bundle.digest);
        let loaded = match same {
            Some(same) => Arc::clone(same.loaded()),
            None => {
                let prepared = self.prepare(bundle, overtaken);
                if overtaken() {
                    return Err(Report { overtaken: true, ..Report::default() });
                }
                Arc::new(prepared?)
            }
        };
        // Instances are ready before the first request needs them.
        loaded.warm();
        let turn = poison::lock(&self.turn);
        let former = self.in_force();
        if *turn != rollbacks {
            loaded.rest(former.loaded());
            let message = "there was a rollback while this set was loaded";
            let help = Some("when the set is still meant, publish it again".to_owned());
            return Err(SetError { help, ..SetError::new(&bundle.file, 1, message) }.into());
        }
        let in_force = former.id();
        if in_force.digest == bundle.digest {
            return Ok(in_force.number);
        }
        *poison::lock(&self.held) = None;
        self.keep(bundle);
        self.remember(in_force.number.next(), bundle.digest);
        let generation = self.replace(&former, loaded, None);
        self.published.fetch_add(1, Relaxed);
        self.tell(GenerationEvent::Published(generation.id()));
        Ok(generation.id().number)
    }

    /// Brings the policies of a kept generation into force under the next number.
    pub(crate) fn rollback(&self, to: GenerationNumber) -> Result<GenerationNumber, RollbackError> {
        let mut turn = poison::lock(&self.turn);
        let (in_force, mut kept) = (self.in_force(), self.kept());
        kept.pop();
        let Some(wanted) = kept.iter().chain([&in_force]).find(|generation| generation.id().number == to) else {
            let kept = kept.iter().map(|generation| generation.id().number).collect();
            return Err(RollbackError::NotKept { wanted: to, kept });
        };
        if wanted.loaded().digest() == in_force.loaded().digest() {
            return Err(RollbackError::InForce(in_force.id().number));
        }
        self.remember(in_force.id().number.next(), wanted.loaded().digest());
        // Making instances would keep it waiting; the first requests start theirs.
        wanted.loaded().wake();
        let generation = self.replace(&in_force, Arc::clone(wanted.loaded()), Some(to));
        *turn += 1;
        let seen = *poison::lock(&self.seen);
        *poison::lock(&self.held) = (seen != wanted.loaded().digest()).then_some(seen);
        self.rolled_back.fetch_add(1, Relaxed);
        self.tell(GenerationEvent::RolledBack { to: generation.id(), restores: to });
        Ok(generation.id().number)
    }

    /// The one step by which the set in force changes; what nobody needs any more goes later.
    fn replace(
        &self,
        former: &Generation,
        loaded: Arc<Loaded>,
        restores: Option<GenerationNumber>,
    ) -> Arc<Generation> {
        let (generation, forgotten) = self.registry.publish(loaded, restores);
        former.loaded().rest(generation.loaded());
        self.workshop.keeper.drop_later(forgotten);
        generation
    }

    /// What has become of ready instances.
    pub(crate) fn instances(&self) -> InstanceMetrics {
        self.workshop.keeper.metrics()
    }

    pub(crate) fn metrics(&self) -> SetMetrics {
        let code = self.workshop.code.counters();
        SetMetrics {
            generation: self.in_force().id().number.get(),
            published: self.published.load(Relaxed),
            rolled_back: self.rolled_back.load(Relaxed),
            refused: self.refused.load(Relaxed),
            looks: self.looks.load(Relaxed),
            compilations: code.compilations.load(Relaxed),
            compile_failures: code.failures.load(Relaxed),
            compile_cpu_micros: code.cpu_micros.load(Relaxed),
            compile_peak_bytes: code.peak_bytes.load(Relaxed),
            stored_code_used: code.store_hits.load(Relaxed),
            store_faults: code.store_faults.load(Relaxed),
            state_faults: self.state_faults.load(Relaxed),
            watch_degraded: false,
        }
    }

    /// Says what the followed folder says, for the next start.
    pub(crate) fn saw(&self, seen: Digest) {
        *poison::lock(&self.seen) = seen;
    }

    /// Whether a rollback put these files out of force, and nothing else has come since.
    pub(crate) fn holds(&self, files: Digest) -> bool {
        *poison::lock(&self.held) == Some(files)
    }

    fn keep(&self, bundle: &Bundle) {
        self.noted(self.history.as_ref().map_or(Ok(()), |history| history.keep(bundle)));
    }

    /// Writes down what will be in force, before it is.
    fn remember(&self, number: GenerationNumber, digest: Digest) {
        let Some(history) = &self.history else { return };
        let seen = *poison::lock(&self.seen);
        let kept: Vec<Digest> = self.kept().iter().map(|generation| generation.loaded().digest()).collect();
        self.noted(history.remember(Remembered { number, digest, seen }, &kept));
    }

    /// A disk that cannot remember costs something at the next start, and nothing now.
    fn noted(&self, done: std::io::Result<()>) {
        if done.is_err() {
            self.state_faults.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn tell(&self, event: GenerationEvent) {
        // Nobody listening is no error.
        let _ = self.events.send(event);
    }
}
