//! How the tests of the families call functions.

use crate::{Context, Error, Value, find};

/// At 2023-11-14T22:13:20Z, and with work for what is no attack.
fn context() -> Context {
    Context::new(1_700_000_000_000_000_000, 7, 1_000_000)
}

pub(crate) fn call(name: &str, arguments: &str) -> Result<String, Error> {
    let Value::Array(arguments) = Value::parse(arguments).unwrap() else { panic!("a list of arguments") };
    find(name).unwrap().call(&context(), &arguments).map(|value| value.to_string())
}

/// Names, arguments, and what OPA says to them, if anything.
pub(crate) fn check(cases: &[(&str, &str, Option<&str>)]) {
    for (name, arguments, expected) in cases {
        let answer = call(name, arguments);
        match (&answer, expected) {
            (Ok(value), Some(expected)) => {
                assert_eq!(Value::parse(value).unwrap(), Value::parse(expected).unwrap(), "{name}({arguments})");
            }
            (Err(Error::Undefined(_)), None) => {}
            _ => panic!("{name}({arguments}) is {answer:?}"),
        }
    }
}

/// Calls that would do more than they may.
pub(crate) fn bounded(cases: &[(&str, String)]) {
    for (name, arguments) in cases {
        assert_eq!(call(name, arguments).err(), Some(Error::Exhausted), "{name}({:.60})", arguments);
    }
}

#[test]
fn whoever_is_late_does_no_more() {
    let all = (0..20).map(|node| node.to_string()).collect::<Vec<_>>().join(",");
    let full = (0..20).map(|node| format!("{node}: [{all}]")).collect::<Vec<_>>().join(",");
    let arguments = [Value::parse(&format!("{{{full}}}")).unwrap(), Value::parse("[0]").unwrap()];
    let context = Context::new(0, 0, u64::MAX).until(std::time::Instant::now());
    assert_eq!(find("graph.reachable_paths").unwrap().call(&context, &arguments), Err(Error::Exhausted));
    assert!(context.is_late() && context.left() > 0);
}

#[test]
fn functions_have_names_of_their_own_and_count_their_arguments() {
    let mut names: Vec<_> =
        super::FAMILIES.iter().flat_map(|family| family.iter()).map(|function| function.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for function in super::FAMILIES.iter().flat_map(|family| family.iter()) {
        let few = vec![Value::Null; function.arguments.saturating_sub(1)];
        assert!(function.arguments == 0 || matches!(function.call(&context(), &few), Err(Error::Undefined(_))));
        // Arguments of the wrong kinds are no reason to panic.
        for value in ["null", "true", "-1.5", "\"x\"", "[]", "[[]]", "{}", "set()", "{1}", "1e308"] {
            let _ = function.call(&context(), &vec![Value::parse(value).unwrap(); function.arguments]);
        }
    }
    assert!(find("no.such").is_none());
}
