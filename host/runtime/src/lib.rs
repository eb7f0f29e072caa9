#![doc = include_str!("../../../README.md")]
//!
//! # Parts
//!
//! [`Runtime`] judges a [`Request`] by the policies of a [`Source`] and answers a [`Decision`]; [`Recorder`] keeps the
//! evidence, [`Report`] says why a set was refused, [`inspect`] looks into a module. The stages in between, in the order
//! of the path: `request`, `system`, `select`, `reads`, `instance`, `verdict`, `combine`, `record`, `decision`.

// The path of a request.
mod request;
mod system;
mod select;
mod reads;
mod cores;
mod schedule;
mod pool;
mod restore;
mod instance;
mod abi;
mod hostcalls;
mod state;
mod engine;
mod verdict;
mod combine;
mod judging;
mod evaluation;
mod record;
mod journal;
mod decision;
mod permit;

// The path of a set.
mod set;
mod shape;
mod report;
mod watcher;
mod loader;
mod lock;
mod inspect;
mod manifest;
mod schema;
mod compile_worker;
mod compiler;
mod compiled;
mod snapshot;
mod replace;
mod rewrite;
mod wasi;
mod rego;
mod preflight;
mod variant;
mod plan;
mod generation;
mod registry;
mod history;
mod publisher;
mod follow;

// Both.
mod runtime;
mod trial;
mod metrics;
mod digest;
mod poison;
mod thread;
mod json;
mod text;

pub use combine::{MergedEdit, MergedObligation, PolicyFinding};
pub use compile_worker::{CompileLimits, compile_worker};
pub use compiler::{Compiler, Compiling};
pub use decision::{Decision, PolicyReport};
pub use digest::Digest;
pub use follow::{Following, Watch};
pub use generation::{Generation, GenerationId, GenerationNumber};
pub use inspect::{Abi, Inspection, Item};
pub use loader::{Source, lock, read_module};
pub use lock::Lock;
pub use manifest::Manifest;
pub use metrics::{Metrics, RecordMetrics, SetMetrics};
pub use permit::{Denied, Part, Permit};
pub use plan::{Change, Plan, PlannedLimits, PlannedPolicy};
pub use pool::InstanceMetrics;
pub use preflight::inspect;
pub use publisher::{GenerationEvent, RollbackError};
pub use record::{NoteKind, Recorder, RecorderError};
pub use rego::RegoModule;
pub use report::{LoadError, Report, SetError};
pub use request::{DEFAULT_TENANT, Request, RequestError, RequestLimits};
pub use runtime::{Builder, Caller, OpenError, Runtime, check};
pub use schedule::{Refusal, RefusalReason, ScheduleMetrics};
pub use set::{Class, Isolation};
pub use state::StateMetrics;
pub use trial::{Called, Trial, TrialOptions};
pub use verdict::{Edit, Effect, Failure, FailureKind, Finding, Obligation, Quantity, Severity, Verdict};
pub use watcher::WatchState;

/// Doors for fuzz targets; not part of the API.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    use crate::verdict::{Answer, decode};
    use crate::{Request, Verdict};

    /// Decodes a guest's answer to `request`; none where the guest says that it cannot judge.
    ///
    /// # Errors
    /// What keeps the bytes from being an answer.
    pub fn decode_verdict(bytes: &[u8], request: &Request) -> Result<Option<Verdict>, String> {
        match decode(bytes, request.root(), |at| at != "/payload/x").map_err(|error| error.message)? {
            Answer::Verdict(verdict) => Ok(Some(verdict)),
            Answer::Error(_) => Ok(None),
        }
    }
}
