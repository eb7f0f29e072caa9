//! The append-only log under the recorder: JSON lines in a folder, numbered without gaps.
//!
//! ```text
//! append ─► number + line into the buffer ─┬─ nobody writes: lead (one write for all that wait) ─► answer
//!                                          └─ somebody writes: follow, wait for the answer or for "lead"
//! thread ─► every 10 ms while there is work: write what nobody leads, fdatasync, rotate
//! ```
//!
//! An evaluation takes about 10 us and a hop to another thread costs 10 to 50 us, so a lone caller writes its own
//! line. Under load the callers that arrive during one write become the next batch, and one of *them* writes it: no
//! caller serves others for longer than its own batch.
//!
//! INVARIANT: leading happens inside one poll and leadership is never owned by a future that waits. "Lead" is a
//! hint; the writer itself lies in the shared state, so any caller and the thread may take it up. That is why a
//! future that is dropped, forgotten or never polled again cannot stop the journal.
//!
//! What stands in the log, whatever fails: every record answered with `Ok` exactly once under its number, nothing
//! answered with [`AppendError::Write`], whole lines only. The record of a dropped caller stays. After a failed
//! sync the kernel may have lost what it had been given; a `sync_failed` line names the numbers.
//!
//! Parts: [`batch`] the lines that wait, [`commit`] who writes them, [`thread`] sync and rotation, [`segment`] files
//! and their faults, [`repair`] opening a folder, [`volatile`] logs without files.

mod batch;
mod commit;
mod error;
mod repair;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod thread;
mod volatile;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use self::commit::{Follower, Shared, Submitted, Wish};
pub(crate) use self::error::{AppendError, JournalError};
use self::segment::{Segment, Writer};
use self::volatile::{Discard, Memory};
use crate::set::Durability;

/// The longest line, framing included: a record is a description of a ruling, not its payload.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 20;

/// The sizes and times of a journal.
#[derive(Clone, Debug)]
pub(crate) struct JournalOptions {
    /// A segment that has reached this many bytes is followed by a new one; default 128 MiB. What arrives while the
    /// new one is made still goes to the old one.
    pub segment_bytes: u64,
    /// How long written records may wait for their `fdatasync`, and buffered ones for their write; default 10 ms.
    pub sync_every: Duration,
    /// The most bytes that wait to be written, above which [`AppendError::Full`] is the answer; default 64 MiB.
    pub buffer_bytes: usize,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions { segment_bytes: 128 << 20, sync_every: Duration::from_millis(10), buffer_bytes: 64 << 20 }
    }
}

/// What a journal has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct JournalCounters {
    /// Lines written, the journal's own (`repair`, `sync_failed`, `withdrawn`) included.
    pub appended: u64,
    /// Writes that put those lines down; `appended / batches` is the size of a group.
    pub batches: u64,
    /// Bytes of those lines.
    pub bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Writes, syncs and new segments that failed.
    pub failures: u64,
    /// Bytes of torn lines cut off when the folder was opened.
    pub repaired_bytes: u64,
}

/// The append-only log of records; see the module's text.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Shared with the thread.
    shared: Arc<Shared>,
    /// Syncs and rotates; none without files. Ended and joined on drop.
    thread: Option<JoinHandle<()>>,
    /// The lines of [`Journal::memory`], for [`Journal::lines`].
    memory: Option<Arc<Memory>>,
}

impl Journal {
    /// Opens the log in `dir` for the records of `host`, creating the folder (mode 0700) if it is missing.
    ///
    /// A torn last line is cut off and accounted for by a `repair` line; numbering goes on after the last whole one.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: another process has the folder, something in it cannot be read, or is not this host's log.
    pub(crate) fn open(dir: &Path, host: &str) -> Result<Journal, JournalError> {
        Journal::open_with(dir, host, JournalOptions::default())
    }

