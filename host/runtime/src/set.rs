//! What a checked policy set is.
//!
//! [`parse`] reads `weir.toml` and either answers a [`Set`] in which every name, pattern, limit and date has been
//! checked, or all errors with their places. The modules themselves are not looked at here.
//!
//! Parts: `scope` (patterns), `limits` (the bounds of one evaluation), `config` (configuration as JSON, with
//! places), `reader` (the walk over spanned TOML that collects errors), `sections` (what each table means).

mod config;
mod limits;
mod reader;
mod scope;
mod sections;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::Serialize;

use crate::shape::Shape;
use crate::verdict::Effect;

pub(crate) use config::canonical_json;
pub(crate) use limits::Limits;
pub(crate) use scope::Pattern;
pub(crate) use scope::is_checkpoint_name;
pub(crate) use sections::parse;

/// Everything one `weir.toml` says, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Set {
    /// The set's name.
    pub name: String,
    /// Who answers for it, and for every policy that names nobody else.
    pub owner: Option<String>,
    /// The registered systems by name.
    pub systems: BTreeMap<String, System>,
    /// The checkpoints that differ from the default; ask [`Set::checkpoint`].
    pub checkpoints: BTreeMap<String, Checkpoint>,
    /// The policies in the order of the file.
    pub policies: Vec<Binding>,
    /// Files of test cases, as paths of the kind that `module` is.
    pub cases: Vec<String>,
    /// Tenants with a share or a class of their own, in the order of the file.
    pub tenants: Vec<Tenant>,
}

impl Set {
    /// What holds at a checkpoint, whether the set names it or not.
    pub(crate) fn checkpoint(&self, name: &str) -> Checkpoint {
        self.checkpoints.get(name).copied().unwrap_or_default()
    }
}

/// One module under a name: where it applies, what it may use and what happens when it fails.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binding {
    /// The policy's name.
    pub name: String,
    /// Path of the module: relative to the set, `/` between its parts, never leaving the folder.
    pub module: String,
    /// Checkpoints where it applies; `None`: those that the module's manifest names.
    pub checkpoints: Option<Vec<Pattern>>,
    /// Systems it applies to; default: all.
    pub systems: Vec<Pattern>,
    /// Context keys and what they must match; default: nothing. A key that a request lacks: the policy applies.
    pub when: BTreeMap<String, Vec<Pattern>>,
    /// Whether it takes part in rulings.
    pub mode: Mode,
    /// Who answers for it; the set's owner when the policy names nobody.
    pub owner: Option<String>,
    /// What its failure counts as.
    pub on_failure: OnFailure,
    /// The rules it exists for: identifiers of regimes, or of the house.
    pub because: Vec<String>,
    /// What one evaluation may use.
    pub limits: Limits,
    /// What keeps evaluations apart.
    pub isolation: Isolation,
    /// Capabilities it may use; default: none.
    pub grants: BTreeSet<Grant>,
    /// Its configuration: an object, `{}` by default.
    pub config: serde_json::Value,
    /// Which entry point of a module of OPA's is asked; none where it has one alone.
    pub entrypoint: Option<String>,
    /// What a module of OPA's is given as its input; none: the request.
    pub input: Option<Shape>,
    /// Where the set names it.
    pub place: Place,
    /// Where each value of the configuration stands; [`Binding::config_place`] reads it.
    config_places: Option<config::Places>,
}

impl Binding {
    /// A policy with every setting at its default.
    pub(crate) fn new(name: impl Into<String>, module: impl Into<String>) -> Binding {
        Binding {
            name: name.into(),
            module: module.into(),
            checkpoints: None,
            systems: vec![Pattern::new("*")],
            when: BTreeMap::new(),
            mode: Mode::default(),
            owner: None,
            on_failure: OnFailure::default(),
            because: Vec::new(),
            limits: Limits::default(),
            isolation: Isolation::default(),
            grants: BTreeSet::new(),
            config: serde_json::json!({}),
            entrypoint: None,
            input: None,
            place: Place::default(),
            config_places: None,
        }
    }

    /// Where the configuration's value at a JSON pointer stands, or what encloses it: a value above it, the
    /// configuration, or the policy.
    pub(crate) fn config_place(&self, pointer: &str) -> Place {
        self.config_places.as_ref().map_or(self.place, |places| places.nearest(pointer))
    }
}

