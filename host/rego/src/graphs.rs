//! Parts of values, and paths through graphs: `object.subset`, `graph.reachable_paths`.

use std::collections::{BTreeMap, BTreeSet};

use crate::arguments::{members, object};
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "object.subset", arguments: 2, call: subset },
    Builtin { name: "graph.reachable_paths", arguments: 2, call: paths },
];

/// Longest path through a graph, which is followed on the stack.
const LONGEST_PATH: usize = 1000;
/// What a node of a path that was found costs: it is copied, and compared with those of other paths.
const PATH_WORK: u64 = 400;

fn subset(context: &Context, arguments: &[Value]) -> Answer {
    let contained = match (&arguments[0], &arguments[1]) {
        (Value::Array(whole), Value::Set(part)) => {
            context.work((1 + whole.len()) as u64 * (1 + part.len()) as u64)?;
            // An empty set is found at the first member; without members there is none.
            !whole.is_empty() && part.iter().all(|member| whole.contains(member))
        }
        (Value::Object(_), Value::Object(_))
        | (Value::Set(_), Value::Set(_))
        | (Value::Array(_), Value::Array(_)) => contains(context, &arguments[0], &arguments[1])?,
        _ => return Err("both arguments object.subset must be of the same type or array and set".into()),
    };
    Ok(contained.into())
}

/// Objects by their keys and all below, sets by their members, lists by members that follow each other.
fn contains(context: &Context, whole: &Value, part: &Value) -> Result<bool, Error> {
    context.work(1)?;
    Ok(match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (key, value) in part {
                let Some(known) = whole.get(key) else { return Ok(false) };
                if !contains(context, known, value)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Set(whole), Value::Set(part)) => {
            context.work(part.len() as u64)?;
            part.is_subset(whole)
        }
        (Value::Array(whole), Value::Array(part)) => run(context, whole, part)?,
        _ => whole == part,
    })
}

/// As OPA looks for it: after a mismatch one place further, from the start of the part.
fn run(context: &Context, whole: &[Value], part: &[Value]) -> Result<bool, Error> {
    if part.is_empty() {
        return Ok(true);
    }
    for window in whole.windows(part.len()) {
        for (one, another) in window.iter().zip(part) {
            context.work(1)?;
            if one != another {
                break;
            }
        }
        if window == part {
            return Ok(true);
        }
    }
    Ok(false)
}

fn paths(context: &Context, arguments: &[Value]) -> Answer {
    let graph = object(&arguments[0], 1)?;
    let mut walk = Walk { context, graph, path: Vec::new(), on_path: BTreeSet::new(), found: BTreeSet::new() };
    for start in members(&arguments[1], 2)? {
        context.work(1)?;
        if graph.contains_key(start) {
            walk.follow(start)?;
        }
    }
    Ok(Value::Set(walk.found))
}

struct Walk<'a> {
    context: &'a Context,
    graph: &'a BTreeMap<Value, Value>,
    path: Vec<&'a Value>,
    on_path: BTreeSet<&'a Value>,
    found: BTreeSet<Value>,
}

impl<'a> Walk<'a> {
    /// Follows all edges of a node; a path ends where there are none, and where it would meet itself.
    fn follow(&mut self, node: &'a Value) -> Result<(), Error> {
        let Some((node, edges)) = self.graph.get_key_value(node) else {
            return self.end();
        };
        if self.path.len() == LONGEST_PATH {
            return Err(Error::Exhausted);
        }
        self.path.push(node);
        let edges: Vec<&Value> = match edges {
            Value::Array(edges) => edges.iter().collect(),
            Value::Set(edges) => edges.iter().collect(),
            _ => Vec::new(),
        };
        self.context.work(1 + edges.len() as u64)?;
        if edges.is_empty() {
            self.end()?;
        }
        let new = self.on_path.insert(node);
        for edge in edges {
            // OPA does not see that an edge of the start leads back to it, and goes around once.
            if self.path.len() > 1 && self.on_path.contains(edge) {
                self.end()?;
            } else {
                self.follow(edge)?;
            }
        }
        if new {
            self.on_path.remove(node);
        }
        self.path.pop();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.context.work(PATH_WORK * (1 + self.path.len()) as u64)?;
        self.found.insert(Value::Array(self.path.iter().map(|node| (*node).clone()).collect()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, call, check};

    #[test]
    fn parts_and_paths_are_those_of_opa() {
        check(&[
            ("object.subset", r#"[{"a": {"b": [1,2,3], "c": 1}}, {"a": {"b": [2,3]}}]"#, Some("true")),
            ("object.subset", "[[1,1,2], [1,2]]", Some("true")),
            ("object.subset", "[[1,2], {2,1}]", Some("true")),
            ("object.subset", "[[], set()]", Some("false")),
            ("object.subset", "[{1,2}, {3}]", Some("false")),
            ("object.subset", "[{1}, [1]]", None),
            (
                "graph.reachable_paths",
                r#"[{"a": ["b", "c"], "b": [], "c": {"a", "x"}}, ["a"]]"#,
                Some(r#"{["a","b"],["a","c"]}"#),
            ),
            ("graph.reachable_paths", r#"[{"a": null}, {"a", "z"}]"#, Some(r#"{["a"]}"#)),
            ("graph.reachable_paths", r#"[{"a": ["a"]}, ["a"]]"#, Some(r#"{["a","a"]}"#)),
            ("graph.reachable_paths", "[{}, 1]", None),
        ]);
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        let all = (0..20).map(|node| node.to_string()).collect::<Vec<_>>().join(",");
        let full = (0..20).map(|node| format!("{node}: [{all}]")).collect::<Vec<_>>().join(",");
        let chain = (0..5000).map(|node| format!("{node}: [{}]", node + 1)).collect::<Vec<_>>().join(",");
        let many = "1,".repeat(3000);
        bounded(&[
            ("graph.reachable_paths", format!("[{{{full}}}, [0]]")),
            ("graph.reachable_paths", format!("[{{{chain}}}, [0]]")),
            ("object.subset", format!("[[{many}{many}1], [{many}2]]")),
        ]);
        assert!(call("object.subset", "[[[]], [[]]]").is_ok());
    }
}
