//! The capability `state`: what policies have taken in windows of time, by policy, tenant and key, whatever generation is in
//! force.
//!
//! ```text
//! guest takes ─► reserved ─► ruling allows, recorded ─► confirmed ─► written to the log ─► answer
//!                        └─► any other end, or none at all ─► given back
//! ```
//!
//! Parts: [`counter`] the arithmetic of one key, [`taken`] what one evaluation has asked for, [`log`] the disk. Counters lie
//! in shards by the hash of their name, each behind a lock of its own: two cores meet only where they ask for the same
//! shard at once, and for a few hundred nanoseconds.
//!
//! A counter goes when nothing in it counts any more, never sooner: where there is no room for another one, the evaluation
//! fails instead, so that forgetting never loosens a limit.

mod counter;
mod log;
mod taken;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde::Serialize;

pub(crate) use self::counter::{Answer, Window, WindowKind, signed};
use self::counter::{Change, Counter, Hold, Reservation};
use self::log::{Line, Log};
use self::taken::Reserved;
pub(crate) use self::taken::{Amount, StateCall, StateError, Taken};
use crate::poison;

const SHARDS: usize = 64;
/// Most counters of a host, about: shards fill evenly, since they go by a hash.
const MOST: usize = 1 << 20;
/// Most counters of one policy for one tenant, about.
const MOST_OF_ONE: usize = 1 << 16;

/// All counters of a host.
pub(crate) struct State {
    shards: Box<[Mutex<Shard>]>,
    log: Option<Arc<Log>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    granted: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
    faults: AtomicU64,
}

/// What counters of policies have done since the host was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StateMetrics {
    /// Counters that are kept.
    pub keys: u64,
    /// Requests for an amount that were granted.
    pub granted: u64,
    /// Requests for an amount that did not fit below their limit.
    pub refused: u64,
    /// Requests that failed because there are as many counters as may be.
    pub full: u64,
    /// Times what was taken could not be written down.
    pub faults: u64,
}

#[derive(Default)]
struct Shard {
    counters: HashMap<CounterName, Entry>,
    /// Counters by whom they belong to.
    owned: HashMap<Owner, usize>,
    /// Number of the last confirmed change.
    sequence: u64,
    /// What is dated before is dated now: counters of that time may have been forgotten.
    floor: u64,
}

struct Entry {
    owner: Owner,
    /// Whether it belongs to a shadow, and is nothing to write down.
    shadow: bool,
    counter: Counter,
}

/// A policy and a tenant, in force or in shadow, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner([u8; 16]);

/// An owner, a key and a window, as a hash: nobody's names are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CounterName([u8; 16]);

/// Whose counters an evaluation may ask for, and the time it is told.
#[derive(Clone)]
pub(crate) struct Account {
    state: Arc<State>,
    owner: Owner,
    /// Whom a shadow copies its counters from.
    original: Option<Owner>,
    /// Milliseconds since 1970.
    now: u64,
}

impl Account {
    /// The counters of a policy for a tenant. A shadow has its own, which begin as copies and are never written down.
    pub(crate) fn new(state: &Arc<State>, policy: &str, tenant: &str, shadow: bool, now: u64) -> Account {
        let owner = |kind: &str| {
            Owner(hash(&[
                kind.as_bytes(),
                &(policy.len() as u64).to_le_bytes(),
                policy.as_bytes(),
                tenant.as_bytes(),
            ]))
        };
        let enforced = owner("policy");
        let (owner, original) = if shadow { (owner("shadow"), Some(enforced)) } else { (enforced, None) };
        Account { state: Arc::clone(state), owner, original, now }
    }

    /// Counters that nobody else has: for samples and trials.
    fn alone() -> Account {
        Account::new(&Arc::new(State::with_shards(1, None)), "", "", false, 0)
    }

    fn name(&self, owner: Owner, key: &str, window: Window) -> CounterName {
        let kind = [window.kind() as u8];
        CounterName(hash(&[&owner.0, &window.millis().to_le_bytes(), &kind, key.as_bytes()]))
    }

