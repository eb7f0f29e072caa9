//! One of something for each core, so that cores share neither a lock nor a count.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value for each core. A thread uses that of its number: the threads of an executor are numbered one after the other,
/// so they meet only where there are more threads than cores.
pub(crate) struct PerCore<T>(Box<[Apart<T>]>);

/// Aligned so that neighbours do not share a cache line, nor the pair of lines that processors fetch at once.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> PerCore<T> {
    /// Makes one for each core.
    pub(crate) fn new(make: impl FnMut(usize) -> T) -> PerCore<T> {
        PerCore((0..cores()).map(make).map(Apart).collect())
    }

    /// The calling thread's own.
    pub(crate) fn own(&self) -> &T {
        &self.0[self.place()].0
    }

    /// The place of the calling thread's own.
    pub(crate) fn place(&self) -> usize {
        thread_number() % self.0.len()
    }

    /// All of them, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }

    pub(crate) fn at(&self, place: usize) -> &T {
        &self.0[place].0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The cores this process may use. Asked once: the system reads files to answer it.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// A small number of the calling thread, its own for as long as it lives.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}
