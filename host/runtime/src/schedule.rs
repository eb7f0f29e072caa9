//! When an evaluation runs: at once where a core is free, else when it is its turn.
//!
//! ```text
//! evaluate ─► a slot is free and nobody waits: take it                    ─► judge ─► leave
//!          └► wait in the queue, or be refused ─► handed over by who leaves ─► judge ─► leave
//! ```
//!
//! There are as many slots as cores. Evaluations run on the tasks that want them, so an executor polls them in an order of
//! its own, and nobody would ever be seen waiting: whoever leaves keeps its slot for one turn of the executor, in which all
//! others that could run find no slot and join the queue. Then the slot is handed to the fairest of them ([`queue`]).

mod queue;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;

pub(crate) use self::queue::Standing;
use self::queue::{Full, Queue};
use crate::cores::PerCore;
use crate::poison;

/// Work that may be ahead of a caller who would rather be refused than wait, for each core.
const MOST_AHEAD: Duration = Duration::from_millis(10);
/// What an evaluation is expected to take while nothing is known.
const USUAL: Duration = Duration::from_micros(100);

/// Why a request was not judged: there is more to do than this host can do in time. It was counted, but not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What stood in the way.
    pub reason: RefusalReason,
    /// When to ask again.
    pub retry_after: Duration,
}

/// What stood in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// Too much waits, and this tenant has most of it.
    Overload,
    /// Its caller would not have waited any more.
    Late,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.reason {
            RefusalReason::Overload => "more waits than can be judged in time, most of it from this tenant",
            RefusalReason::Late => "its turn comes after its deadline",
        };
        write!(f, "{why}; try again in {} ms", self.retry_after.as_millis())
    }
}

impl std::error::Error for Refusal {}

/// What the scheduler has done since the host was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ScheduleMetrics {
    /// Evaluations that wait now.
    pub waiting: u64,
    /// Most that ever waited at once.
    pub most_waiting: u64,
    /// Evaluations that had to wait for their turn.
    pub waited: u64,
    /// Time they waited, in microseconds.
    pub waited_micros: u64,
    /// Requests that were refused because too much waited.
    pub refused_overload: u64,
    /// Requests that were refused because their turn came too late.
    pub refused_late: u64,
}

/// The slots of a host, and who waits for them.
pub(crate) struct Schedule {
    /// Whether each is taken.
    slots: PerCore<AtomicBool>,
    /// Jobs in the queue: read without its lock.
    waiting: AtomicUsize,
    /// Taken only where slots are short.
    queue: Mutex<Waiting>,
    counts: Counts,
}

struct Waiting {
    jobs: Queue<oneshot::Sender<Turn>>,
    /// What evaluations that waited took lately, of all tenants.
    usual: Duration,
    /// When somebody last got a turn.
    last: Instant,
}

impl Waiting {
    /// Forgets who has used more than its share once nobody has had to wait for some evaluations' time.
    fn refresh(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last) > (self.usual * 4).max(MOST_AHEAD) {
            self.jobs.forget();
        }
    }
}

#[derive(Default)]
struct Counts {
    most_waiting: AtomicU64,
    waited: AtomicU64,
    waited_micros: AtomicU64,
    overload: AtomicU64,
    late: AtomicU64,
}

impl Schedule {
    pub(crate) fn new() -> Arc<Schedule> {
        Arc::new(Schedule {
            slots: PerCore::new(|_| AtomicBool::new(false)),
            waiting: AtomicUsize::new(0),
            queue: Mutex::new(Waiting { jobs: Queue::default(), usual: USUAL, last: Instant::now() }),
            counts: Counts::default(),
        })
    }

