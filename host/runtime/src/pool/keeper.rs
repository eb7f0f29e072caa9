//! Makes instances off a request's path, and drops those that nobody uses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Budget, Pool};
use crate::poison;

/// Orders that may wait. What finds no room is not done: the next call that misses an instance starts one itself.
const ORDERS: usize = 1024;
/// An instance that was not used for so long is dropped, unless it is its policy's last.
const UNUSED: Duration = Duration::from_secs(60);
/// What was used within this time is at work.
const AT_WORK: Duration = Duration::from_secs(1);
/// How long the instances of a generation outlive it: system calls on mappings slow down every evaluation, and the first
/// ones of a new generation have cold caches already. A rollback within that time finds them.
const REST: Duration = Duration::from_secs(1);

/// A thread that keeps the pools of a host in order. It ends with its last owner.
pub(crate) struct Keeper {
    budget: Arc<Budget>,
    orders: SyncSender<Order>,
    /// Pools that keep instances, or did. A lock because pools come and go with generations.
    pools: Arc<Mutex<Vec<Weak<Pool>>>>,
    leaving: Arc<Mutex<VecDeque<(Instant, Leaving)>>>,
    pub(super) counts: Counts,
}

/// What has become of the instances a host keeps for the next evaluation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct InstanceMetrics {
    /// Instances that are ready or at work.
    pub ready: u64,
    /// Most there may be.
    pub most: u64,
    /// Mappings of the kernel that they take, of those it grants a process (`vm.max_map_count`).
    pub mappings: u64,
    /// Evaluations that found none ready and started one.
    pub cold: u64,
    /// Evaluations that were begun again in a fresh instance, since they wrote where none had written before. It shows in
    /// their time only.
    pub repeated: u64,
    /// Instances that were dropped because they could not be put back: trapped, out of a limit, grown or abandoned.
    pub dropped: u64,
}

/// What has happened to kept instances; all of it is rare.
#[derive(Default)]
pub(super) struct Counts {
    /// Calls that found no instance ready and started one.
    pub(super) cold: AtomicU64,
    /// Evaluations that were begun again because they stored to a protected page.
    pub(super) repeated: AtomicU64,
    /// Instances that could not be put back.
    pub(super) dropped: AtomicU64,
}

enum Order {
    /// An instance is missing in a shard.
    Refill(Weak<Pool>, usize),
    /// There is something that goes after a while.
    Leaving,
    /// The budget is spent.
    MakeRoom,
}