    /// Calls with the counter of a key, made where there is none; with the counter's name.
    fn with<T>(
        &self,
        key: &str,
        window: Window,
        call: impl FnOnce(CounterName, &mut Counter, u64) -> T,
    ) -> Result<(CounterName, T), StateError> {
        let State { shards, counts, .. } = &*self.state;
        let name = self.name(self.owner, key, window);
        let first = || {
            let original = self.name(self.original?, key, window);
            let shard = poison::lock(shard(shards, &original));
            shard.counters.get(&original).map(|entry| entry.counter.copy())
        };
        let mut found = poison::lock(shard(shards, &name));
        if !found.counters.contains_key(&name) {
            // No two locks at once: the copy may lie in any shard.
            drop(found);
            let counter = first().unwrap_or_else(|| Counter::new(window));
            found = poison::lock(shard(shards, &name));
            if !found.counters.contains_key(&name) {
                let most = (MOST / shards.len(), MOST_OF_ONE / shards.len());
                let room = found.make_room(self.owner, self.now, most);
                room.inspect_err(|_| _ = counts.full.fetch_add(1, Relaxed))?;
                found.insert(name, Entry { owner: self.owner, shadow: self.original.is_some(), counter });
            }
        }
        let now = self.now.max(found.floor);
        let entry = found.counters.get_mut(&name).expect("it was there, or has been put there");
        Ok((name, call(name, &mut entry.counter, now)))
    }

    /// Takes beside what everybody has taken, and what whoever asks has reserved before.
    fn take(
        &self,
        key: &str,
        window: Window,
        amount: u64,
        limit: u64,
        reserved: &[(CounterName, Reserved)],
    ) -> Result<(CounterName, Answer, Option<Reservation>), StateError> {
        let take = |name, counter: &mut Counter, now| match taken::seen(counter, name, now, reserved) {
            Some(mut seen) => {
                let (answer, reservation) = seen.take(now, amount, limit);
                reservation.into_iter().for_each(|reservation| counter.reserve(now, reservation));
                (answer, reservation)
            }
            None => counter.take(now, amount, limit),
        };
        let (name, (answer, reservation)) = self.with(key, window, take)?;
        let Counts { granted, refused, .. } = &self.state.counts;
        if answer.granted { granted } else { refused }.fetch_add(1, Relaxed);
        Ok((name, answer, reservation))
    }

    /// Makes changes for good, in one piece of the log.
    fn confirm(&self, changes: impl Iterator<Item = (CounterName, Reserved)>) {
        let mut lines = Vec::new();
        for (name, reserved) in changes {
            lines.extend(poison::lock(shard(&self.state.shards, &name)).confirm(name, reserved, self.now));
        }
        if let Some(log) = self.state.log.as_ref().filter(|_| self.original.is_none())
            && !lines.is_empty()
            && log.write(&lines).is_err()
        {
            self.state.counts.faults.fetch_add(1, Relaxed);
        }
    }

    fn refund(&self, name: &CounterName, reservation: Reservation) {
        if let Some(entry) = poison::lock(shard(&self.state.shards, name)).counters.get_mut(name) {
            entry.counter.refund(reservation);
        }
    }

    /// Whether what is taken now can be written down, as far as is known.
    fn is_failing(&self) -> bool {
        self.state.log.as_ref().is_some_and(|log| log.is_failing())
    }
}

impl Shard {
    /// Makes sure that another counter fits, forgetting what counts no more.
    fn make_room(&mut self, owner: Owner, now: u64, (most, of_one): (usize, usize)) -> Result<(), StateError> {
        let is_full = |shard: &Shard| {
            shard.counters.len() >= most || shard.owned.get(&owner).is_some_and(|owned| *owned >= of_one)
        };
        // Looking through all of it is worth it once per change of time: what counts at one time counts at the same time again.
        if is_full(self) && now > self.floor {
            self.forget_past(now);
        }
        if is_full(self) { Err(StateError::Full) } else { Ok(()) }
    }

    fn forget_past(&mut self, now: u64) {
        self.floor = self.floor.max(now);
        let Shard { counters, owned, .. } = self;
        counters.retain(|_, Entry { owner, counter, .. }| {
            let past = counter.is_past(now);
            if past && let Some(count) = owned.get_mut(owner) {
                *count -= 1;
            }
            !past
        });
        owned.retain(|_, count| *count > 0);
    }

    fn insert(&mut self, name: CounterName, entry: Entry) {
        let owner = entry.owner;
        if self.counters.insert(name, entry).is_none() {
            *self.owned.entry(owner).or_default() += 1;
        }
    }

