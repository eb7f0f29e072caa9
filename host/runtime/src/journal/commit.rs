//! Who writes: the caller that finds nobody writing leads, the others follow.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};

use tokio::sync::oneshot;

use super::batch::{Answer, Batch, Message, Waiter};
use super::segment::Writer;
use super::state::{State, ThreadIs};
use super::{AppendError, JournalCounters, JournalOptions, MAX_LINE_BYTES};
use crate::poison;

/// Buffered lines that nobody waits for are left to the thread up to this size; beyond it their caller writes them,
/// because the thread may be in a slow sync.
const SPILL_BYTES: usize = 256 << 10;

/// What a caller wants of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Wait for the sync.
    Strict,
    /// Wait for the write.
    Group,
    /// Wait for nothing, and leave the writing to others where that is possible.
    Async,
    /// Wait for nothing, but write at once if nobody else does.
    Now,
}

/// How far an append came without waiting.
#[derive(Debug)]
pub(super) enum Submitted {
    /// To its end: the record's number.
    Done(u64),
    /// The rest comes here.
    Waiting(oneshot::Receiver<Message>),
}

/// The journal without its thread.
#[derive(Debug)]
pub(super) struct Shared {
    /// A lock, because numbering must be one order; held for moving bytes, never during input or output.
    state: Mutex<State>,
    /// The thread sleeps here, and nobody else.
    pub(super) wake: Condvar,
    /// What every line begins with, up to the number.
    head: String,
    pub(super) options: JournalOptions,
    /// A thread syncs and takes care of what is left over. Without one, every write is final at once.
    threaded: bool,
}

