//! Ready instances of one policy: leased, called, put back, and dropped when they cannot be.
//!
//! ```text
//!            ┌ idle ─► lease ─► call ─► put back ─► idle            the usual way: no system call, one core's own lock
//! request ───┤ nothing idle: start one here, counted as cold
//!            └ not restorable, too long, out of favour: a fresh instance, dropped afterwards
//!
//! trapped, out of a limit, grown, abandoned ─► dropped, and the keeper makes another
//! stored to a protected page ─► dropped, judged again in a fresh instance, whose pages are learned
//! ```
//!
//! Parts: [`budget`] how many may be ready in a host, [`keeper`] who makes them off a request's path, [`favour`] when
//! keeping instances of a policy is not worth it.

mod budget;
mod favour;
mod keeper;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

pub(crate) use self::budget::Budget;
use self::budget::{Needs, Place};
use self::favour::Favour;
pub use self::keeper::InstanceMetrics;
pub(crate) use self::keeper::Keeper;
use crate::abi::Guest;
use crate::cores::PerCore;
use crate::instance::{Asked, Deadline, Question, Run, Stop, Template, Waiting};
use crate::poison;
use crate::restore::{Kept, Layout, differing, pages_of};
use crate::set::Isolation;

/// Longest request that is written into a kept instance. What reads more works long enough for a fresh one not to show,
/// and its pages would be copied back after every short request, too.
const LONGEST_INPUT: usize = 32 << 10;

/// A policy that can judge, and its ready instances.
pub(crate) struct Pool {
    template: Template,
    isolation: Isolation,
    /// The newest layout; a lock because it changes when pages are learned. Its version is beside it, to be compared
    /// without the lock.
    layout: Mutex<Arc<Layout>>,
    version: AtomicU32,
    shards: PerCore<Mutex<Shard>>,
    /// Whether instances are kept: a generation that is not in force keeps none.
    awake: AtomicBool,
    keeper: Arc<Keeper>,
    /// For the keeper, which does not keep pools alive.
    me: Weak<Pool>,
}

/// One core's instances. A lock because threads can be more than cores, and instances are taken from elsewhere when
/// there are none here.
#[derive(Default)]
struct Shard {
    /// The one used last is on top: its memory is still in the core's cache.
    idle: Vec<Idle>,
    favour: Favour,
}

struct Idle {
    instance: Box<Instance>,
    since: Instant,
}

/// A kept instance and its place in the budget.
struct Instance {
    guest: Held,
    _place: Place,
}

enum Held {
    /// Put back after each call.
    Restored(Kept),
    /// Never put back: what an evaluation leaves stays.
    Reused(Box<Guest>),
}

