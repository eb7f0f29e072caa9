//! What a set runs, in words: the answer of `check`, and what two generations are compared by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::digest::Digest;
use crate::set::Isolation;

/// What a set would run.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The set's name.
    pub set: String,
    /// Digest of everything in it.
    pub digest: Digest,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Its policies, in the order of the set.
    pub policies: Vec<PlannedPolicy>,
    /// The registered systems, as the set names their properties.
    pub systems: BTreeMap<String, Value>,
    /// The checkpoints that differ from the default.
    pub checkpoints: BTreeMap<String, Value>,
    /// The tenants with a share or a class of their own.
    pub tenants: BTreeMap<String, Value>,
    /// Test cases of the set that were judged as they say.
    pub cases: usize,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// One policy of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct PlannedPolicy {
    /// Its name in the set.
    pub name: String,
    /// Path of its module.
    pub module: String,
    /// Digest of the module.
    pub digest: Digest,
    /// Who answers for it.
    pub owner: Option<String>,
    /// `enforce`, `shadow` or `off`.
    pub mode: &'static str,
    /// Where it applies.
    pub checkpoints: Vec<String>,
    /// The systems it applies to.
    pub systems: Vec<String>,
    /// The context it applies in.
    pub when: BTreeMap<String, Vec<String>>,
    /// JSON pointers of what it is given; empty: the whole request.
    pub reads: Vec<String>,
    /// Capabilities it may use.
    pub grants: Vec<&'static str>,
    /// What its failure counts as, and until when.
    pub on_failure: String,
    /// What one evaluation may use.
    pub limits: PlannedLimits,
    /// Its configuration.
    pub config: Value,
    /// How many of its samples it judged.
    pub samples: usize,
    /// Most fuel one of its samples took.
    pub sample_fuel: u64,
    /// What keeps its evaluations apart.
    pub isolation: Isolation,
    /// Digest of the snapshot that evaluations start from; none where it is configured at each start.
    pub snapshot: Option<Digest>,
    /// Why there is no snapshot, or why it was not trained; none where nothing was in the way.
    pub plain: Option<String>,
    /// Bytes that are put back after each call, as far as was known when the set was loaded; 0 where none are.
    pub put_back_bytes: usize,
    /// Why its instances cannot be put back after a call; none where they can.
    pub unrestorable: Option<String>,
}

/// The bounds of one evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlannedLimits {
    /// Steps of the guest.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory_bytes: u64,
    /// Milliseconds on the clock.
    pub deadline_ms: u64,
    /// Bytes of the answer.
    pub output_bytes: u64,
    /// Calls into the host.
    pub host_calls: u32,
}

/// One difference between two generations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The table of the set: `policies`, `systems`, `checkpoints` or `tenants`; `set` for what stands outside of them.
    pub section: String,
    /// The name in that table; empty for `set`.
    pub name: String,
    /// What differs, as a path into the entry: `digest`, `limits.fuel`, `config.identifiers`; empty where the whole entry
    /// came or went.
    pub what: String,
    /// Its former value; none where there was none.
    pub before: Option<Value>,
    /// Its new value; none where there is none any more.
    pub after: Option<Value>,
}

impl Plan {
    /// The plan of a set without anything in it.
    pub(crate) fn of(set: impl Into<String>, digest: Digest) -> Plan {
        Plan {
            set: set.into(),
            digest,
            owner: None,
            policies: Vec::new(),
            systems: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            tenants: BTreeMap::new(),
            cases: 0,
            warnings: Vec::new(),
        }
    }

