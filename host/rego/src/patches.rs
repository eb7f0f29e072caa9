//! `json.patch`: operations of RFC 6902, on sets, too.

use crate::arguments::{array, to_i64, whole_text};
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[Builtin { name: "json.patch", arguments: 2, call: patch }];

/// Deepest nesting of what a patch makes.
const DEEPEST: usize = 512;

fn patch(context: &Context, arguments: &[Value]) -> Answer {
    let operations = array(&arguments[1], 2)?;
    measure(context, &arguments[0])?;
    // None once the whole document is removed.
    let mut document = Some(arguments[0].clone());
    for operation in operations {
        context.work(1)?;
        apply(context, &mut document, operation)?;
    }
    document.ok_or_else(|| "nothing is left".into())
}

fn apply(context: &Context, document: &mut Option<Value>, operation: &Value) -> Result<(), Error> {
    let Value::Object(members) = operation else {
        return Err("must be an array of JSON-Patch objects, but at least one element is not an object".into());
    };
    let attribute = |name: &str| {
        members.get(&Value::from(name)).ok_or_else(|| Error::from(format!("missing required attribute '{name}'")))
    };
    let target = attribute("path")?;
    let name = attribute("op")?;
    let name = name.as_str().ok_or_else(|| format!("attribute 'op' must be a string but found: {}", name.kind()))?;
    let target = path(context, target)?;
    match name {
        "add" => insert(context, document, &target, attribute("value")?.clone()),
        "remove" => remove(context, document, &target).map(drop),
        "replace" => {
            remove(context, document, &target)?;
            insert(context, document, &target, attribute("value")?.clone())
        }
        "move" => {
            let from = path(context, attribute("from")?)?;
            let value = remove(context, document, &from)?;
            insert(context, document, &target, value)
        }
        "copy" => {
            let from = path(context, attribute("from")?)?;
            let value = get(context, document, &from)?.clone();
            insert(context, document, &target, value)
        }
        "test" => {
            let found = get(context, document, &target)?;
            measure(context, found)?;
            if found == attribute("value")? { Ok(()) } else { Err("another value than the patch says".into()) }
        }
        _ => Err(format!("unrecognized op: '{name:.40}'").into()),
    }
}

/// The steps of a path: a list of them, or a text with slashes.
fn path(context: &Context, value: &Value) -> Result<Vec<Value>, Error> {
    let steps = match value {
        Value::String(text) => {
            context.work(1 + text.len() as u64)?;
            let text = text.trim_start_matches('/');
            let steps = text.split('/').map(|step| step.replace("~1", "/").replace("~0", "~").into());
            if value.as_str() == Some("") { Vec::new() } else { steps.collect() }
        }
        Value::Array(steps) => {
            context.work(steps.len() as u64)?;
            steps.clone()
        }
        _ => return Err(format!(
            "operand 2 must be one of {{set, array}} containing string paths or array of path segments but got {}",
            value.kind()
        )
        .into()),
    };
    if steps.len() > DEEPEST { Err("a path is too long".into()) } else { Ok(steps) }
}

/// Pays for all of a value, and tells how deep it is.
fn measure(context: &Context, value: &Value) -> Result<usize, Error> {
    fn deepest<'a>(context: &Context, members: impl IntoIterator<Item = &'a Value>) -> Result<usize, Error> {
        let depths = members.into_iter().map(|member| measure(context, member));
        depths.reduce(|deepest, depth| Ok(deepest?.max(depth?))).unwrap_or(Ok(0)).map(|depth| depth + 1)
    }
    context.work(16)?;
    match value {
        Value::String(text) => context.work(text.len() as u64).map(|()| 1),
        Value::Array(members) => deepest(context, members),
        Value::Set(members) => deepest(context, members),
        Value::Object(members) => deepest(context, members.iter().flat_map(|(key, value)| [key, value])),
        _ => Ok(1),
    }
}

fn index(step: &Value, length: usize) -> Result<usize, Error> {
    let index = match step {
        Value::Number(number) => to_i64(number).ok_or("invalid number type for indexing")?,
        Value::String(text) if text == "-" => return Ok(length),
        Value::String(text) => {
            let index = whole_text(text).ok_or("invalid string for indexing")?;
            if text != "0" && text.starts_with('0') {
                return Err("leading zeros are not allowed in JSON paths".into());
            }
            index
        }
        _ => return Err("invalid type for indexing".into()),
    };
    usize::try_from(index).map_err(|_| "index out of bounds".into())
}

fn get<'a>(context: &Context, document: &'a Option<Value>, path: &[Value]) -> Result<&'a Value, Error> {
    let gone = || Error::from("a path does not exist");
    let mut value = document.as_ref().ok_or_else(gone)?;
    for step in path {
        context.work(16)?;
        value = match value {
            Value::Object(members) => members.get(step),
            Value::Set(members) => members.get(step),
            Value::Array(members) => members.get(index(step, members.len())?),
            _ => None,
        }
        .ok_or_else(gone)?;
    }
    Ok(value)
}