impl Pool {
    /// A policy's pool, without an instance yet. `layout` says what its evaluations write; without one nothing is kept,
    /// unless its instances are reused.
    pub(crate) fn new(
        template: Template,
        isolation: Isolation,
        layout: Option<Layout>,
        keeper: Arc<Keeper>,
    ) -> Arc<Pool> {
        let isolation = match (isolation, &layout) {
            (Isolation::Restore, None) => Isolation::Fresh,
            (isolation, _) => isolation,
        };
        let layout = layout.unwrap_or_else(|| Layout::closed(&[]));
        Arc::new_cyclic(|me| Pool {
            template,
            isolation,
            version: AtomicU32::new(layout.version),
            layout: Mutex::new(Arc::new(layout)),
            shards: PerCore::new(|_| Mutex::default()),
            awake: AtomicBool::new(false),
            keeper,
            me: Weak::clone(me),
        })
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// How evaluations are kept apart, which may be less than what was asked for.
    pub(crate) fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Judges one request. Dropping the future ends the guest.
    pub(crate) async fn run(&self, question: Question<'_>) -> Run {
        match self.run_at_once(question) {
            Ok(run) => run,
            Err(rest) => self.run_rest(rest, question).await,
        }
    }

    /// The usual way: an instance is ready, and its call needs no stack of its own.
    ///
    /// # Errors
    /// What is left to do, for [`Pool::run_rest`].
    pub(crate) fn run_at_once(&self, question: Question<'_>) -> Result<Run, Rest<'_>> {
        let mut lease = self.lease(question.given.len(), question.deadline)?;
        if self.template.is_fiber() {
            return Err(Rest::Ask(lease));
        }
        match lease.ask_inline(question) {
            Asked::Answered(run) => Ok(run),
            Asked::Stopped(stop) => Err(Rest::Repeat(lease, stop)),
        }
    }

    /// Does what is left to do.
    #[cold]
    pub(crate) async fn run_rest(&self, rest: Rest<'_>, question: Question<'_>) -> Run {
        let mut lease = match rest {
            Rest::Repeat(lease, stop) => return lease.repeat(stop, question).await,
            Rest::Fresh => return self.template.run(question).await,
            Rest::Ask(lease) => lease,
            Rest::Start(place) => match self.cold(place, question.deadline).await {
                Some(lease) => lease,
                None => return self.template.run(question).await,
            },
        };
        match lease.ask(question).await {
            Asked::Answered(run) => run,
            Asked::Stopped(stop) => lease.repeat(stop, question).await,
        }
    }

    /// An instance for one call, or what is to be done without one.
    #[inline]
    fn lease(&self, length: usize, deadline: Deadline) -> Result<Lease<'_>, Rest<'_>> {
        if self.isolation == Isolation::Fresh || length > LONGEST_INPUT || !self.awake.load(Ordering::Relaxed) {
            return Err(Rest::Fresh);
        }
        let place = self.shards.place();
        let idle = {
            let mut shard = poison::lock(self.shards.at(place));
            if !shard.favour.lets() {
                return Err(Rest::Fresh);
            }
            shard.idle.pop()
        };
        match idle.or_else(|| self.elsewhere(place)).and_then(|idle| self.renewed(idle.instance)) {
            Some(instance) => Ok(self.leased(place, instance, deadline)),
            None => Err(Rest::Start(place)),
        }
    }

    /// The instance with all pages open that are known to be written; none where the kernel does not open them.
    fn renewed(&self, mut instance: Box<Instance>) -> Option<Box<Instance>> {
        if let Held::Restored(kept) = &mut instance.guest
            && kept.layout().version != self.version.load(Ordering::Relaxed)
        {
            kept.renew(self.layout()).ok()?;
        }
        Some(instance)
    }

    /// An instance that is started now.
    async fn cold(&self, place: usize, deadline: Deadline) -> Option<Lease<'_>> {
        let instance = self.make(deadline).await?;
        self.keeper.counts.cold.fetch_add(1, Ordering::Relaxed);
        Some(self.leased(place, instance, deadline))
    }

    fn leased(&self, place: usize, instance: Box<Instance>, deadline: Deadline) -> Lease<'_> {
        Lease { pool: self, place, instance: Some(instance), clean: false, learned: false, since: deadline.started() }
    }

    /// An instance of another core that has nothing to do. It stays with who took it.
    fn elsewhere(&self, place: usize) -> Option<Idle> {
        let others = (1..self.shards.len()).map(|step| (place + step) % self.shards.len());
        others.filter_map(|other| self.shards.at(other).try_lock().ok()?.idle.pop()).next()
    }

