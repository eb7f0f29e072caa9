//! The generations of a host: one in force, the last few ready to come back.
//!
//! ```text
//! publish, rollback ─► kept (one lock) ─► number (one atomic) ┐
//! evaluate ─► this thread's shard ─► its own handle, renewed when the number has changed
//! ```
//!
//! Publishing is one store of a number. An evaluation takes a handle from the shard of its thread, keeps it to its end,
//! and so ends on the generation it began with; dropping the last handle is the drain of a swap. Handles are counted per
//! shard, so that cores share neither a lock nor a count while they judge.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::cores::PerCore;
use crate::generation::{Generation, GenerationNumber, Loaded};
use crate::poison;

/// Generations that stay loaded, the one in force included.
const KEPT: usize = 3;

/// The generation in force, and its predecessors.
pub(crate) struct Registry {
    /// Number of the generation in force: what shards compare their handle with.
    number: AtomicU64,
    /// A lock because publishers are rare and come one at a time; shards take it once for each generation.
    /// Oldest first; the last is in force.
    kept: Mutex<VecDeque<Arc<Generation>>>,
    /// A handle for the threads of each core.
    shards: PerCore<Mutex<Handle>>,
}

/// A generation, held for one evaluation or by a shard.
#[derive(Clone)]
#[expect(clippy::redundant_allocation, reason = "the outer count belongs to one shard, the inner one to all of them")]
pub(crate) struct Handle(Arc<Arc<Generation>>);

impl Deref for Handle {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.0
    }
}

impl Registry {
    /// A registry with its first generation in force.
    pub(crate) fn new(number: GenerationNumber, first: Arc<Loaded>) -> Registry {
        let first = Arc::new(Generation::new(number, None, first));
        let shard = |_| Mutex::new(Handle(Arc::new(Arc::clone(&first))));
        Registry {
            number: AtomicU64::new(number.get()),
            shards: PerCore::new(shard),
            kept: Mutex::new(VecDeque::from([first])),
        }
    }

    /// The generation in force, for one evaluation.
    pub(crate) fn current(&self) -> Handle {
        let mut handle = poison::lock(self.shards.own());
        if handle.id().number.get() != self.number.load(Ordering::Acquire) {
            *handle = Handle(Arc::new(self.in_force()));
        }
        handle.clone()
    }

    /// The generation in force, for those who look at it.
    pub(crate) fn in_force(&self) -> Arc<Generation> {
        Arc::clone(poison::lock(&self.kept).back().expect("one generation is always in force"))
    }

    /// All generations that are still loaded, oldest first; the last is in force.
    pub(crate) fn kept(&self) -> Vec<Arc<Generation>> {
        poison::lock(&self.kept).iter().cloned().collect()
    }

    /// Brings a loaded set into force under the next number; `restores` names the generation it comes from. The second answer
    /// is the generation that is not kept any more: dropping its modules takes time.
    pub(crate) fn publish(
        &self,
        loaded: Arc<Loaded>,
        restores: Option<GenerationNumber>,
    ) -> (Arc<Generation>, Option<Arc<Generation>>) {
        let mut kept = poison::lock(&self.kept);
        let number = kept.back().expect("one generation is always in force").id().number.next();
        let generation = Arc::new(Generation::new(number, restores, loaded));
        kept.push_back(Arc::clone(&generation));
        let forgotten = if kept.len() > KEPT { kept.pop_front() } else { None };
        // INVARIANT: the list is changed before the number is, so that a shard that sees the number finds its generation.
        self.number.store(number.get(), Ordering::Release);
        drop(kept);
        self.renew_shards(&generation);
        (generation, forgotten)
    }

    /// A shard that nobody asks would keep a generation loaded for ever.
    fn renew_shards(&self, generation: &Arc<Generation>) {
        for shard in self.shards.iter() {
            let mut handle = poison::lock(shard);
            if handle.id().number < generation.id().number {
                let former = std::mem::replace(&mut *handle, Handle(Arc::new(Arc::clone(generation))));
                drop(handle);
                drop(former);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::digest::Digest;
    use crate::plan::Plan;
    use crate::set::Set;

    fn loaded(name: &str) -> Arc<Loaded> {
        let plan = Plan::of(name, Digest::of(name.as_bytes()));
        Arc::new(Loaded::new(&Set::default(), plan, (Vec::new(), Vec::new()), Vec::new()))
    }

    fn registry() -> Registry {
        Registry::new(GenerationNumber::FIRST, loaded("1"))
    }

    #[test]
    fn a_handle_stays_on_the_generation_it_began_with() {
        let registry = registry();
        let handle = registry.current();
        registry.publish(loaded("2"), None);
        assert_eq!((handle.id().number.get(), registry.current().id().number.get()), (1, 2));
        assert_eq!((handle.name(), registry.current().name()), ("1", "2"));
    }

    #[test]
    fn three_generations_stay_and_the_fourth_frees_the_first() {
        let registry = registry();
        let first: Weak<Generation> = Arc::downgrade(&registry.in_force());
        for (name, number) in [("2", 2), ("3", 3), ("4", 4)] {
            assert!(first.upgrade().is_some());
            assert_eq!(registry.publish(loaded(name), None).0.id().number.get(), number);
        }
        assert!(first.upgrade().is_none(), "no shard may keep it");
        let kept: Vec<u64> = registry.kept().iter().map(|generation| generation.id().number.get()).collect();
        assert_eq!(kept, [2, 3, 4]);
    }

    #[test]
    fn a_held_generation_outlives_its_place() {
        let registry = registry();
        let (handle, first) = (registry.current(), Arc::downgrade(&registry.in_force()));
        (2..9).for_each(|number| drop(registry.publish(loaded(&number.to_string()), None)));
        assert_eq!(handle.name(), "1");
        drop(handle);
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn no_thread_ever_sees_an_older_generation_than_before() {
        let registry = registry();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut last = GenerationNumber::FIRST;
                    while last.get() < 500 {
                        let handle = registry.current();
                        assert!(handle.id().number >= last);
                        assert_eq!(handle.name(), handle.id().number.to_string(), "number and set belong together");
                        last = handle.id().number;
                    }
                });
            }
            (2..=500).for_each(|number: u64| drop(registry.publish(loaded(&number.to_string()), None)));
        });
    }
}