/// Does something to what all but the last step of a path lead to.
fn within<T>(
    context: &Context,
    value: &mut Value,
    path: &[Value],
    change: &mut dyn FnMut(&mut Value, &Value) -> Result<T, Error>,
) -> Result<T, Error> {
    let gone = || Error::from("a path does not exist");
    context.work(16)?;
    match path {
        [] => Err(gone()),
        [last] => change(value, last),
        [step, rest @ ..] => match value {
            Value::Object(members) => within(context, members.get_mut(step).ok_or_else(gone)?, rest, change),
            Value::Array(members) => {
                let place = index(step, members.len())?;
                within(context, members.get_mut(place).ok_or_else(gone)?, rest, change)
            }
            // A member of a set that changes has another place in it.
            Value::Set(members) => {
                let mut member = members.take(step).ok_or_else(gone)?;
                measure(context, &member)?;
                let answer = within(context, &mut member, rest, change)?;
                members.insert(member);
                Ok(answer)
            }
            _ => Err(gone()),
        },
    }
}

fn insert(context: &Context, document: &mut Option<Value>, path: &[Value], value: Value) -> Result<(), Error> {
    if measure(context, &value)? + path.len() > DEEPEST {
        return Err("nested too deeply".into());
    }
    if path.is_empty() {
        *document = Some(value);
        return Ok(());
    }
    let document = document.as_mut().ok_or("deleted node encountered during insert operation")?;
    let mut value = Some(value);
    within(context, document, path, &mut |parent, step| {
        let value = value.take().ok_or("inserted before")?;
        match parent {
            Value::Object(members) => {
                members.insert(step.clone(), value);
            }
            Value::Set(members) => {
                if *step != value {
                    return Err("set key does not equal value to be inserted".into());
                }
                members.insert(value);
            }
            Value::Array(members) => {
                let place = index(step, members.len())?;
                if place > members.len() {
                    return Err("index for array insertion out of bounds".into());
                }
                context.work((members.len() - place) as u64)?;
                members.insert(place, value);
            }
            _ => return Err("expected composite type".into()),
        }
        Ok(())
    })
}

fn remove(context: &Context, document: &mut Option<Value>, path: &[Value]) -> Result<Value, Error> {
    if path.is_empty() {
        return document.take().ok_or_else(|| "deleted node encountered during delete operation".into());
    }
    let document = document.as_mut().ok_or("deleted node encountered during delete operation")?;
    within(context, document, path, &mut |parent, step| {
        let gone = || Error::from("cannot delete child key that does not exist");
        match parent {
            Value::Object(members) => members.remove(step).ok_or_else(gone),
            Value::Set(members) => members.take(step).ok_or_else(gone),
            Value::Array(members) => {
                let place = index(step, members.len())?;
                context.work(members.len().saturating_sub(place) as u64)?;
                if place < members.len() {
                    Ok(members.remove(place))
                } else {
                    Err("index for array delete out of bounds".into())
                }
            }
            _ => Err("expected composite type".into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, call, check};

    #[test]
    fn patches_change_what_opa_changes() {
        check(&[
            ("json.patch", r#"[{"a": 1}, [{"op": "add", "path": "/b~1c", "value": 2}]]"#, Some(r#"{"a":1,"b/c":2}"#)),
            (
                "json.patch",
                r#"[[1, 2], [{"op": "add", "path": "1", "value": 3}, {"op": "add", "path": "-", "value": 4}]]"#,
                Some("[1,3,2,4]"),
            ),
            (
                "json.patch",
                r#"[{"a": {"b": 1}}, [{"op": "move", "from": "a/b", "path": ["c"]}]]"#,
                Some(r#"{"a":{},"c":1}"#),
            ),
            ("json.patch", r#"[{"a": [1]}, [{"op": "copy", "from": "a", "path": "a/0"}]]"#, Some(r#"{"a":[[1],1]}"#)),
            (
                "json.patch",
                r#"[{"a": 1}, [{"op": "test", "path": "a", "value": 1}, {"op": "replace", "path": "", "value": 5}]]"#,
                Some("5"),
            ),
            (
                "json.patch",
                r#"[{1, 2}, [{"op": "remove", "path": [1]}, {"op": "add", "path": [3], "value": 3}]]"#,
                Some("{2,3}"),
            ),
            ("json.patch", r#"[{"a": 1}, [{"op": "test", "path": "a", "value": 2}]]"#, None),
            ("json.patch", r#"[[1], [{"op": "remove", "path": "01"}]]"#, None),
            ("json.patch", r#"[[1], [{"op": "add", "path": "3", "value": 1}]]"#, None),
            ("json.patch", r#"[{"a": 1}, [{"op": "remove", "path": "b"}]]"#, None),
            ("json.patch", r#"[{"a": 1}, [{"op": "replace", "path": "b", "value": 1}]]"#, None),
            ("json.patch", r#"[{"a": 1}, [{"op": "add", "path": "b"}]]"#, None),
            ("json.patch", r#"[{"a": 1}, [{"op": "x", "path": "b"}]]"#, None),
            ("json.patch", r#"[{"a": 1}, [1]]"#, None),
        ]);
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        let grow = r#"{"op": "copy", "from": "", "path": "a"},"#.repeat(100);
        let many = r#"{"op": "add", "path": "0", "value": 1},"#.repeat(5_000);
        bounded(&[
            (
                "json.patch",
                format!(
                    "[{{}}, [{}1]]",
                    r#"{"op": "copy", "from": "", "path": "a"}, {"op": "copy", "from": "", "path": "b"},"#.repeat(50)
                ),
            ),
            ("json.patch", format!("[[], [{many}1]]")),
        ]);
        assert!(call("json.patch", &format!("[{{}}, [{grow}1]]")).is_err());
        let long = "a/".repeat(5_000);
        assert!(call("json.patch", &format!("[{{}}, [{{\"op\": \"remove\", \"path\": \"{long}\"}}]]")).is_err());
    }
}