    /// Waits for a slot; `standing` is asked only where there is none at once, `until` is when its caller has gone.
    ///
    /// # Errors
    /// Only where `standing` may be refused, or there is an end to the caller's patience.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        standing: impl FnOnce() -> Standing,
        until: Option<Instant>,
    ) -> Result<Slot<'_>, Refusal> {
        if self.waiting.load(Ordering::SeqCst) == 0
            && let Some(place) = self.take_any()
        {
            return Ok(Slot { schedule: self, place, waited: None });
        }
        // What waits has a future of its own on the heap: whoever need not wait does not move it.
        Box::pin(self.wait(standing(), until)).await
    }

    async fn wait(self: &Arc<Self>, standing: Standing, until: Option<Instant>) -> Result<Slot<'_>, Refusal> {
        let joined = Instant::now();
        let mine = self.join(&standing, until.map(|until| until.saturating_duration_since(joined)))?;
        self.hand_over();
        // Whoever holds the other end drops it to make room for others.
        let Ok(mut turn) = mine.await else {
            let ahead = poison::lock(&self.queue).jobs.ahead(standing.class) / self.slots.len() as u32;
            return Err(self.refuse(RefusalReason::Overload, ahead.max(MOST_AHEAD)));
        };
        let now = Instant::now();
        self.counts.waited.fetch_add(1, Ordering::Relaxed);
        self.counts.waited_micros.fetch_add((now - joined).as_micros() as u64, Ordering::Relaxed);
        if until.is_some_and(|until| until <= now) {
            return Err(self.refuse(RefusalReason::Late, MOST_AHEAD));
        }
        let place = turn.place.take().expect("a turn is taken once");
        let waited = Waited { standing, expected: turn.expected, began: now, took: None };
        Ok(Slot { schedule: self, place, waited: Some(Box::new(waited)) })
    }

    /// Joins the queue.
    fn join(&self, standing: &Standing, patience: Option<Duration>) -> Result<oneshot::Receiver<Turn>, Refusal> {
        let cores = self.slots.len() as u32;
        let (turn, mine) = oneshot::channel();
        let mut queue = poison::lock(&self.queue);
        queue.refresh(Instant::now());
        let Waiting { jobs, usual, .. } = &mut *queue;
        let late = patience.filter(|patience| patience.is_zero() || jobs.wait(standing, *usual) / cores > *patience);
        if let Some(patience) = late {
            let ahead = jobs.ahead(standing.class) / cores;
            drop(queue);
            return Err(self.refuse(RefusalReason::Late, ahead.saturating_sub(patience).max(MOST_AHEAD)));
        }
        let gone = match jobs.admit(standing, turn, *usual, MOST_AHEAD * cores) {
            Ok(gone) => gone,
            Err(Full { ahead }) => {
                drop(queue);
                return Err(self.refuse(RefusalReason::Overload, ahead / cores));
            }
        };
        let waiting = jobs.len();
        self.waiting.store(waiting, Ordering::SeqCst);
        drop(queue);
        self.counts.most_waiting.fetch_max(waiting as u64, Ordering::Relaxed);
        // Those who have to go learn it when their end is dropped; it wakes them, which is no work for whoever holds a lock.
        drop(gone);
        Ok(mine)
    }

    #[cold]
    fn refuse(&self, reason: RefusalReason, retry_after: Duration) -> Refusal {
        let count = match reason {
            RefusalReason::Overload => &self.counts.overload,
            RefusalReason::Late => &self.counts.late,
        };
        count.fetch_add(1, Ordering::Relaxed);
        Refusal { reason, retry_after }
    }

    pub(crate) fn metrics(&self) -> ScheduleMetrics {
        let Counts { most_waiting, waited, waited_micros, overload, late } = &self.counts;
        ScheduleMetrics {
            waiting: self.waiting.load(Ordering::Relaxed) as u64,
            most_waiting: most_waiting.load(Ordering::Relaxed),
            waited: waited.load(Ordering::Relaxed),
            waited_micros: waited_micros.load(Ordering::Relaxed),
            refused_overload: overload.load(Ordering::Relaxed),
            refused_late: late.load(Ordering::Relaxed),
        }
    }

    /// A free slot, the calling thread's own if possible.
    fn take_any(&self) -> Option<usize> {
        let own = self.slots.place();
        (0..self.slots.len()).map(|step| (own + step) % self.slots.len()).find(|place| self.take(*place))
    }

    fn take(&self, place: usize) -> bool {
        let taken = self.slots.at(place);
        !taken.load(Ordering::Relaxed)
            && taken.compare_exchange(false, true, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Gives free slots to those who wait.
    fn hand_over(self: &Arc<Self>) {
        while self.waiting.load(Ordering::SeqCst) > 0
            && let Some(place) = self.take_any()
        {
            self.release(place);
        }
    }

    /// Hands a slot to the next who waits, or frees it.
    fn release(self: &Arc<Self>, place: usize) {
        loop {
            if self.waiting.load(Ordering::SeqCst) > 0 && self.give(place) {
                return;
            }
            self.slots.at(place).store(false, Ordering::SeqCst);
            // Somebody may have joined the queue before this slot was free and after it was looked at.
            if self.waiting.load(Ordering::SeqCst) == 0 || !self.take(place) {
                return;
            }
        }
    }

    /// Hands a slot to the next who waits; false where nobody does.
    fn give(self: &Arc<Self>, place: usize) -> bool {
        loop {
            let next = {
                let mut queue = poison::lock(&self.queue);
                let next = queue.jobs.pop();
                queue.last = Instant::now();
                self.waiting.store(queue.jobs.len(), Ordering::SeqCst);
                next
            };
            let Some((next, expected)) = next else { return false };
            match next.send(Turn { schedule: Arc::clone(self), place: Some(place), expected }) {
                Ok(()) => return true,
                // Its caller has gone. The turn does not end here: this slot is given to the next.
                Err(mut turn) => turn.place = None,
            }
        }
    }

    fn settle(&self, standing: &Standing, expected: Duration, took: Duration) {
        let mut queue = poison::lock(&self.queue);
        queue.usual = queue.usual * 15 / 16 + took / 16;
        queue.jobs.settle(standing, expected, took);
    }
}

/// A slot on its way to somebody who waits; it goes on to the next if they have gone.
struct Turn {
    schedule: Arc<Schedule>,
    place: Option<usize>,
    expected: Duration,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.schedule.release(place);
        }
    }
}

/// The right to use a core, until it is dropped.
pub(crate) struct Slot<'a> {
    schedule: &'a Arc<Schedule>,
    place: usize,
    /// On the heap, so that the futures that hold a slot stay small.
    waited: Option<Box<Waited>>,
}

/// On whose behalf a slot was waited for, what was expected, when it began, and what it took.
struct Waited {
    standing: Standing,
    expected: Duration,
    began: Instant,
    took: Option<Duration>,
}

impl Slot<'_> {
    /// Leaves, so that the fairest of all who could run is next.
    pub(crate) async fn leave(mut self) {
        // What others do in between is not on this one's account.
        if let Some(waited) = &mut self.waited {
            waited.took = Some(waited.began.elapsed());
        }
        Others(false).await;
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(waited) = self.waited.take() {
            let Waited { standing, expected, began, took } = *waited;
            self.schedule.settle(&standing, expected, took.unwrap_or_else(|| began.elapsed()));
        }
        self.schedule.release(self.place);
    }
}

/// Lets an executor poll all others that are ready.
struct Others(bool);

impl Future for Others {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
