//! A disk in memory that fails by plan and remembers what was synced.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use crate::journal::commit::Shared;
use crate::journal::segment::{Segment, Writer};
use crate::journal::{Journal, JournalOptions};

/// How often each step fails, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) write: u64,
    pub(super) cut: u64,
    pub(super) sync: u64,
    pub(super) next: u64,
}

#[derive(Debug, Default)]
struct Content {
    first: u64,
    bytes: Vec<u8>,
    /// Bytes that a power loss would leave.
    synced: usize,
    sync_failed: bool,
}

#[derive(Debug)]
struct Inner {
    segments: Vec<Content>,
    faults: Faults,
    random: u64,
}

impl Inner {
    fn random(&mut self) -> u64 {
        // Xorshift; the seed is never zero.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn fails(&mut self, percent: u64) -> bool {
        self.random() % 100 < percent
    }
}

#[derive(Debug)]
pub(super) struct Disk {
    inner: Mutex<Inner>,
    /// One thread does everything, so the order of steps can be judged, not only their outcome.
    alone: bool,
}

thread_local! {
    /// What happens meanwhile: called in the middle of every write and sync of this thread.
    static MEANWHILE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

pub(super) fn set_meanwhile(action: Option<Rc<dyn Fn()>>) {
    MEANWHILE.with(|slot| *slot.borrow_mut() = action);
}

fn meanwhile() {
    let action = MEANWHILE.with(|slot| slot.borrow().clone());
    match action {
        Some(action) => action(),
        None => std::thread::yield_now(),
    }
}

impl Disk {
    pub(super) fn new(seed: u64, faults: Faults, alone: bool) -> Arc<Disk> {
        let segments = vec![Content { first: 1, ..Content::default() }];
        Arc::new(Disk { inner: Mutex::new(Inner { segments, faults, random: seed | 1 }), alone })
    }

    /// A journal on this disk; its thread is started only if `starts_thread`, else the test calls `round`.
    pub(super) fn journal(self: &Arc<Disk>, options: JournalOptions, threaded: bool, starts_thread: bool) -> Journal {
        let segment = Arc::new(SimulatedSegment { disk: Arc::clone(self), index: 0 });
        let writer = Writer::new(segment, 0, options.segment_bytes);
        let shared = Arc::new(Shared::new("host", 1, writer, options, threaded));
        let for_thread = Arc::clone(&shared);
        let thread = starts_thread.then(|| std::thread::spawn(move || for_thread.run()));
        Journal { shared, thread, memory: None }
    }

    pub(super) fn heal(&self) {
        self.inner.lock().unwrap().faults = Faults::default();
    }

    /// Every segment: its first number and its text.
    pub(super) fn segments(&self) -> Vec<(u64, String)> {
        let inner = self.inner.lock().unwrap();
        let text = |content: &Content| String::from_utf8(content.bytes.clone()).unwrap();
        inner.segments.iter().map(|content| (content.first, text(content))).collect()
    }

    /// A power loss now would leave this text.
    pub(super) fn is_synced(&self, text: &str) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.segments.iter().any(|content| {
            let synced = std::str::from_utf8(&content.bytes[..content.synced]).unwrap();
            synced.contains(text)
        })
    }
}

#[derive(Debug)]
struct SimulatedSegment {
    disk: Arc<Disk>,
    index: usize,
}

impl Segment for SimulatedSegment {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        meanwhile();
        let mut inner = self.disk.inner.lock().unwrap();
        let percent = inner.faults.write;
        let fails = inner.fails(percent);
        let part = if fails { inner.random() as usize % (bytes.len() + 1) } else { bytes.len() };
        let content = &mut inner.segments[self.index];
        assert!(!(self.disk.alone && content.sync_failed), "no line goes to a segment whose sync failed");
        content.bytes.extend_from_slice(&bytes[..part]);
        if fails { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.inner.lock().unwrap();
        let percent = inner.faults.cut;
        if inner.fails(percent) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let content = &mut inner.segments[self.index];
        // A sync may have caught whole lines of a write that failed later.
        content.synced = content.synced.min(length as usize);
        content.bytes.truncate(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let whole_lines = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let length = whole_lines(&self.disk.inner.lock().unwrap().segments[self.index].bytes);
        meanwhile();
        let mut inner = self.disk.inner.lock().unwrap();
        let percent = inner.faults.sync;
        let fails = inner.fails(percent);
        let content = &mut inner.segments[self.index];
        assert!(!content.sync_failed, "a failed sync is never tried again");
        content.sync_failed = fails;
        if fails {
            return Err(io::Error::from_raw_os_error(5));
        }
        // A failed write that ran meanwhile may have been cut again, below what it had reached.
        content.synced = content.synced.max(length.min(content.bytes.len()));
        Ok(())
    }

    fn next(&self, first: u64) -> io::Result<Arc<dyn Segment>> {
        let mut inner = self.disk.inner.lock().unwrap();
        let percent = inner.faults.next;
        if inner.fails(percent) {
            return Err(io::Error::from_raw_os_error(28));
        }
        inner.segments.push(Content { first, ..Content::default() });
        Ok(Arc::new(SimulatedSegment { disk: Arc::clone(&self.disk), index: inner.segments.len() - 1 }))
    }
}
