//! The thread behind a log on disk: it syncs, rotates, and writes what nobody else is there to write.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use super::AppendError;
use super::commit::{Shared, send};
use super::segment::Writer;
use super::state::{State, ThreadIs};

/// After a failed write, the thread waits this many times longer before it tries again unasked.
const BACK_OFF: u32 = 100;

impl Shared {
    /// Works until the journal is dropped.
    pub(super) fn run(&self) {
        loop {
            let is_last = self.wait_for_work();
            self.round();
            if is_last {
                return;
            }
        }
    }

    /// Sleeps until there is work and a group of it has gathered; answers whether this is the last round.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock();
        while !state.has_work() {
            state.thread = ThreadIs::Idle;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let since = Instant::now();
        while !state.is_urgent() {
            let backing_off = state.failing;
            let delay = self.options.sync_every * if backing_off { BACK_OFF } else { 1 };
            let Some(left) = delay.checked_sub(since.elapsed()) else {
                break;
            };
            state.thread = ThreadIs::Gathering { backing_off };
            let waited = self.wake.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.thread = ThreadIs::Awake;
        state.closing
    }

    /// Writes what waits, syncs what is written, rotates if it is time, and answers callers of `flush`.
    pub(super) fn round(&self) {
        let flushers = std::mem::take(&mut self.lock().flushers);
        let result = self.write_leftovers().and(self.sync());
        self.rotate();
        for flusher in flushers {
            let _ = flusher.send(result.clone());
        }
    }

    fn write_leftovers(&self) -> Result<(), AppendError> {
        if !self.lock().has_leftovers() {
            return Ok(());
        }
        let (state, writer) = self.reserve_writer();
        let result = self.write_pending(state, writer);
        self.hand_over();
        result
    }

    /// Waits for whoever writes now; nobody else gets in between.
    fn reserve_writer(&self) -> (MutexGuard<'_, State>, Writer) {
        let mut state = self.lock();
        loop {
            if let Some(writer) = state.writer.take() {
                state.thread = ThreadIs::Awake;
                return (state, writer);
            }
            state.thread = ThreadIs::Reserving;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Syncs everything written so far while others go on writing.
    fn sync(&self) -> Result<(), AppendError> {
        let state = self.lock();
        if state.synced == state.written {
            return Ok(());
        }
        let (segment, written) = (Arc::clone(&state.segment), state.written);
        drop(state);
        match segment.sync() {
            Ok(()) => {
                let answers = self.lock().batch_synced(written);
                send(answers);
                Ok(())
            }
            Err(error) => {
                let (state, writer) = self.reserve_writer();
                Err(self.abandon_segment(state, writer, error))
            }
        }
    }

    /// After a failed sync: with the writer in hand nothing more can get into the old segment, so the range is final.
    fn abandon_segment(
        &self,
        mut state: MutexGuard<'_, State>,
        mut writer: Writer,
        error: std::io::Error,
    ) -> AppendError {
        let error = AppendError::Sync(Arc::new(error));
        writer.abandon_segment();
        let (from, to) = (state.synced, state.written - 1);
        let note = format!(r#""kind":"sync_failed","unsynced_from":{from},"unsynced_to":{to}"#);
        self.note(&mut state.pending, &note);
        let answers = state.sync_failed(&error);
        // A failure leaves the note waiting for the next append.
        let _ = self.write_pending(state, writer);
        send(answers);
        self.hand_over();
        error
    }

    /// Goes on to a new segment once the old one is long enough. The old one is synced first, so that power loss
    /// never takes records out of the middle of the log; callers meanwhile wait without holding a thread.
    fn rotate(&self) {
        if !self.lock().rotation_due {
            return;
        }
        let (mut state, mut writer) = self.reserve_writer();
        state.rotation_due = false;
        let (first, is_dirty) = (state.written, state.synced < state.written);
        drop(state);
        if is_dirty {
            match writer.segment().sync() {
                Ok(()) => send(self.lock().batch_synced(first)),
                Err(error) => {
                    self.abandon_segment(self.lock(), writer, error);
                    return;
                }
            }
        }
        let is_started = writer.rotate(first).is_ok();
        let mut state = self.lock();
        state.counters.failures += u64::from(!is_started);
        state.return_writer(writer);
        drop(state);
        self.hand_over();
    }
}
