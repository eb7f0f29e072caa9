//! A policy's module under one configuration and its limits, ready to judge: shared by all policies and generations that
//! say the same.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compiled::Blank;
use crate::digest::Digest;
use crate::pool::Pool;
use crate::rego::Calls;

/// A policy that can judge, however many names it has.
pub(crate) struct Variant {
    pub(crate) pool: Arc<Pool>,
    pub(crate) note: Note,
    /// What other configurations of its module can begin with; none where it was not needed.
    pub(crate) blank: Option<Blank>,
}

/// What is known of a variant once it has been made, kept beside its code.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Digest of the snapshot its evaluations start from; none where it is configured at each start.
    pub(crate) snapshot: Option<Digest>,
    /// Why there is no snapshot, or why it was not trained.
    pub(crate) plain: Option<String>,
    /// Why its instances cannot be put back after a call.
    pub(crate) unrestorable: Option<String>,
    /// Most fuel one of its samples took.
    pub(crate) sample_fuel: u64,
    /// Pages its evaluations write.
    pub(crate) pages: Vec<usize>,
    /// How it is called, where it is a module of OPA's.
    #[serde(default)]
    pub(crate) rego: Calls,
}