    /// What is confirmed, as lines that make it again.
    fn lines(&self, mut line: impl FnMut(Line)) {
        for (name, Entry { owner, counter, .. }) in self.counters.iter().filter(|(_, entry)| !entry.shadow) {
            let (name, owner, window, sequence) = (*name, *owner, counter.window(), self.sequence);
            let base = Line { name, owner, window, sequence, op: Op::Take, bucket: 0, delta: 0, held: 0 };
            let slots = counter.slots().iter().filter(|slot| slot.used > 0);
            slots.for_each(|slot| line(Line { bucket: slot.bucket, delta: signed(slot.used), ..base }));
            for Hold { name: held, bucket, amount } in counter.holds().iter().copied() {
                line(Line { op: Op::Held, bucket, delta: signed(amount), held, ..base });
            }
        }
    }

    fn confirm(&mut self, name: CounterName, reserved: Reserved, now: u64) -> Option<Line> {
        // A counter that was forgotten meanwhile counts no more.
        let Entry { owner, counter, .. } = self.counters.get_mut(&name)?;
        let (Change { bucket, delta }, op, held) = reserved.stand(counter, now.max(self.floor));
        self.sequence += 1;
        let (owner, window, sequence) = (*owner, counter.window(), self.sequence);
        Some(Line { name, owner, window, sequence, op, bucket, delta, held })
    }
}

/// What a line of the log does beside adding to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Take = 0,
    /// It is an estimate.
    Hold = 1,
    /// An estimate is none any more.
    Settle = 2,
    /// Nothing is added: the amount is an estimate that is counted already.
    Held = 3,
}

impl State {
    /// Counters that live as long as the host.
    pub(crate) fn volatile() -> State {
        State::with_shards(SHARDS, None)
    }

    /// Counters that outlive the host, in a folder, made if it is missing. What was confirmed before is there again, unless
    /// the machine itself has lost what was written to it in the last tenth of a second.
    pub(crate) fn open(folder: &Path) -> io::Result<Arc<State>> {
        let mut state = State::with_shards(SHARDS, None);
        let (log, lines) = Log::open(folder)?;
        for line in lines {
            state.apply(&line);
        }
        let log = Arc::new(log);
        state.log = Some(Arc::clone(&log));
        let state = Arc::new(state);
        log.compact(&state)?;
        log.tend(Arc::downgrade(&state))?;
        Ok(state)
    }

    fn with_shards(shards: usize, log: Option<Arc<Log>>) -> State {
        State { shards: (0..shards).map(|_| Mutex::default()).collect(), log, counts: Counts::default() }
    }

    /// Makes a change that was written down.
    fn apply(&mut self, line: &Line) {
        let Line { name, owner, window, sequence, op, bucket, delta, held } = *line;
        let mut shard = poison::lock(shard(&self.shards, &name));
        shard.sequence = shard.sequence.max(sequence);
        if !shard.counters.contains_key(&name) {
            shard.insert(name, Entry { owner, shadow: false, counter: Counter::new(window) });
        }
        let Some(Entry { counter, .. }) = shard.counters.get_mut(&name) else { return };
        if op != Op::Held {
            counter.apply(Change { bucket, delta });
        }
        match op {
            Op::Take => {}
            Op::Hold | Op::Held => counter.hold(Hold { name: held, bucket, amount: delta.unsigned_abs() }),
            Op::Settle => counter.let_go(held),
        }
    }

    pub(crate) fn metrics(&self) -> StateMetrics {
        let Counts { granted, refused, full, faults } = &self.counts;
        let keys = self.shards.iter().map(|shard| poison::lock(shard).counters.len() as u64);
        StateMetrics {
            keys: keys.sum(),
            granted: granted.load(Relaxed),
            refused: refused.load(Relaxed),
            full: full.load(Relaxed),
            faults: faults.load(Relaxed),
        }
    }

    /// Writes out what is buffered and waits until it is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.log.as_ref().map_or(Ok(()), |log| log.sync())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            log.end();
        }
    }
}

fn shard<'a>(shards: &'a [Mutex<Shard>], name: &CounterName) -> &'a Mutex<Shard> {
    &shards[place_of(name, shards.len())]
}

/// Which of so many shards a counter lies in.
fn place_of(name: &CounterName, shards: usize) -> usize {
    usize::from(name.0[0]) % shards
}

/// Parts must be told apart by what they are: all but the last have a fixed length, or their length before them.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| _ = hasher.update(part));
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[cfg(test)]
mod tests;
