//! One immutable, loaded policy set.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::plan::Plan;
use crate::pool::Pool;
use crate::reads::Reads;
use crate::request::Request;
use crate::select::{Index, Scope};
use crate::set::{Checkpoint, Class, Grant, Isolation, OnFailure, Set};
use crate::shape::Shape;
use crate::system::{Case, RegisteredContext};
use crate::variant::Variant;

/// Counts up with every set that comes into force in a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationNumber(u64);

impl GenerationNumber {
    /// The number of a host's first generation.
    pub(crate) const FIRST: GenerationNumber = GenerationNumber(1);

    /// The generation of this number, as somebody names it.
    pub fn new(number: u64) -> GenerationNumber {
        GenerationNumber(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn next(self) -> GenerationNumber {
        GenerationNumber(self.0 + 1)
    }
}

impl std::fmt::Display for GenerationNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a generation in decisions and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationId {
    /// Counts up with every set that comes into force.
    pub number: GenerationNumber,
    /// SHA-256 of everything in the set.
    pub digest: Digest,
}

/// A policy set that is or was in force, under its number. It never changes.
pub struct Generation {
    number: GenerationNumber,
    restores: Option<GenerationNumber>,
    since: Timestamp,
    loaded: Arc<Loaded>,
}

impl Generation {
    pub(crate) fn new(
        number: GenerationNumber,
        restores: Option<GenerationNumber>,
        loaded: Arc<Loaded>,
    ) -> Generation {
        Generation { number, restores, since: Timestamp::now(), loaded }
    }

    /// Number and digest.
    pub fn id(&self) -> GenerationId {
        GenerationId { number: self.number, digest: self.loaded.plan.digest }
    }

    /// The generation whose policies it brought back; none where it is no rollback.
    pub fn restores(&self) -> Option<GenerationNumber> {
        self.restores
    }

    /// When it came into force.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.loaded.plan.set
    }

    /// What it runs.
    pub fn plan(&self) -> &Plan {
        &self.loaded.plan
    }

    /// Names of the policies that are not off, in the order of the set.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.loaded.policies.iter().map(|policy| policy.name.as_str())
    }

    pub(crate) fn loaded(&self) -> &Arc<Loaded> {
        &self.loaded
    }
}

/// A loaded policy set: everything a request needs, and nothing that changes. Generations share it after a rollback.
pub(crate) struct Loaded {
    plan: Plan,
    systems: HashMap<String, RegisteredContext>,
    rules: Set,
    policies: Vec<Policy>,
    /// Those that are off: checked, and ready to be turned on.
    resting: Vec<Policy>,
    index: Index,
}

/// One loaded policy.
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) module: Digest,
    pub(crate) config: Digest,
    pub(crate) shadow: bool,
    /// Whether it may ask counters.
    pub(crate) counts: bool,
    pub(crate) on_failure: OnFailure,
    pub(crate) reads: Reads,
    /// The same number for all policies of the set that are given the same.
    pub(crate) reading: usize,
    pub(crate) grants: BTreeSet<Grant>,
    /// The isolation the set asks for; its pool knows what it came to.
    pub(crate) asked: Isolation,
    /// Shared by all policies and generations that say the same.
    pub(crate) variant: Arc<Variant>,
}

/// What equal readers are given is encoded once for each request.
fn number_readings(policies: &mut [Policy]) {
    let mut known: BTreeMap<(&[String], Option<&Shape>), usize> = BTreeMap::new();
    for Policy { reads, reading, .. } in policies {
        let next = known.len();
        *reading = *known.entry((reads.pointers(), reads.shape())).or_insert(next);
    }
}

impl Loaded {
    /// Joins the policies of a set; those that are off come apart.
    pub(crate) fn new(
        set: &Set,
        plan: Plan,
        (mut policies, scopes): (Vec<Policy>, Vec<Scope>),
        resting: Vec<Policy>,
    ) -> Loaded {
        number_readings(&mut policies);
        let systems = set.systems.iter().map(|(name, system)| (name.clone(), RegisteredContext::new(system)));
        Loaded {
            plan,
            systems: systems.collect(),
            rules: Set { checkpoints: set.checkpoints.clone(), tenants: set.tenants.clone(), ..Set::default() },
            policies,
            resting,
            index: Index::new(scopes),
        }
    }

    /// Says how many test cases it has judged as they say.
    pub(crate) fn with_cases(mut self, cases: usize) -> Loaded {
        self.plan.cases = cases;
        self
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn digest(&self) -> Digest {
        self.plan.digest
    }

    /// All policies, those that are off included.
    pub(crate) fn all_policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().chain(&self.resting)
    }

    /// The pools of what it judges with; one that many policies share comes more than once.
    fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.policies.iter().map(|policy| &policy.variant.pool)
    }

    /// Makes its first instances ready: it is about to be in force.
    pub(crate) fn warm(&self) {
        self.pools().for_each(|pool| pool.warm());
    }

    /// Begins to keep instances as they are needed.
    pub(crate) fn wake(&self) {
        self.pools().for_each(|pool| pool.wake());
    }

    /// Lets go of all instances that `successor` has no use for.
    pub(crate) fn rest(&self, successor: &Loaded) {
        let still: HashSet<*const Pool> = successor.pools().map(Arc::as_ptr).collect();
        self.pools().filter(|pool| !still.contains(&Arc::as_ptr(pool))).for_each(|pool| pool.rest());
    }

    /// The policy at a place of the set, those that are off left out.
    pub(crate) fn policy(&self, place: usize) -> Option<&Policy> {
        self.policies.get(place)
    }

    pub(crate) fn checkpoint(&self, name: &str) -> Checkpoint {
        self.rules.checkpoint(name)
    }

    /// The class and the share of a tenant: those of the first pattern in the set that matches.
    pub(crate) fn part_of(&self, tenant: &str) -> (Class, u32) {
        let part = self.rules.tenants.iter().find(|part| part.pattern.matches(tenant));
        part.map_or((Class::default(), 1), |part| (part.class, part.weight))
    }

    pub(crate) fn case<'a>(&'a self, request: &'a Request) -> Case<'a> {
        Case { request, system: request.system().and_then(|name| self.systems.get(name)) }
    }

    /// The policies that apply, in the order of the set.
    pub(crate) fn select(&self, case: &Case<'_>) -> Vec<&Policy> {
        self.index.select(case).into_iter().map(|position| &self.policies[position]).collect()
    }
}
