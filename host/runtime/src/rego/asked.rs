//! What a module of OPA's tells of itself, against what this host has and what its set allows.

use std::collections::{BTreeMap, BTreeSet};

use crate::set::Grant;
use crate::text::quoted;

/// Most names in one message: a module can have thousands.
const EXAMPLES: usize = 20;
/// Functions whose answers do not follow from the request, and why they are not to be had.
const OUTSIDE: [(&str, &str); 3] = [
    ("http.send", "a policy has no network: what it needs belongs into the request or into its data"),
    (
        "net.lookup_ip_addr",
        "a policy has no network: let the caller look names up and put the addresses into the request",
    ),
    ("opa.runtime", "a policy sees nothing of its host: put settings into `config`, which is a part of `data`"),
];
/// Functions that draw lots, and the capability that makes them follow from the request's id.
const DRAWN: [(&str, Grant); 2] = [("rand.intn", Grant::Rand), ("uuid.rfc4122", Grant::Uuid)];

/// The capability that a function needs, or that its printing needs.
pub(super) fn grant(name: &str) -> Option<Grant> {
    let drawn = DRAWN.iter().find(|(drawn, _)| *drawn == name).map(|(_, grant)| *grant);
    drawn.or_else(|| (name == "internal.print").then_some(Grant::Log))
}

/// The number of the entry point that is meant, of those a module has.
///
/// # Errors
/// Where none is meant or found: which there are.
pub(crate) fn entry(entry_points: &BTreeMap<String, i64>, meant: Option<&str>) -> Result<i32, String> {
    let names = || {
        let names = entry_points.keys().take(EXAMPLES).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let more = entry_points.len().saturating_sub(EXAMPLES);
        if more > 0 { format!("{names} and {more} more") } else { names }
    };
    let number = match (meant, entry_points.len()) {
        (Some(name), _) => entry_points
            .get(name.trim_start_matches('/'))
            .ok_or_else(|| format!("has no entry point {}, it has {}", quoted(name), names()))?,
        (None, 1) => entry_points.values().next().expect("there is one"),
        (None, 0) => return Err("has no entry point: build it with `opa build -t wasm -e …`".to_owned()),
        (None, count) => {
            return Err(format!("has {count} entry points ({}): say which one with `entrypoint = \"…\"`", names()));
        }
    };
    i32::try_from(*number).map_err(|_| format!("has an entry point of the number {number}"))
}

/// The functions a module asks of its host, by number.
///
/// # Errors
/// Which of them are not to be had, each with the reason and the way out.
pub(crate) fn builtins(
    asked: BTreeMap<String, i64>,
    grants: &BTreeSet<Grant>,
) -> Result<BTreeMap<i32, String>, String> {
    let why: Vec<String> = asked.keys().filter_map(|name| why_not(name, grants)).take(EXAMPLES).collect();
    if !why.is_empty() {
        return Err(format!("needs built-in functions that are not to be had: {}", why.join("; ")));
    }
    let number = |(name, number): (String, i64)| {
        let number = i32::try_from(number).map_err(|_| format!("has a built-in function of the number {number}"));
        number.map(|number| (number, name))
    };
    asked.into_iter().map(number).collect()
}

/// Why a function is not to be had, with its name.
pub(crate) fn why_not(name: &str, grants: &BTreeSet<Grant>) -> Option<String> {
    if let Some((_, why)) = OUTSIDE.iter().find(|(outside, _)| *outside == name) {
        return Some(format!("`{name}` ({why})"));
    }
    if let Some((_, grant)) = DRAWN.iter().find(|(drawn, grant)| *drawn == name && !grants.contains(grant)) {
        let grant = grant.as_str();
        return Some(format!("`{name}` (with grants = [\"{grant}\"] it follows from the request's id)"));
    }
    weir_rego::find(name).is_none().then(|| format!("{} (this host does not have it)", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(names: &[&str]) -> BTreeMap<String, i64> {
        names.iter().zip(0..).map(|(name, number)| ((*name).to_owned(), number)).collect()
    }

    #[test]
    fn an_entry_point_is_the_only_one_or_the_one_that_is_named() {
        assert_eq!(entry(&numbers(&["a/b"]), None), Ok(0));
        assert_eq!(entry(&numbers(&["a", "b"]), Some("b")), Ok(1));
        assert_eq!(entry(&numbers(&["a", "b"]), Some("/b")), Ok(1));
        for (names, meant, says) in [
            (&["a", "b"][..], None, "has 2 entry points (`a`, `b`): say which one"),
            (&["a", "b"], Some("c"), "has no entry point `c`, it has `a`, `b`"),
            (&[], None, "has no entry point"),
        ] {
            let error = entry(&numbers(names), meant).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let many: Vec<String> = (0..100_000).map(|number| format!("e{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(
            entry(&numbers(&many), None)
                .unwrap_err()
                .ends_with("and 99980 more): say which one with `entrypoint = \"…\"`")
        );
    }

    #[test]
    fn what_is_not_to_be_had_is_named_with_the_way_out() {
        for (name, says) in [
            ("http.send", "has no network"),
            ("opa.runtime", "put settings into `config`"),
            ("rand.intn", "grants = [\"rand\"]"),
            ("no.such", "`no.such` (this host does not have it)"),
        ] {
            let error = builtins(numbers(&[name]), &BTreeSet::new()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(builtins(BTreeMap::new(), &BTreeSet::new()), Ok(BTreeMap::new()));
    }
}