    /// Starts an instance to be kept; none where none are, where the budget is spent, or where the machine has no more for it.
    async fn make(&self, deadline: Deadline) -> Option<Box<Instance>> {
        if self.isolation == Isolation::Fresh {
            return None;
        }
        let layout = self.layout();
        let needs = Needs { mappings: layout.mappings(), fiber: self.template.is_fiber() };
        let Some(place) = self.keeper.budget().take(needs) else {
            self.keeper.make_room();
            return None;
        };
        // What keeps it from starting is told by the fresh instance that is tried next.
        let guest = self.template.start(deadline).await.ok()?;
        let guest = match self.isolation {
            Isolation::Reuse => Held::Reused(Box::new(guest)),
            _ => Held::Restored(Kept::new(guest, layout).ok()?),
        };
        Some(Box::new(Instance { guest, _place: place }))
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&poison::lock(&self.layout))
    }

    /// Opens more pages for all instances, each when it is leased the next time. `image` is what every evaluation starts from.
    /// False where that would be too many.
    fn learn(&self, pages: &[usize], image: &[u8]) -> bool {
        let mut layout = poison::lock(&self.layout);
        let Some(more) = layout.with(pages, image) else { return false };
        self.version.store(more.version, Ordering::Relaxed);
        *layout = Arc::new(more);
        true
    }

    /// Begins to keep instances, and makes the first ones: one for each core, or one for all where the budget is short.
    pub(crate) fn warm(&self) {
        self.wake();
        let each = self.keeper.budget().spares(self.shards.len());
        (0..if each { self.shards.len() } else { 1 }).for_each(|place| self.fill(place));
    }

    /// Begins to keep instances.
    pub(crate) fn wake(&self) {
        if self.isolation != Isolation::Fresh && !self.awake.swap(true, Ordering::Relaxed) {
            self.keeper.meet(Weak::clone(&self.me));
        }
    }

    /// Makes so many more instances ready on this core, as far as the budget goes.
    pub(crate) fn add(&self, more: usize) {
        (0..more).take_while(|_| self.make_ready(self.shards.place())).for_each(drop);
    }

    /// Makes an instance where there is none.
    fn fill(&self, place: usize) {
        if self.awake.load(Ordering::Relaxed) && poison::lock(self.shards.at(place)).idle.is_empty() {
            self.make_ready(place);
        }
    }

    /// Makes an instance for a shard; false where there can be none.
    fn make_ready(&self, place: usize) -> bool {
        let deadline = Deadline::begin(self.template.limits(), Waiting::Nobody);
        let Some(instance) = pollster::block_on(self.make(deadline)) else { return false };
        let mut shard = poison::lock(self.shards.at(place));
        if self.awake.load(Ordering::Relaxed) {
            shard.idle.push(Idle { instance, since: Instant::now() });
        }
        true
    }

    /// Stops keeping instances: what is leased is dropped when it comes home, and what is idle after a while, unless the
    /// pool is awake again.
    pub(crate) fn rest(&self) {
        self.awake.store(false, Ordering::Relaxed);
        self.keeper.empty(Weak::clone(&self.me));
    }

    /// Drops what is idle, unless the pool is awake again.
    fn empty(&self) {
        if !self.awake.load(Ordering::Relaxed) {
            self.drop_idle(usize::MAX, |_| true);
        }
    }

    /// Drops up to `most` idle instances that `old` says it of, those used longest ago first in each shard.
    fn drop_idle(&self, most: usize, old: impl Fn(Instant) -> bool) -> usize {
        let mut dropped = Vec::new();
        for shard in self.shards.iter() {
            let mut shard = poison::lock(shard);
            let count = shard.idle.iter().take(most - dropped.len()).take_while(|idle| old(idle.since)).count();
            dropped.extend(shard.idle.drain(..count));
        }
        // Dropping takes system calls, and no shard waits for them.
        dropped.len()
    }

    /// When one of its idle instances was used last; none where there is none.
    fn used(&self) -> Option<Instant> {
        let last = |shard: &Mutex<Shard>| poison::lock(shard).idle.iter().map(|idle| idle.since).max();
        self.shards.iter().filter_map(last).max()
    }
}

/// What is left to do for a call that is not over at once.
pub(crate) enum Rest<'a> {
    /// Ask on a stack of its own.
    Ask(Lease<'a>),
    /// Start an instance, since none is idle; this is the shard of the calling thread.
    Start(usize),
    /// Run in a fresh instance.
    Fresh,
    /// Judge again: it stored where nothing may be stored.
    Repeat(Lease<'a>, Box<Stop>),
}

/// An instance for one call. Dropped halfway, the instance goes, too.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    /// The shard it comes home to.
    place: usize,
    /// Taken when the lease ends.
    instance: Option<Box<Instance>>,
    /// Whether the call has ended in a way that can be put back.
    clean: bool,
    /// Whether the instance is lost for pages that are open from now on: not what makes a policy fall out of favour.
    learned: bool,
    since: Instant,
}

