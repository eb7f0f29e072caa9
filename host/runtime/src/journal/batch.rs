//! Lines that wait to be written, and who waits for them.

use std::io::Write as _;

use tokio::sync::oneshot;

use super::AppendError;

/// What a waiting caller is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Its record's number, or why there is none.
    Done(Result<u64, AppendError>),
    /// Nobody writes: take it up if that is still so, then wait for the answer here.
    Lead(oneshot::Receiver<Message>),
}

/// An answer and whom it goes to. Sent only after the lock is released: waking may run code of the executor.
pub(super) type Answer = (oneshot::Sender<Message>, Result<u64, AppendError>);

/// Who waits for a line.
#[derive(Debug)]
pub(super) enum Waiter {
    /// Nobody: the caller has its `Ok` already, has gone, or the line is the journal's own. Such a line is accepted
    /// for good and outlives failed writes.
    Nobody,
    /// The caller that writes the batch, which learns the result by returning.
    Leader,
    /// A future that waits for the write.
    Written(oneshot::Sender<Message>),
    /// A future that waits for the sync that covers the write.
    Synced(oneshot::Sender<Message>),
}

#[derive(Debug)]
struct Entry {
    /// Where the line ends in the batch's bytes.
    end: usize,
    waiter: Waiter,
}

/// Whole lines with consecutive numbers.
#[derive(Debug)]
pub(super) struct Batch {
    /// The number of the first line; of the next one to come, if there is none.
    first: u64,
    bytes: Vec<u8>,
    /// One for each line, in order.
    entries: Vec<Entry>,
}

impl Batch {
    pub(super) fn new(first: u64) -> Batch {
        Batch { first, bytes: Vec::new(), entries: Vec::new() }
    }

    /// The same buffers for other lines; a buffer that one burst made huge is given back to the system.
    pub(super) fn reuse(mut self, first: u64) -> Batch {
        const KEEP_BYTES: usize = 1 << 20;
        const KEEP_ENTRIES: usize = 1 << 12;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.entries.clear();
        self.entries.shrink_to(KEEP_ENTRIES);
        Batch { first, ..self }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number after the last line's.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn lines(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a line and answers with its number. `head` is everything in front of the number.
    pub(super) fn push(&mut self, head: &str, body: &[u8], waiter: Waiter) -> u64 {
        let sequence = self.next();
        self.bytes.extend_from_slice(head.as_bytes());
        write!(self.bytes, "{sequence}").expect("a vector takes every write");
        self.bytes.extend_from_slice(b"\",");
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(b"}\n");
        self.entries.push(Entry { end: self.bytes.len(), waiter });
        sequence
    }

    /// The answers of a written batch, and apart from them those who go on waiting for a sync.
    pub(super) fn written(&mut self) -> (Vec<Answer>, Vec<(u64, oneshot::Sender<Message>)>) {
        let (mut answers, mut unsynced) = (Vec::new(), Vec::new());
        for (sequence, entry) in (self.first..).zip(self.entries.drain(..)) {
            match entry.waiter {
                Waiter::Nobody | Waiter::Leader => {}
                Waiter::Written(sender) => answers.push((sender, Ok(sequence))),
                Waiter::Synced(sender) => unsynced.push((sequence, sender)),
            }
        }
        (answers, unsynced)
    }

    /// What is left of a batch that could not be written: the lines that were accepted for good, under the numbers
    /// they were given. All others are refused, and their numbers are free again, except those below a kept line:
    /// they become `withdrawn` lines, so that numbering stays without gaps.
    pub(super) fn withdraw(self, head: &str, error: &AppendError) -> (Batch, Vec<Answer>) {
        let (mut kept, mut answers) = (Batch::new(self.first), Vec::new());
        let (mut start, mut refused) = (0, 0);
        for Entry { end, waiter } in self.entries {
            match waiter {
                Waiter::Written(sender) | Waiter::Synced(sender) if !sender.is_closed() => {
                    answers.push((sender, Err(error.clone())));
                    refused += 1;
                }
                Waiter::Leader => refused += 1,
                // A caller that has gone cannot hear the refusal: its record is kept.
                Waiter::Nobody | Waiter::Written(_) | Waiter::Synced(_) => {
                    for _ in 0..std::mem::take(&mut refused) {
                        kept.push(head, br#""kind":"withdrawn""#, Waiter::Nobody);
                    }
                    kept.bytes.extend_from_slice(&self.bytes[start..end]);
                    kept.entries.push(Entry { end: kept.bytes.len(), waiter: Waiter::Nobody });
                }
            }
            start = end;
        }
        (kept, answers)
    }

    /// Adds the lines of the batch that follows this one.
    pub(super) fn join(&mut self, behind: Batch) {
        debug_assert_eq!(self.next(), behind.first, "only the next batch may be joined");
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&behind.bytes);
        let entries = behind.entries.into_iter();
        self.entries.extend(entries.map(|entry| Entry { end: entry.end + shift, ..entry }));
    }

    /// Offers the lead to the first caller that still waits: the message and whom it goes to.
    pub(super) fn offer_lead(&mut self) -> Option<(oneshot::Sender<Message>, Message)> {
        for entry in &mut self.entries {
            let (Waiter::Written(sender) | Waiter::Synced(sender)) = &mut entry.waiter else {
                continue;
            };
            if sender.is_closed() {
                entry.waiter = Waiter::Nobody;
                continue;
            }
            let (answer, receiver) = oneshot::channel();
            return Some((std::mem::replace(sender, answer), Message::Lead(receiver)));
        }
        None
    }
}
