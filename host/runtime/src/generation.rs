//! One immutable, loaded policy set.

use std::collections::HashMap;

use serde::Serialize;

use crate::digest::Digest;
use crate::instance::Template;
use crate::reads::Reads;
use crate::request::Request;
use crate::select::{Index, Scope};
use crate::set::{Checkpoint, OnFailure, Set};
use crate::system::{Case, RegisteredContext};

/// Names a generation in decisions and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GenerationId {
    /// Counts up with every set that comes into force.
    pub number: u64,
    /// SHA-256 of everything in the set.
    pub digest: Digest,
}

/// A loaded policy set: everything a request needs, and nothing that changes.
pub struct Generation {
    id: GenerationId,
    name: String,
    systems: HashMap<String, RegisteredContext>,
    rules: Set,
    policies: Vec<Policy>,
    index: Index,
}

/// One loaded policy.
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) module: Digest,
    pub(crate) config: Digest,
    pub(crate) shadow: bool,
    pub(crate) on_failure: OnFailure,
    pub(crate) reads: Reads,
    pub(crate) template: Template,
}

impl Generation {
    pub(crate) fn new(set: &Set, digest: Digest, policies: Vec<Policy>, scopes: Vec<Scope>) -> Generation {
        let systems = set.systems.iter().map(|(name, system)| (name.clone(), RegisteredContext::new(system)));
        Generation {
            id: GenerationId { number: 1, digest },
            name: set.name.clone(),
            systems: systems.collect(),
            rules: Set { checkpoints: set.checkpoints.clone(), ..Set::default() },
            policies,
            index: Index::new(scopes),
        }
    }

    /// Number and digest.
    pub fn id(&self) -> GenerationId {
        self.id
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the policies that are not off, in the order of the set.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| policy.name.as_str())
    }

    pub(crate) fn checkpoint(&self, name: &str) -> Checkpoint {
        self.rules.checkpoint(name)
    }

    pub(crate) fn case<'a>(&'a self, request: &'a Request) -> Case<'a> {
        Case { request, system: request.system().and_then(|name| self.systems.get(name)) }
    }

    /// The policies that apply, in the order of the set.
    pub(crate) fn select(&self, case: &Case<'_>) -> Vec<&Policy> {
        self.index.select(case).into_iter().map(|position| &self.policies[position]).collect()
    }
}
