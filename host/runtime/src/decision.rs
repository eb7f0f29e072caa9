//! What a caller gets: a recorded ruling with the part each policy had in it.
//!
//! Only the recorder makes one, so an unrecorded ruling is not something a caller can act on.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::combine::{MergedEdit, MergedObligation, PolicyFinding, Ruling};
use crate::digest::Digest;
use crate::generation::GenerationId;
use crate::request::Request;
use crate::verdict::{Effect, Failure, Verdict};

/// The recorded answer to one request.
#[derive(Debug, Clone)]
pub struct Decision {
    pub(crate) request: Request,
    pub(crate) record: Option<String>,
    pub(crate) generation: GenerationId,
    pub(crate) ruling: Ruling,
    pub(crate) policies: Vec<PolicyReport>,
    pub(crate) shadow: Vec<PolicyReport>,
    /// What its record says; nothing where it could not be recorded.
    pub(crate) written: Written,
}

/// A record, all but its own name, with the decision at its end.
#[derive(Clone, Default)]
pub(crate) struct Written {
    pub(crate) line: Vec<u8>,
    /// Where the decision begins.
    pub(crate) start: usize,
    /// Where it goes on behind the place of the record's name.
    pub(crate) rest: usize,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may hold what guests have logged, and the decision stands beside it.
        write!(f, "{} bytes", self.line.len())
    }
}

/// One policy's part in a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyReport {
    /// Its name in the set.
    pub name: String,
    /// Digest of its module.
    pub module: Digest,
    /// Digest of its configuration.
    pub config: Digest,
    /// What it said, or why it said nothing.
    pub outcome: Result<Verdict, Failure>,
    /// The effect its outcome counted as.
    pub counted_as: Effect,
    /// Fuel it spent on the request; after a failure that is a condition of the host, no more than a hint.
    pub fuel: u64,
    /// Linear memory it had at the end, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time, waiting included, in microseconds.
    pub micros: f64,
    /// Whether it ran in shadow: then its whole verdict is shown, since the ruling holds nothing of it.
    pub(crate) shadow: bool,
}

impl Decision {
    /// Allow, review or deny.
    pub fn effect(&self) -> Effect {
        self.ruling.effect
    }

    /// Names of the policies that decided, or `unbound` or `record`. Never empty.
    pub fn decided_by(&self) -> &[String] {
        &self.ruling.decided_by
    }

    /// All findings of the policies that count.
    pub fn findings(&self) -> &[PolicyFinding] {
        &self.ruling.findings
    }

    /// The replacements to make when the action goes on; they never overlap.
    pub fn edits(&self) -> &[MergedEdit] {
        &self.ruling.edits
    }

    /// The highest score of each name.
    pub fn scores(&self) -> &BTreeMap<String, f64> {
        &self.ruling.scores
    }

    /// What the caller has to do.
    pub fn obligations(&self) -> &[MergedObligation] {
        &self.ruling.obligations
    }

    /// Each policy that counted.
    pub fn policies(&self) -> &[PolicyReport] {
        &self.policies
    }

    /// Each policy that was only watched.
    pub fn shadow(&self) -> &[PolicyReport] {
        &self.shadow
    }

    /// Name of the record, such as `host-1/4711`; none where recording failed and the set allows to go on without.
    pub fn record(&self) -> Option<&str> {
        self.record.as_deref()
    }

    /// The generation that judged.
    pub fn generation(&self) -> GenerationId {
        self.generation
    }

    /// The request that was judged.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The JSON that its [`Serialize`] writes; quicker, since its record has been written already.
    pub fn to_json(&self) -> Vec<u8> {
        let Some(record) = &self.record else {
            // Another ruling may stand in place of the one that could not be recorded.
            return serde_json::to_vec(self).expect("a decision always serialises into memory");
        };
        let Written { line, start, rest } = &self.written;
        let mut json = Vec::with_capacity(line.len() - start + 16 + record.len());
        json.extend_from_slice(&line[*start..*rest]);
        json.extend_from_slice(b",\"record\":");
        serde_json::to_writer(&mut json, record).expect("text always serialises into memory");
        json.extend_from_slice(&line[*rest..]);
        json
    }

    /// Appends its JSON to what it is recorded by; the record's name is not in it, but in front of the line.
    pub(crate) fn write(&self, mut line: Vec<u8>) -> Written {
        let start = line.len();
        line.extend_from_slice(b"{\"v\":1,\"request\":");
        serde_json::to_writer(&mut line, self.request.id()).expect("text always serialises into memory");
        let rest = line.len();
        serde_json::to_writer(&mut line, &Rest(self)).expect("a decision always serialises into memory");
        // One object goes on where the other would begin.
        line[rest] = b',';
        Written { line, start, rest }
    }

    fn serialize_rest<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Ruling { effect, decided_by, findings, edits, scores, obligations } = &self.ruling;
        map.serialize_entry("generation", &self.generation)?;
        map.serialize_entry("checkpoint", self.request.checkpoint())?;
        map.serialize_entry("tenant", self.request.tenant())?;
        map.serialize_entry("system", &self.request.system())?;
        map.serialize_entry("effect", effect)?;
        map.serialize_entry("decided_by", decided_by)?;
        map.serialize_entry("findings", findings)?;
        map.serialize_entry("edits", edits)?;
        map.serialize_entry("scores", scores)?;
        map.serialize_entry("obligations", obligations)?;
        map.serialize_entry("review", &())?;
        map.serialize_entry("policies", &self.policies)?;
        map.serialize_entry("shadow", &self.shadow)
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &1)?;
        map.serialize_entry("request", self.request.id())?;
        map.serialize_entry("record", &self.record)?;
        self.serialize_rest(&mut map)?;
        map.end()
    }
}

/// What a decision says behind the names of its request and its record.
struct Rest<'a>(&'a Decision);

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.serialize_rest(&mut map)?;
        map.end()
    }
}

impl Serialize for PolicyReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("module", &self.module)?;
        map.serialize_entry("config", &self.config)?;
        match &self.outcome {
            Ok(verdict) if self.shadow => map.serialize_entry("verdict", verdict)?,
            Ok(verdict) => map.serialize_entry("effect", &verdict.effect)?,
            Err(failure) => {
                map.serialize_entry("failure", failure)?;
                map.serialize_entry("counted_as", &self.counted_as)?;
            }
        }
        // What a guest had burnt when the clock or its caller ended it differs from run to run.
        if !self.outcome.as_ref().is_err_and(|failure| failure.kind.is_host_condition()) {
            map.serialize_entry("fuel", &self.fuel)?;
        }
        map.serialize_entry("memory_bytes", &self.memory_bytes)?;
        map.serialize_entry("micros", &((self.micros * 10.0).round() / 10.0))?;
        map.end()
    }
}
