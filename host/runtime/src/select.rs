//! Which policies apply to a request.
//!
//! Selection fails closed: a scope key that the request lacks does not exclude a policy. It is indexed, so that a set
//! with ten thousand policies costs a request what ten do: each policy is filed under the most telling literal key of
//! its scope, and a request looks only at what is filed under its own values.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::set::Pattern;

/// Where a policy applies.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) checkpoints: Vec<Pattern>,
    pub(crate) systems: Vec<Pattern>,
    pub(crate) when: BTreeMap<String, Vec<Pattern>>,
}

/// What selection asks of a request.
pub(crate) trait Facts {
    fn checkpoint(&self) -> &str;
    /// The registered system; none where the request names none or an unknown one.
    fn system(&self) -> Option<&str>;
    /// The values of these context keys; a key that the request lacks is missing or empty.
    fn context(&self, wanted: &HashSet<String>) -> HashMap<String, Vec<String>>;
}

/// A property of requests that policies are filed under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Dimension {
    System,
    Context(String),
}

impl Dimension {
    fn values<'a>(&self, asked: &'a Asked<'_>) -> &'a [String] {
        match self {
            Dimension::System => asked.system.as_slice(),
            Dimension::Context(key) => asked.context(key),
        }
    }
}

/// What a request says about all that scopes ask for, gathered once.
struct Asked<'a> {
    checkpoint: &'a str,
    system: Option<String>,
    context: HashMap<String, Vec<String>>,
}

impl Asked<'_> {
    fn context(&self, key: &str) -> &[String] {
        self.context.get(key).map_or(&[], Vec::as_slice)
    }
}

/// Policies, by position, filed under the values of one dimension.
#[derive(Debug, Default)]
struct Drawer {
    by_value: HashMap<String, Vec<u32>>,
    all: Vec<u32>,
}

/// The policies of one checkpoint.
#[derive(Debug, Default)]
struct Shelf {
    drawers: BTreeMap<Dimension, Drawer>,
    /// Policies without a literal key: every request looks at them.
    open: Vec<u32>,
}

/// The scopes of all policies, ready to be asked.
#[derive(Debug)]
pub(crate) struct Index {
    scopes: Vec<Scope>,
    by_checkpoint: HashMap<String, Shelf>,
    /// Policies whose checkpoints are patterns.
    any_checkpoint: Shelf,
    /// All context keys that some scope asks for.
    keys: HashSet<String>,
}

impl Index {
    pub(crate) fn new(scopes: Vec<Scope>) -> Index {
        let mut by_checkpoint: HashMap<String, Vec<u32>> = HashMap::new();
        let mut any_checkpoint = Vec::new();
        for (position, scope) in scopes.iter().enumerate() {
            match literals(&scope.checkpoints) {
                Some(names) => {
                    names.for_each(|name| by_checkpoint.entry(name.to_owned()).or_default().push(position as u32))
                }
                None => any_checkpoint.push(position as u32),
            }
        }
        let shelf = |positions: Vec<u32>| Shelf::new(&scopes, positions);
        Index {
            by_checkpoint: by_checkpoint.into_iter().map(|(name, positions)| (name, shelf(positions))).collect(),
            any_checkpoint: shelf(any_checkpoint),
            keys: scopes.iter().flat_map(|scope| scope.when.keys().cloned()).collect(),
            scopes,
        }
    }

    /// Positions of the policies that apply, in the order of the set.
    pub(crate) fn select(&self, facts: &impl Facts) -> Vec<usize> {
        let asked = Asked {
            checkpoint: facts.checkpoint(),
            system: facts.system().map(str::to_owned),
            context: facts.context(&self.keys),
        };
        let mut candidates = Vec::new();
        if let Some(shelf) = self.by_checkpoint.get(asked.checkpoint) {
            shelf.collect(&asked, &mut candidates);
        }
        self.any_checkpoint.collect(&asked, &mut candidates);
        candidates.sort_unstable();
        candidates.dedup();
        let applies = |position: &usize| self.scopes[*position].applies(&asked);
        candidates.into_iter().map(|position| position as usize).filter(applies).collect()
    }
}

impl Scope {
    fn applies(&self, asked: &Asked<'_>) -> bool {
        let fits = |patterns: &[Pattern], value: &str| patterns.iter().any(|pattern| pattern.matches(value));
        let in_context = |(key, patterns): (&String, &Vec<Pattern>)| {
            let values = asked.context(key);
            values.is_empty() || values.iter().any(|value| fits(patterns, value))
        };
        fits(&self.checkpoints, asked.checkpoint)
            && asked.system.as_ref().is_none_or(|system| fits(&self.systems, system))
            && self.when.iter().all(in_context)
    }

    /// The dimensions this scope narrows by literal values only.
    fn literal_dimensions(&self) -> Vec<(Dimension, Vec<&str>)> {
        let system = literals(&self.systems).map(|names| (Dimension::System, names.collect()));
        let context = self.when.iter().filter_map(|(key, patterns)| {
            literals(patterns).map(|values| (Dimension::Context(key.clone()), values.collect()))
        });
        system.into_iter().chain(context).collect()
    }
}