/// What keeps the evaluations of a policy apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Each has an instance that was put back to what it started as; where that is not possible, a fresh one. The default.
    #[default]
    Restore,
    /// Each has a fresh instance, which is dropped afterwards.
    Fresh,
    /// An instance is used again as the evaluation before has left it: nothing is kept apart.
    Reuse,
}

impl Isolation {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Isolation::Restore => "restore",
            Isolation::Fresh => "fresh",
            Isolation::Reuse => "reuse",
        }
    }
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a policy's failure counts as; `deny` by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnFailure {
    /// What a failure counts as until the last day.
    pub effect: Effect,
    /// The last day on which a failure counts as anything looser than `deny`.
    pub until: Option<Date>,
    /// Who approved anything looser than `deny`.
    pub approved_by: Vec<String>,
}

impl OnFailure {
    /// What a failure counts as on a day.
    ///
    /// `until` itself is still inside. Without it nothing looser than `deny` counts: what never expires was never
    /// approved.
    pub(crate) fn counts_as(&self, today: Date) -> Effect {
        match self.until {
            Some(until) if today <= until => self.effect,
            _ => Effect::Deny,
        }
    }
}

impl Default for OnFailure {
    fn default() -> Self {
        OnFailure { effect: Effect::Deny, until: None, approved_by: Vec::new() }
    }
}

/// Whether a policy takes part in rulings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It runs and its verdict counts. The default.
    #[default]
    Enforce,
    /// It runs and its verdict is only noted.
    Shadow,
    /// It does not run.
    Off,
}

impl Mode {
    /// The word in the set.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
            Mode::Off => "off",
        }
    }
}

/// A capability that a policy may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grant {
    /// Lines for the host's log.
    Log,
    /// Counters that outlive an evaluation: `state.take`.
    State,
    /// `rand.intn` of Rego, which follows from the request's id.
    Rand,
    /// `uuid.rfc4122` of Rego, alike.
    Uuid,
}

impl Grant {
    /// The word in the set and in manifests.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Grant::Log => "log",
            Grant::State => "state",
            Grant::Rand => "rand",
            Grant::Uuid => "uuid",
        }
    }
}

/// A registered AI system: what every request of it says, whatever its caller says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct System {
    /// Where it runs, as region codes.
    pub deployed_in: Vec<String>,
    /// Whom it affects, as region codes.
    pub affects: Vec<String>,
    /// The industry it serves.
    pub industry: Option<String>,
    /// What it is used for.
    pub use_case: Option<String>,
    /// The set's part in it, such as `provider` or `deployer`.
    pub role: Option<String>,
    /// Its tier of risk, such as `high`.
    pub risk_tier: Option<String>,
}

/// What holds at one checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Checkpoint {
    /// The answer where no policy applies.
    pub when_unbound: WhenUnbound,
    /// The answer when the decision cannot be recorded.
    pub when_record_fails: WhenRecordFails,
    /// When a record counts as written.
    pub durability: Durability,
}

/// The answer where no policy applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenUnbound {
    /// Deny, decided by `unbound`. The default.
    #[default]
    Deny,
    /// Allow.
    Allow,
}

/// The answer when the decision cannot be recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenRecordFails {
    /// Deny, decided by `record`. The default.
    #[default]
    Deny,
    /// Let the ruling stand and count it on a metric of its own.
    AllowAndCount,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Durability {
    /// On the disk before the answer.
    Strict,
    /// On the disk within one short group of records. The default.
    #[default]
    Group,
    /// Handed over; the disk follows.
    Async,
}

/// Tenants that match a pattern, and their part of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Tenant {
    /// Which tenants.
    #[serde(skip)]
    pub pattern: Pattern,
    /// Share of the machine under load: 1 to 1000, default 1.
    pub weight: u32,
    /// The class of its requests; a request may lower it, never raise it.
    pub class: Class,
}

/// How urgent the requests of a tenant are, the most urgent first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Somebody waits for the answer.
    Interactive,
    /// The default.
    #[default]
    Normal,
    /// Waits for everybody else and is never shed.
    Bulk,
}

/// A place in the text of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Default for Place {
    /// The start of the text.
    fn default() -> Self {
        Place { line: 1, column: 1 }
    }
}