    /// What changed from `former` to this one, section by section, in the order of the names.
    pub fn changes_from(&self, former: &Plan) -> Vec<Change> {
        let mut changes = Vec::new();
        for ((section, before), (_, after)) in former.sections().iter().zip(&self.sections()) {
            let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                compare((section, name), String::new(), before.get(name), after.get(name), &mut changes);
            }
        }
        changes
    }

    fn sections(&self) -> [(&'static str, BTreeMap<String, Value>); 5] {
        // What was measured and made follows from the rest.
        let described = |policy: &PlannedPolicy| {
            let mut value = serde_json::to_value(policy).expect("plans always serialise");
            let members = value.as_object_mut().expect("a struct is an object");
            members.retain(|key, _| {
                !["name", "samples", "sample_fuel", "snapshot", "plain", "put_back_bytes", "unrestorable"]
                    .contains(&key.as_str())
            });
            value
        };
        let set = BTreeMap::from([(String::new(), json!({ "name": self.set, "owner": self.owner }))]);
        [
            ("set", set),
            ("systems", self.systems.clone()),
            ("checkpoints", self.checkpoints.clone()),
            ("policies", self.policies.iter().map(|policy| (policy.name.clone(), described(policy))).collect()),
            ("tenants", self.tenants.clone()),
        ]
    }
}

/// Objects are compared member by member, so that a long configuration shows only what changed in it.
fn compare(
    entry: (&str, &str),
    what: String,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<Change>,
) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let inside = if what.is_empty() { key.clone() } else { format!("{what}.{key}") };
                compare(entry, inside, before.get(key), after.get(key), changes);
            }
        }
        (before, after) => {
            let (section, name) = (entry.0.to_owned(), entry.1.to_owned());
            changes.push(Change { section, name, what, before: before.cloned(), after: after.cloned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, module: &[u8], fuel: u64, config: Value) -> PlannedPolicy {
        PlannedPolicy {
            name: name.into(),
            module: format!("{name}.wasm"),
            digest: Digest::of(module),
            owner: None,
            mode: "enforce",
            checkpoints: vec!["*".into()],
            systems: vec!["*".into()],
            when: BTreeMap::new(),
            reads: Vec::new(),
            grants: Vec::new(),
            on_failure: "deny".into(),
            limits: PlannedLimits { fuel, memory_bytes: 1, deadline_ms: 20, output_bytes: 1, host_calls: 1 },
            config,
            samples: module.len(),
            sample_fuel: 1,
            isolation: Isolation::Restore,
            snapshot: None,
            plain: None,
            put_back_bytes: 0,
            unrestorable: None,
        }
    }

    fn plan(policies: Vec<PlannedPolicy>) -> Plan {
        Plan { policies, ..Plan::of("s", Digest::of(b"")) }
    }

    #[test]
    fn changes_name_the_smallest_part_that_differs() {
        let before = plan(vec![
            policy("gone", b"1", 1, serde_json::json!({})),
            policy("stays", b"1", 1, serde_json::json!({"a": [1], "b": true})),
        ]);
        let after = plan(vec![
            policy("stays", b"22", 2, serde_json::json!({"a": [1, 2], "b": true})),
            policy("new", b"1", 1, serde_json::json!({})),
        ]);
        let changes = after.changes_from(&before);
        let told: Vec<(&str, &str)> = changes.iter().map(|c| (c.name.as_str(), c.what.as_str())).collect();
        let expected =
            [("gone", ""), ("new", ""), ("stays", "config.a"), ("stays", "digest"), ("stays", "limits.fuel")];
        assert_eq!(told, expected);
        assert!(changes[0].after.is_none() && changes[1].before.is_none());
        assert_eq!(changes[2].after, Some(serde_json::json!([1, 2])));
        assert_eq!(after.changes_from(&after), []);
    }

    #[test]
    fn changes_outside_of_policies_are_told() {
        let checkpoint = |unbound: &str| BTreeMap::from([("a.b".to_owned(), json!({ "when_unbound": unbound }))]);
        let before = Plan { checkpoints: checkpoint("deny"), ..plan(Vec::new()) };
        let after = Plan { checkpoints: checkpoint("allow"), owner: Some("o".into()), ..plan(Vec::new()) };
        let changes = after.changes_from(&before);
        let told: Vec<String> = changes.iter().map(|c| format!("{} {} {}", c.section, c.name, c.what)).collect();
        assert_eq!(told, ["set  owner", "checkpoints a.b when_unbound"]);
    }
}