impl Keeper {
    /// Starts the thread.
    pub(crate) fn start(budget: Arc<Budget>) -> Arc<Keeper> {
        let (orders, inbox) = sync_channel(ORDERS);
        let (most, pools, leaving) = (budget.most_instances(), Arc::default(), Arc::default());
        let rounds =
            Rounds { inbox, pools: Arc::clone(&pools), most, made_room: None, leaving: Arc::clone(&leaving) };
        let work = move || rounds.go();
        std::thread::Builder::new().name("weir-keeper".into()).spawn(work).expect("a host can start one more thread");
        Arc::new(Keeper { budget, orders, pools, leaving, counts: Counts::default() })
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub(crate) fn metrics(&self) -> InstanceMetrics {
        let Counts { cold, repeated, dropped } = &self.counts;
        InstanceMetrics {
            ready: self.budget.instances() as u64,
            most: self.budget.most_instances() as u64,
            mappings: self.budget.mappings() as u64,
            cold: cold.load(Relaxed),
            repeated: repeated.load(Relaxed),
            dropped: dropped.load(Relaxed),
        }
    }

    /// Looks after a pool from now on.
    pub(super) fn meet(&self, pool: Weak<Pool>) {
        let mut pools = poison::lock(&self.pools);
        if !pools.iter().any(|known| known.ptr_eq(&pool)) {
            pools.push(pool);
        }
    }

    pub(super) fn refill(&self, pool: Weak<Pool>, place: usize) {
        let _ = self.orders.try_send(Order::Refill(pool, place));
    }

    /// Empties a pool after a while, unless it is awake again by then.
    pub(super) fn empty(&self, pool: Weak<Pool>) {
        self.leave(Leaving::Instances(pool));
    }

    /// Drops something after a while, so that nobody waits for it or is disturbed by it now.
    pub(crate) fn drop_later(&self, something: impl Send + 'static) {
        self.leave(Leaving::Something(Box::new(something)));
    }

    fn leave(&self, what: Leaving) {
        let mut leaving = poison::lock(&self.leaving);
        leaving.push_back((Instant::now(), what));
        // Waking a thread takes longer than all the rest of it, and one that waits for the first finds the others.
        if leaving.len() == 1 {
            let _ = self.orders.try_send(Order::Leaving);
        }
    }

    pub(super) fn make_room(&self) {
        let _ = self.orders.try_send(Order::MakeRoom);
    }
}

struct Rounds {
    inbox: Receiver<Order>,
    pools: Arc<Mutex<Vec<Weak<Pool>>>>,
    /// When room was made last: everybody who finds none asks for it.
    made_room: Option<Instant>,
    /// Instances the host may have.
    most: usize,
    /// What nobody needs any more, and since when, oldest first.
    leaving: Arc<Mutex<VecDeque<(Instant, Leaving)>>>,
}

/// What goes after a while.
enum Leaving {
    /// The instances of a pool, unless it is awake again by then.
    Instances(Weak<Pool>),
    Something(#[expect(dead_code, reason = "it is only dropped")] Box<dyn Send>),
}

impl Rounds {
    fn go(mut self) {
        let mut looked = Instant::now();
        loop {
            let left = |(since, _): &(Instant, Leaving)| REST.saturating_sub(since.elapsed());
            let next = poison::lock(&self.leaving).front().map_or(UNUSED, left);
            match self.inbox.recv_timeout(next) {
                Ok(Order::Refill(pool, place)) => {
                    if let Some(pool) = pool.upgrade() {
                        pool.fill(place);
                    }
                }
                Ok(Order::MakeRoom) if self.made_room.is_some_and(|last| last.elapsed() < AT_WORK) => {}
                Ok(Order::MakeRoom) => self.make_room(),
                Ok(Order::Leaving) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.let_go(REST);
            if looked.elapsed() >= UNUSED {
                looked = Instant::now();
                self.shrink();
            }
        }
    }

    /// Drops what nobody has needed for so long.
    fn let_go(&self, rest: Duration) {
        let gone = || poison::lock(&self.leaving).pop_front_if(|(since, _)| since.elapsed() >= rest);
        while let Some((_, leaving)) = gone() {
            if let Leaving::Instances(pool) = leaving
                && let Some(pool) = pool.upgrade()
            {
                pool.empty();
            }
        }
    }

    /// Pools that still exist.
    fn alive(&self) -> Vec<Arc<Pool>> {
        let mut pools = poison::lock(&self.pools);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.iter().filter_map(Weak::upgrade).collect()
    }

    fn shrink(&self) {
        for pool in self.alive() {
            let Some(used) = pool.used() else { continue };
            // The one used last stays, however long ago that was.
            pool.drop_idle(usize::MAX, |since| since < used && since.elapsed() > UNUSED);
        }
    }

    /// Takes a sixteenth of the budget from whoever used theirs longest ago. Where all are at work, nothing is taken: the
    /// others run in fresh instances, which is cheaper than making theirs again and again.
    fn make_room(&mut self) {
        self.made_room = Some(Instant::now());
        self.let_go(Duration::ZERO);
        let mut pools: Vec<(Option<Instant>, Arc<Pool>)> =
            self.alive().into_iter().map(|pool| (pool.used(), pool)).collect();
        pools.sort_by_key(|(used, _)| *used);
        let mut wanted = self.most.div_ceil(16);
        for (_, pool) in pools {
            if wanted == 0 {
                break;
            }
            wanted -= pool.drop_idle(wanted, |since| since.elapsed() > AT_WORK);
        }
    }
}
