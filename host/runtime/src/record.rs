//! No decision without a record: the recorder writes the evidence of a ruling and makes the decision from it.
//!
//! A record is one JSON line: who asked what (as a digest), what each policy was given and logged, and the decision
//! itself. Whether the ruling stands when it cannot be written is the checkpoint's word.

mod last;

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use serde::Serialize;

use crate::combine::Ruling;
use crate::decision::{Decision, Written};
use crate::digest::Digest;
use crate::generation::GenerationId;
use crate::hostcalls::LogLine;
use crate::journal::{AppendError, Journal, JournalError};
use crate::metrics::{Counters, RecordMetrics};
use crate::set::{Checkpoint, Isolation, WhenRecordFails};
use crate::state::StateCall;
use crate::verdict::{Effect, Verdict};

/// Where records go.
#[derive(Debug)]
pub struct Recorder {
    journal: Journal,
    host: String,
    /// The generation that the records ended with when they were opened.
    last: Option<GenerationId>,
}

/// A folder that cannot take records: another process has it, or it cannot be read or written.
#[derive(Debug)]
pub struct RecorderError(JournalError);

impl std::fmt::Display for RecorderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RecorderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Recorder {
    /// JSON lines in files of a folder, made if it is missing; a torn last line is repaired, numbering goes on.
    ///
    /// One process at a time. Records are named after this machine's host name.
    ///
    /// # Errors
    /// The folder cannot be made, read or written, or another process records there.
    pub fn jsonl(folder: impl AsRef<Path>) -> Result<Recorder, RecorderError> {
        Recorder::jsonl_as(&host_name(), folder)
    }

    /// As [`Recorder::jsonl`], with a name of your own for the host.
    ///
    /// # Errors
    /// As [`Recorder::jsonl`].
    pub fn jsonl_as(host: &str, folder: impl AsRef<Path>) -> Result<Recorder, RecorderError> {
        let journal = Journal::open(folder.as_ref(), host).map_err(RecorderError)?;
        Ok(Recorder { journal, host: host.to_owned(), last: last::last_generation(folder.as_ref()) })
    }

    /// The last `capacity` records, in memory: for tests and trials.
    pub fn memory(capacity: usize) -> Recorder {
        Recorder { journal: Journal::memory(capacity), host: "memory".to_owned(), last: None }
    }

    /// Numbers records and forgets them: the floor to measure recording against. Never for decisions that matter.
    pub fn discard() -> Recorder {
        Recorder { journal: Journal::discard(), host: "discard".to_owned(), last: None }
    }

    /// The records that [`Recorder::memory`] keeps, oldest first; empty for files, which are theirs to read.
    pub fn lines(&self) -> Vec<String> {
        self.journal.lines()
    }

    /// Whether records can be written: what was tried last was, as far as is known.
    pub fn is_working(&self) -> bool {
        !self.journal.is_failing()
    }

    /// Records something that is no decision, and names the record; none where it cannot be written, which is counted.
    /// `details` must serialise to a JSON object. Written as soon as nobody else writes, and not waited for.
    pub fn note(&self, kind: NoteKind, details: &impl Serialize) -> Option<String> {
        let note = Note { kind, at: Timestamp::now(), details };
        let body = serde_json::to_vec(&note).ok()?;
        let sequence = self.journal.append_now(body.get(1..body.len() - 1)?).ok()?;
        Some(format!("{}/{sequence}", self.host))
    }

    pub(crate) fn last_generation(&self) -> Option<GenerationId> {
        self.last
    }

    pub(crate) fn counters(&self) -> RecordMetrics {
        let counters = self.journal.counters();
        RecordMetrics {
            written: counters.appended,
            groups: counters.batches,
            bytes: counters.bytes,
            syncs: counters.syncs,
            failures: counters.failures,
            repaired_bytes: counters.repaired_bytes,
        }
    }

    /// Writes out what is buffered and waits until it is on the disk.
    pub(crate) fn flush(&self) -> Result<(), AppendError> {
        self.journal.flush()
    }

    /// Records a ruling by the evidence written for it; the answer is what its caller may act on.
    pub(crate) async fn record(
        &self,
        mut decision: Decision,
        checkpoint: Checkpoint,
        counters: &Counters,
    ) -> Decision {
        match self.journal.append(members(&decision), checkpoint.durability).await {
            Ok(sequence) => decision.record = Some(format!("{}/{sequence}", self.host)),
            Err(_) => {
                counters.record_failures.fetch_add(1, Relaxed);
                decision.written = Written::default();
                if checkpoint.when_record_fails == WhenRecordFails::Deny {
                    decision.ruling = Ruling::by_host(Effect::Deny, "record");
                }
            }
        }
        counters.count(&decision);
        decision
    }

    /// Records what became of a request whose caller has gone; nobody waits for it.
    pub(crate) fn record_abandoned(&self, decision: &Decision, counters: &Counters) {
        if self.journal.append_now(members(decision)).is_err() {
            counters.record_failures.fetch_add(1, Relaxed);
        }
        counters.count(decision);
    }
}

/// The members of a decision's record without braces, as the journal takes them.
fn members(decision: &Decision) -> &[u8] {
    &decision.written.line[1..]
}

/// What a record is of that holds no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Somebody without a valid credential was refused.
    Credential,
    /// An operator changed what is in force, or tried to.
    Operator,
}

#[derive(Serialize)]
struct Note<'a, T> {
    kind: NoteKind,
    at: Timestamp,
    #[serde(flatten)]
    details: &'a T,
}

/// What a record says beside the decision.
#[derive(Serialize)]
pub(crate) struct Evidence<'a> {
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    /// Digest of the request as the policies saw it, what the host filled in included.
    pub(crate) request_digest: Digest,
    /// The time the policies were told.
    pub(crate) time: &'a str,
    pub(crate) policies: Vec<PolicyEvidence<'a>>,
}

/// What a record says about one policy beside its report in the decision.
#[derive(Serialize)]
pub(crate) struct PolicyEvidence<'a> {
    pub(crate) name: &'a str,
    /// Digest of the snapshot it started from; none where it was configured first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<Digest>,
    /// Where evaluations were not kept apart; then nobody can repeat this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<Isolation>,
    /// JSON pointers of what it was given; none for the whole request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reads: Option<&'a [String]>,
    /// Digest of the bytes it was given; none where they are those of `request_digest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) given: Option<Digest>,
    /// Its whole verdict, where it said more than an effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<&'a Verdict>,
    #[serde(skip_serializing_if = "<[LogLine]>::is_empty")]
    pub(crate) log: &'a [LogLine],
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) log_dropped: u64,
    /// What it asked of its counters and was told, in order: with this a replay needs none.
    #[serde(skip_serializing_if = "<[StateCall]>::is_empty")]
    pub(crate) host_calls: &'a [StateCall],
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Evidence<'_> {
    /// Renders the record of a decision, all but its own name.
    pub(crate) fn written(&self, decision: &Decision) -> Written {
        /// Room for most records without growing.
        const USUAL: usize = 2048;
        let mut line = Vec::with_capacity(USUAL);
        serde_json::to_writer(&mut line, self).expect("evidence always serialises into memory");
        line.pop();
        line.extend_from_slice(b",\"decision\":");
        decision.write(line)
    }
}

/// The kernel's name for this machine, in the characters a record's name may have.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.trim().chars().map(plain).take(64).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}
