//! What callers and the thread share, and how a batch's end changes it. No input or output happens here.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::oneshot;

use super::batch::{Answer, Batch, Message};
use super::segment::{Segment, Writer};
use super::{AppendError, JournalCounters};

/// What the thread is doing, as far as others must know to wake it. Waking costs a system call, so it is done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadIs {
    /// At work; it looks at the state before it sleeps.
    Awake,
    /// Asleep until there is anything to do.
    Idle,
    /// Asleep until a group has gathered, or somebody is in a hurry.
    Gathering {
        /// It waits longer, because the last write failed.
        backing_off: bool,
    },
    /// Asleep until the writer is back; nobody else may take it.
    Reserving,
}

#[derive(Debug)]
pub(super) struct State {
    /// Accepted lines that nobody has begun to write; its `next` is the number of the next record.
    pub(super) pending: Batch,
    /// The emptied buffers of the last batch, so that a lone caller allocates nothing.
    spare: Option<Batch>,
    /// Absent while somebody writes. Whoever takes it puts it back within the same call.
    pub(super) writer: Option<Writer>,
    /// The writer's segment, for the thread, which syncs while others write.
    pub(super) segment: Arc<dyn Segment>,
    /// The number after the last line written.
    pub(super) written: u64,
    /// The number after the last line known to be synced, or given up.
    pub(super) synced: u64,
    /// Written records whose callers wait for the sync.
    pub(super) unsynced: Vec<(u64, oneshot::Sender<Message>)>,
    /// Callers of `flush`; the thread's next round is theirs.
    pub(super) flushers: Vec<SyncSender<Result<(), AppendError>>>,
    pub(super) thread: ThreadIs,
    /// The last write failed. Nothing more is taken on trust, and the thread tries again less often.
    pub(super) failing: bool,
    /// The segment ends with a torn line that could not be cut off yet.
    pub(super) torn: bool,
    /// The segment is long enough.
    pub(super) rotation_due: bool,
    /// The journal is being dropped.
    pub(super) closing: bool,
    pub(super) counters: JournalCounters,
}

impl State {
    pub(super) fn new(next: u64, writer: Writer) -> State {
        State {
            pending: Batch::new(next),
            spare: None,
            segment: Arc::clone(writer.segment()),
            rotation_due: writer.is_long(),
            writer: Some(writer),
            written: next,
            synced: next,
            unsynced: Vec::new(),
            flushers: Vec::new(),
            thread: ThreadIs::Awake,
            failing: false,
            torn: false,
            closing: false,
            counters: JournalCounters::default(),
        }
    }

    /// A caller may write.
    pub(super) fn is_free(&self) -> bool {
        self.writer.is_some() && self.thread != ThreadIs::Reserving
    }

    pub(super) fn has_work(&self) -> bool {
        self.is_urgent() || self.synced < self.written || self.has_leftovers()
    }

    /// There is something for a writer to do.
    pub(super) fn has_leftovers(&self) -> bool {
        self.torn || !self.pending.is_empty()
    }

    /// Somebody waits for the thread.
    pub(super) fn is_urgent(&self) -> bool {
        !self.unsynced.is_empty() || !self.flushers.is_empty() || self.rotation_due || self.closing
    }

    pub(super) fn should_wake_thread(&self) -> bool {
        match self.thread {
            ThreadIs::Awake => false,
            ThreadIs::Idle => self.has_work(),
            ThreadIs::Gathering { backing_off } => self.is_urgent() || (backing_off && !self.failing),
            ThreadIs::Reserving => self.writer.is_some(),
        }
    }

    /// The lines that wait, for a writer; lines that come now are the next batch.
    pub(super) fn take_pending(&mut self) -> Batch {
        let next = self.pending.next();
        let fresh = self.spare.take().map_or_else(|| Batch::new(next), |spare| spare.reuse(next));
        std::mem::replace(&mut self.pending, fresh)
    }

    /// Accounts for a batch that is in the segment now; the answers are for the caller to send.
    pub(super) fn batch_written(&mut self, mut batch: Batch, writer: &Writer) -> Vec<Answer> {
        self.counters.appended += batch.lines();
        self.counters.batches += 1;
        self.counters.bytes += batch.bytes().len() as u64;
        self.written = batch.next();
        self.failing = false;
        self.rotation_due |= writer.is_long();
        let (answers, mut unsynced) = batch.written();
        self.unsynced.append(&mut unsynced);
        self.spare = Some(batch);
        answers
    }

    /// Takes a failed batch back. Those who queued up behind it are refused with it: their numbers follow numbers that
    /// are free again, and trying each of them on a disk that refuses would only make them wait.
    pub(super) fn batch_failed(&mut self, mut batch: Batch, head: &str, error: &AppendError) -> Vec<Answer> {
        let behind = std::mem::replace(&mut self.pending, Batch::new(0));
        batch.join(behind);
        let (kept, answers) = batch.withdraw(head, error);
        self.pending = kept;
        self.failing = true;
        self.counters.failures += 1;
        answers
    }

    pub(super) fn return_writer(&mut self, writer: Writer) {
        if !Arc::ptr_eq(&self.segment, writer.segment()) {
            self.segment = Arc::clone(writer.segment());
        }
        self.torn = writer.is_torn();
        self.writer = Some(writer);
    }

    /// Everything below `sequence` is safe; answers those who waited for that.
    pub(super) fn batch_synced(&mut self, sequence: u64) -> Vec<Answer> {
        self.synced = sequence;
        self.counters.syncs += 1;
        let safe = self.unsynced.extract_if(.., |(waiting, _)| *waiting < sequence);
        safe.map(|(waiting, sender)| (sender, Ok(waiting))).collect()
    }

    /// Gives up on what was written and not synced; answers those who waited for it.
    pub(super) fn sync_failed(&mut self, error: &AppendError) -> Vec<Answer> {
        self.synced = self.written;
        self.counters.failures += 1;
        self.unsynced.drain(..).map(|(_, sender)| (sender, Err(error.clone()))).collect()
    }
}