impl Shelf {
    fn new(scopes: &[Scope], positions: Vec<u32>) -> Shelf {
        let dimensions: Vec<_> = positions.iter().map(|&p| (p, scopes[p as usize].literal_dimensions())).collect();
        let mut crowd: HashMap<(&Dimension, &str), usize> = HashMap::new();
        for (dimension, values) in dimensions.iter().flat_map(|(_, dimensions)| dimensions) {
            values.iter().for_each(|value| *crowd.entry((dimension, value)).or_default() += 1);
        }
        let most = |(dimension, values): &&(Dimension, Vec<&str>)| {
            values.iter().map(|value| crowd[&(dimension, *value)]).max().unwrap_or(0)
        };
        let mut shelf = Shelf::default();
        for (position, dimensions) in &dimensions {
            let Some((dimension, values)) = dimensions.iter().min_by_key(most) else {
                shelf.open.push(*position);
                continue;
            };
            let drawer = shelf.drawers.entry(dimension.clone()).or_default();
            drawer.all.push(*position);
            values.iter().for_each(|value| drawer.by_value.entry((*value).to_owned()).or_default().push(*position));
        }
        shelf
    }

    fn collect(&self, asked: &Asked<'_>, candidates: &mut Vec<u32>) {
        candidates.extend(&self.open);
        for (dimension, drawer) in &self.drawers {
            let values = dimension.values(asked);
            if values.is_empty() {
                candidates.extend(&drawer.all);
            }
            let filed = values.iter().filter_map(|value| drawer.by_value.get(value));
            filed.for_each(|positions| candidates.extend(positions));
        }
    }
}

/// The patterns as literal names, or none where one of them is a glob.
fn literals(patterns: &[Pattern]) -> Option<impl Iterator<Item = &str>> {
    patterns.iter().all(|pattern| pattern.literal().is_some()).then(|| patterns.iter().filter_map(Pattern::literal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Said {
        checkpoint: String,
        system: Option<String>,
        context: BTreeMap<String, Vec<String>>,
    }

    impl Facts for Said {
        fn checkpoint(&self) -> &str {
            &self.checkpoint
        }

        fn system(&self) -> Option<&str> {
            self.system.as_deref()
        }

        fn context(&self, wanted: &HashSet<String>) -> HashMap<String, Vec<String>> {
            self.context.clone().into_iter().filter(|(key, _)| wanted.contains(key)).collect()
        }
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(*text)).collect()
    }

    fn scope(checkpoints: &[&str], systems: &[&str], when: &[(&str, &[&str])]) -> Scope {
        let when = when.iter().map(|(key, texts)| ((*key).to_owned(), patterns(texts))).collect();
        Scope { checkpoints: patterns(checkpoints), systems: patterns(systems), when }
    }

    fn asked(checkpoint: &str, system: Option<&str>, context: &[(&str, &[&str])]) -> Said {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Said {
            checkpoint: checkpoint.to_owned(),
            system: system.map(str::to_owned),
            context: context.iter().map(|(key, values)| ((*key).to_owned(), owned(values))).collect(),
        }
    }

    #[test]
    fn a_key_the_request_lacks_does_not_exclude() {
        let index = Index::new(vec![
            scope(&["in"], &["*"], &[]),
            scope(&["in"], &["claims"], &[]),
            scope(&["in"], &["*"], &[("region", &["eu", "uk"])]),
            scope(&["in"], &["*"], &[("region", &["us-*"])]),
            scope(&["*"], &["hiring"], &[]),
            scope(&["out"], &["*"], &[]),
        ]);
        let select = |asked: Said| index.select(&asked);
        assert_eq!(select(asked("in", None, &[])), [0, 1, 2, 3, 4]);
        assert_eq!(select(asked("in", Some("claims"), &[("region", &["eu"])])), [0, 1, 2]);
        assert_eq!(select(asked("in", Some("hiring"), &[("region", &["us-nj"])])), [0, 3, 4]);
        assert_eq!(select(asked("in", Some("other"), &[("region", &["cn", "uk"])])), [0, 2]);
        assert_eq!(select(asked("out", Some("other"), &[])), [5]);
        assert_eq!(select(asked("elsewhere", Some("other"), &[])), [] as [usize; 0]);
    }

    fn word() -> impl Strategy<Value = String> {
        "[ab]{1,2}"
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        prop_oneof![4 => word(), 1 => Just("*".to_owned()), 1 => Just("a*".to_owned())].prop_map(Pattern::new)
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        let list = || prop::collection::vec(pattern(), 1..3);
        (list(), list(), prop::collection::btree_map("[xyz]", list(), 0..3))
            .prop_map(|(checkpoints, systems, when)| Scope { checkpoints, systems, when })
    }

    fn any_asked() -> impl Strategy<Value = Said> {
        let values = prop::collection::vec(word(), 0..3);
        (word(), prop::option::of(word()), prop::collection::btree_map("[xyz]", values, 0..4))
            .prop_map(|(checkpoint, system, context)| Said { checkpoint, system, context })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_walk_over_all_scopes_finds(
            scopes in prop::collection::vec(any_scope(), 0..40), asked in any_asked()
        ) {
            let said = Asked {
                checkpoint: &asked.checkpoint,
                system: asked.system.clone(),
                context: asked.context.clone().into_iter().collect(),
            };
            let walked: Vec<usize> = (0..scopes.len()).filter(|&i| scopes[i].applies(&said)).collect();
            prop_assert_eq!(Index::new(scopes).select(&asked), walked);
        }
    }
}