    /// [`Journal::open`] with other sizes and times.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub(crate) fn open_with(dir: &Path, host: &str, options: JournalOptions) -> Result<Journal, JournalError> {
        let opened = repair::open(dir, host)?;
        let writer = Writer::new(Arc::new(opened.segment), opened.length, options.segment_bytes);
        let shared = Arc::new(Shared::new(host, opened.next, writer, options, true));
        if opened.cut_bytes > 0 {
            shared.note_repair(opened.cut_bytes);
        }
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("weir-journal".to_owned())
            .spawn(move || for_thread.run())
            .map_err(JournalError::Thread)?;
        Ok(Journal { shared, thread: Some(thread), memory: None })
    }

    /// The last `bytes` of each of the newest segments of a folder, the newest first; what cannot be read is left out.
    pub(crate) fn tails(dir: &Path, segments: usize, bytes: u64) -> impl Iterator<Item = Vec<u8>> {
        repair::tails(dir, segments, bytes)
    }

    /// A log in memory that keeps the last `capacity` lines: for tests, demonstrations and embedding without files.
    /// Its host is `memory`, and every durability means "kept".
    #[must_use]
    pub(crate) fn memory(capacity: usize) -> Journal {
        let memory = Arc::new(Memory::new(capacity));
        let shared = without_files("memory", Arc::clone(&memory) as _);
        Journal { shared, thread: None, memory: Some(memory) }
    }

    /// A log that numbers records and throws them away: for benchmarks. Its host is `discard`.
    #[must_use]
    pub(crate) fn discard() -> Journal {
        Journal { shared: without_files("discard", Arc::new(Discard)), thread: None, memory: None }
    }

    /// Appends one record and answers with its number once it is as safe as `durability` says.
    ///
    /// `body` is the record's JSON members without braces; the journal adds `v` and `record` in front. It cannot see
    /// whether they are JSON. The first poll may write to the file; only waiting for others or for a sync suspends.
    /// Dropping the future does not take the record back.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; after [`AppendError::Sync`] alone the record may nevertheless be in the log.
    pub(crate) async fn append(&self, body: &[u8], durability: Durability) -> Result<u64, AppendError> {
        let wish = match durability {
            Durability::Strict => Wish::Strict,
            Durability::Group => Wish::Group,
            Durability::Async => Wish::Async,
        };
        match self.shared.submit(body, wish)? {
            Submitted::Done(sequence) => Ok(sequence),
            Submitted::Waiting(receiver) => Follower::new(&self.shared, receiver).answer().await,
        }
    }

    /// Appends one record without waiting for anyone, for use in `Drop`: written here and now as with
    /// [`Durability::Group`], or, while another caller writes, left to the next batch as with [`Durability::Async`].
    ///
    /// # Errors
    ///
    /// As [`Journal::append`].
    pub(crate) fn append_now(&self, body: &[u8]) -> Result<u64, AppendError> {
        match self.shared.submit(body, Wish::Now)? {
            Submitted::Done(sequence) => Ok(sequence),
            Submitted::Waiting(_) => Err(AppendError::Closed),
        }
    }

    /// Writes everything that was accepted and syncs it; blocks the calling thread for that long.
    ///
    /// # Errors
    ///
    /// [`AppendError::Write`] or [`AppendError::Sync`].
    pub(crate) fn flush(&self) -> Result<(), AppendError> {
        self.shared.flush()
    }

    /// What this journal has done since it was opened.
    #[must_use]
    pub(crate) fn counters(&self) -> JournalCounters {
        self.shared.counters()
    }

    /// Whether the last write failed.
    #[must_use]
    pub(crate) fn is_failing(&self) -> bool {
        self.shared.is_failing()
    }

    /// The lines that [`Journal::memory`] keeps, oldest first, without line ends; nothing for other journals.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.memory.as_ref().map(|memory| memory.lines()).unwrap_or_default()
    }
}

impl Drop for Journal {
    /// Writes and syncs what is left, then ends the thread. A failure here has nobody left to hear it.
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by the panic hook; a second one here would abort.
            let _ = thread.join();
        }
    }
}

fn without_files(host: &str, segment: Arc<dyn Segment>) -> Arc<Shared> {
    let options = JournalOptions { segment_bytes: u64::MAX, ..JournalOptions::default() };
    let writer = Writer::new(segment, 0, options.segment_bytes);
    Arc::new(Shared::new(host, repair::FIRST_SEQUENCE, writer, options, false))
}