impl Lease<'_> {
    #[inline]
    fn ask_inline(&mut self, question: Question<'_>) -> Asked {
        let (template, instance) = self.parts();
        let asked = match &mut instance.guest {
            Held::Restored(kept) => {
                let (guest, layout) = kept.parts();
                template.ask_inline(guest, question, |input| layout.takes(input))
            }
            Held::Reused(guest) => template.ask_inline(guest, question, |_| true),
        };
        self.see(&asked);
        asked
    }

    async fn ask(&mut self, question: Question<'_>) -> Asked {
        let (template, instance) = self.parts();
        let asked = match &mut instance.guest {
            Held::Restored(kept) => {
                let (guest, layout) = kept.parts();
                template.ask(guest, question, |input| layout.takes(input)).await
            }
            Held::Reused(guest) => template.ask(guest, question, |_| true).await,
        };
        self.see(&asked);
        asked
    }

    fn parts(&mut self) -> (&Template, &mut Instance) {
        (&self.pool.template, self.instance.as_deref_mut().expect("a lease has its instance until it ends"))
    }

    /// Notes whether the instance can be put back after this.
    #[inline]
    fn see(&mut self, asked: &Asked) {
        let (_, instance) = self.parts();
        let grown = matches!(&instance.guest, Held::Restored(kept) if kept.has_grown());
        self.clean = !grown && matches!(asked, Asked::Answered(Run { answer: Ok(_), .. }));
    }

    /// Judges again in a fresh instance, as if there had been no first time, and learns the pages it writes.
    /// A reused instance knows what nobody can repeat: what it said stands.
    async fn repeat(mut self, stop: Box<Stop>, question: Question<'_>) -> Run {
        let Pool { template, keeper, .. } = self.pool;
        let instance = self.instance.as_deref_mut().expect("a lease has its instance until it ends");
        let Stop { said, at } = *stop;
        let kept = match &mut instance.guest {
            Held::Restored(kept) => kept,
            Held::Reused(_) => match said {
                Some(run) => return run,
                None => return template.run(question).await,
            },
        };
        // What it took the first time is given back before it asks again.
        drop(said);
        keeper.counts.repeated.fetch_add(1, Ordering::Relaxed);
        if kept.has_grown() {
            return template.run(question).await;
        }
        // Its open pages are put back and the others never changed: this is the image.
        kept.put_back();
        let look = |guest: &mut Guest| differing(guest.memory(), kept.memory());
        let (run, pages) = template.run_and_look(question, look).await;
        if let Some(mut pages) = pages.flatten().filter(|_| run.answer.is_ok()) {
            // A page that is written what it holds does not differ.
            pages.extend(at.into_iter().flat_map(|span| pages_of(&span)));
            self.learned = self.pool.learn(&pages, kept.memory());
        }
        run
    }

    /// Puts the instance back and brings it home; none where it cannot be.
    fn end(&mut self) -> Option<()> {
        let mut instance = self.instance.take()?;
        if !self.clean {
            return None;
        }
        if let Held::Restored(kept) = &mut instance.guest {
            kept.put_back();
        }
        let mut shard = poison::lock(self.pool.shards.at(self.place));
        shard.favour.kept();
        if self.pool.awake.load(Ordering::Relaxed) {
            shard.idle.push(Idle { instance, since: self.since });
        }
        Some(())
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.end().is_none() {
            self.pool.keeper.counts.dropped.fetch_add(1, Ordering::Relaxed);
            if !self.learned {
                poison::lock(self.pool.shards.at(self.place)).favour.lost();
            }
            self.pool.keeper.refill(Weak::clone(&self.pool.me), self.place);
        }
    }
}