impl Shared {
    pub(super) fn new(host: &str, next: u64, writer: Writer, options: JournalOptions, threaded: bool) -> Shared {
        Shared {
            state: Mutex::new(State::new(next, writer)),
            wake: Condvar::new(),
            head: format!(r#"{{"v":1,"record":"{host}/"#),
            options,
            threaded,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        poison::lock(&self.state)
    }

    /// Accepts a record and, if nobody writes, writes it with everything else that waits.
    pub(super) fn submit(&self, body: &[u8], wish: Wish) -> Result<Submitted, AppendError> {
        let line_bytes = self.check(body)?;
        let mut state = self.lock();
        if state.pending.bytes().len() + line_bytes > self.options.buffer_bytes {
            return Err(AppendError::Full);
        }
        let leads = state.is_free() && self.is_worth_writing(&state, wish);
        let (waiter, receiver) = self.waiter(wish, leads, state.failing);
        let is_accepted = matches!(waiter, Waiter::Nobody);
        let sequence = state.pending.push(&self.head, body, waiter);
        let result = if leads {
            self.lead(state)
        } else {
            self.wake_thread(&mut state);
            Ok(())
        };
        match receiver {
            Some(receiver) => Ok(Submitted::Waiting(receiver)),
            None if is_accepted => Ok(Submitted::Done(sequence)),
            None => result.map(|()| Submitted::Done(sequence)),
        }
    }

    /// The line's length, at most.
    fn check(&self, body: &[u8]) -> Result<usize, AppendError> {
        const LONGEST_NUMBER_AND_FRAME: usize = 32;
        let line_bytes = self.head.len() + body.len() + LONGEST_NUMBER_AND_FRAME;
        if line_bytes > MAX_LINE_BYTES {
            return Err(AppendError::TooLong { bytes: body.len() });
        }
        if body.is_empty() || body.contains(&b'\n') {
            return Err(AppendError::Malformed);
        }
        Ok(line_bytes)
    }

    fn is_worth_writing(&self, state: &State, wish: Wish) -> bool {
        wish != Wish::Async || !self.threaded || state.failing || state.pending.bytes().len() >= SPILL_BYTES
    }

    fn waiter(&self, wish: Wish, leads: bool, failing: bool) -> (Waiter, Option<oneshot::Receiver<Message>>) {
        match wish {
            Wish::Strict if self.threaded => {
                let (sender, receiver) = oneshot::channel();
                (Waiter::Synced(sender), Some(receiver))
            }
            Wish::Strict | Wish::Group if !leads => {
                let (sender, receiver) = oneshot::channel();
                (Waiter::Written(sender), Some(receiver))
            }
            // While writes fail, a caller that can be told the truth is not given a promise.
            Wish::Async if leads && failing => (Waiter::Leader, None),
            Wish::Async => (Waiter::Nobody, None),
            Wish::Now if !leads => (Waiter::Nobody, None),
            Wish::Strict | Wish::Group | Wish::Now => (Waiter::Leader, None),
        }
    }

    /// Writes what waits, if nobody else does.
    fn lead(&self, mut state: MutexGuard<'_, State>) -> Result<(), AppendError> {
        if !state.is_free() || state.pending.is_empty() {
            return Ok(());
        }
        let Some(writer) = state.writer.take() else {
            return Ok(());
        };
        let result = self.write_pending(state, writer);
        self.hand_over();
        result
    }

    /// Writes what waits as one batch, with the lock released, and answers those who waited for it. With nothing to
    /// write, only a torn line is cut off.
    pub(super) fn write_pending(
        &self,
        mut state: MutexGuard<'_, State>,
        mut writer: Writer,
    ) -> Result<(), AppendError> {
        if state.pending.is_empty() {
            drop(state);
            let mended = writer.mend().map_err(|error| AppendError::Write(Arc::new(error)));
            let mut state = self.lock();
            state.counters.failures += u64::from(mended.is_err());
            state.failing = mended.is_err();
            state.return_writer(writer);
            return mended;
        }
        let batch = state.take_pending();
        drop(state);
        let written = writer.write(&batch).map_err(|error| AppendError::Write(Arc::new(error)));
        let mut state = self.lock();
        let answers = match &written {
            Ok(()) => state.batch_written(batch, &writer),
            Err(error) => state.batch_failed(batch, &self.head, error),
        };
        state.return_writer(writer);
        self.wake_thread(&mut state);
        drop(state);
        send(answers);
        written
    }

    /// Offers the lead to the first caller that still waits. What only callers that have gone or got their answer
    /// left behind is the thread's, or without one, is written here.
    pub(super) fn hand_over(&self) {
        loop {
            let mut state = self.lock();
            if !state.is_free() || state.pending.is_empty() {
                return;
            }
            match state.pending.offer_lead() {
                Some((sender, offer)) => {
                    drop(state);
                    // Refused, if the caller went this moment; the next round passes over it.
                    if sender.send(offer).is_ok() {
                        return;
                    }
                }
                None if self.threaded || state.failing => return self.wake_thread(&mut state),
                None => {
                    let Some(writer) = state.writer.take() else {
                        return;
                    };
                    // Those who waited have been answered; a failure is counted and tried again at the next append.
                    let _ = self.write_pending(state, writer);
                }
            }
        }
    }

    pub(super) fn wake_thread(&self, state: &mut State) {
        if !state.should_wake_thread() {
            return;
        }
        // A reservation holds until the thread itself has the writer.
        if state.thread != ThreadIs::Reserving {
            state.thread = ThreadIs::Awake;
        }
        self.wake.notify_one();
    }

    /// Adds a line of the journal's own, in front of nothing that has a number already.
    pub(super) fn note(&self, pending: &mut Batch, body: &str) {
        pending.push(&self.head, body.as_bytes(), Waiter::Nobody);
    }

    /// Accounts for a torn line that was cut off. If it cannot be written now, it waits like any accepted line.
    pub(super) fn note_repair(&self, cut_bytes: u64) {
        let mut state = self.lock();
        state.counters.repaired_bytes = cut_bytes;
        self.note(&mut state.pending, &format!(r#""kind":"repair","cut_bytes":{cut_bytes}"#));
        let _ = self.lead(state);
    }

    pub(super) fn flush(&self) -> Result<(), AppendError> {
        let mut state = self.lock();
        if !self.threaded {
            return self.lead(state);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        state.flushers.push(sender);
        self.wake_thread(&mut state);
        drop(state);
        receiver.recv().unwrap_or(Err(AppendError::Closed))
    }

    /// Asks the thread for a last round.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        self.wake_thread(&mut state);
    }

    pub(super) fn counters(&self) -> JournalCounters {
        self.lock().counters
    }

    pub(super) fn is_failing(&self) -> bool {
        self.lock().failing
    }
}

/// Sends answers; a caller that has gone does not want its own.
pub(super) fn send(answers: Vec<Answer>) {
    for (sender, answer) in answers {
        let _ = sender.send(Message::Done(answer));
    }
}

/// A caller whose record somebody else may write.
pub(super) struct Follower<'a> {
    shared: &'a Shared,
    /// Taken when the answer has come.
    receiver: Option<oneshot::Receiver<Message>>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(shared: &'a Shared, receiver: oneshot::Receiver<Message>) -> Follower<'a> {
        Follower { shared, receiver: Some(receiver) }
    }

    pub(super) async fn answer(mut self) -> Result<u64, AppendError> {
        while let Some(receiver) = &mut self.receiver {
            let message = receiver.await;
            self.receiver = None;
            match message {
                Ok(Message::Done(answer)) => return answer,
                Ok(Message::Lead(receiver)) => {
                    self.receiver = Some(receiver);
                    // The result comes through the receiver, whoever writes.
                    let _ = self.shared.lead(self.shared.lock());
                }
                Err(_) => break,
            }
        }
        Err(AppendError::Closed)
    }
}

impl Drop for Follower<'_> {
    /// Passes on an offer of the lead that came and was never read.
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        receiver.close();
        // The offer holds the receiver of this record's answer. It must be gone before the lead is offered again, or
        // the offer would come straight back here.
        let was_offered = matches!(receiver.try_recv(), Ok(Message::Lead(_)));
        if was_offered {
            self.shared.hand_over();
        }
    }
}
