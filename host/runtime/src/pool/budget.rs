//! How many instances a host keeps ready, in all its pools together.
//!
//! An instance takes memory, a slot of the engine's pool, and some of the mappings that the kernel grants a process
//! (`vm.max_map_count`): whichever is spent first, the next instance is a fresh one that is dropped after its call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::engine;

/// Mappings of an instance whose pages are not protected, measured: its memory's image, what is behind it, the rest of
/// its reservation.
const MAPPINGS: usize = 3;
/// What the kernel grants where it does not say.
const USUAL_MAPPINGS: usize = 65_530;
/// Mappings left to the program: its threads, libraries, files, modules, and instances that are not kept.
const OTHERS: usize = 8_192;

/// What may be ready, and what is.
pub(crate) struct Budget {
    most_instances: usize,
    most_mappings: usize,
    instances: AtomicUsize,
    mappings: AtomicUsize,
    /// Instances that keep a stack of their own.
    fibers: AtomicUsize,
}

/// What an instance takes that is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Mappings beyond those of an instance that is not protected.
    pub(super) mappings: usize,
    /// Whether it runs on a stack of its own.
    pub(super) fiber: bool,
}

/// The right to one ready instance, held by it.
pub(super) struct Place {
    budget: Arc<Budget>,
    mappings: usize,
    fibers: usize,
}

impl Budget {
    /// For so many instances, and no more mappings than this process may have.
    pub(crate) fn new(most_instances: usize) -> Arc<Budget> {
        let granted = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let granted = granted.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_MAPPINGS);
        Arc::new(Budget {
            most_instances,
            most_mappings: granted.saturating_sub(OTHERS),
            instances: AtomicUsize::new(0),
            mappings: AtomicUsize::new(0),
            fibers: AtomicUsize::new(0),
        })
    }

    /// A place for an instance.
    pub(super) fn take(self: &Arc<Budget>, needs: Needs) -> Option<Place> {
        let place =
            Place { budget: Arc::clone(self), mappings: MAPPINGS + needs.mappings, fibers: usize::from(needs.fiber) };
        // Whoever takes too much gives it back at once: its place ends here.
        let instances = self.instances.fetch_add(1, Relaxed);
        let mappings = self.mappings.fetch_add(place.mappings, Relaxed) + place.mappings;
        let fibers = self.fibers.fetch_add(place.fibers, Relaxed) + place.fibers;
        let fits = instances < self.most_instances && mappings <= self.most_mappings && fibers <= engine::KEPT_STACKS;
        fits.then_some(place)
    }

    /// Whether there is plenty left beyond so many more.
    pub(super) fn spares(&self, more: usize) -> bool {
        self.instances.load(Relaxed) + more <= self.most_instances / 2
            && self.mappings.load(Relaxed) <= self.most_mappings / 2
    }

    /// Instances that are ready or at work.
    pub(crate) fn instances(&self) -> usize {
        self.instances.load(Relaxed)
    }

    pub(crate) fn most_instances(&self) -> usize {
        self.most_instances
    }

    /// Mappings they take.
    pub(crate) fn mappings(&self) -> usize {
        self.mappings.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.instances.fetch_sub(1, Relaxed);
        self.budget.mappings.fetch_sub(self.mappings, Relaxed);
        self.budget.fibers.fetch_sub(self.fibers, Relaxed);
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        let left = [&mut self.instances, &mut self.mappings, &mut self.fibers].map(|count| *count.get_mut());
        debug_assert_eq!(left, [0; 3], "every instance gives its place back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Needs = Needs { mappings: 0, fiber: false };

    #[test]
    fn places_come_back() {
        let budget = Budget::new(2);
        let (one, two) = (budget.take(SMALL).unwrap(), budget.take(Needs { mappings: 5, fiber: true }).unwrap());
        assert!(budget.take(SMALL).is_none());
        assert_eq!((budget.instances(), budget.mappings()), (2, 2 * MAPPINGS + 5));
        drop(one);
        let again = budget.take(SMALL);
        assert!(again.is_some() && !budget.spares(1));
        drop((two, again));
        assert_eq!((budget.instances(), budget.mappings()), (0, 0));
    }

    #[test]
    fn mappings_are_bounded_too() {
        let budget = Budget::new(usize::MAX);
        assert!(budget.take(Needs { mappings: 1 << 40, fiber: false }).is_none());
        assert_eq!(budget.mappings(), 0);
    }

    #[test]
    fn stacks_are_bounded_too() {
        let budget = Budget::new(usize::MAX);
        let fiber = Needs { mappings: 0, fiber: true };
        let places: Vec<Place> = std::iter::from_fn(|| budget.take(fiber)).collect();
        assert_eq!(places.len(), engine::KEPT_STACKS);
        assert!(budget.take(SMALL).is_some());
    }
}
