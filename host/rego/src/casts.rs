//! `cast_*`: a value of the kind asked for, or none.

use crate::arguments::{members, object, text, wrong};
use crate::value::Value;
use crate::{Answer, Builtin, Context};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "cast_array", arguments: 1, call: to_array },
    Builtin { name: "cast_set", arguments: 1, call: to_set },
    Builtin { name: "cast_string", arguments: 1, call: to_string },
    Builtin { name: "cast_boolean", arguments: 1, call: to_boolean },
    Builtin { name: "cast_null", arguments: 1, call: to_null },
    Builtin { name: "cast_object", arguments: 1, call: to_object },
];

fn to_array(context: &Context, arguments: &[Value]) -> Answer {
    let members = members(&arguments[0], 1)?;
    context.work(members.len() as u64)?;
    Ok(Value::Array(members.cloned().collect()))
}

fn to_set(context: &Context, arguments: &[Value]) -> Answer {
    let members = members(&arguments[0], 1)?;
    context.work(members.len() as u64)?;
    Ok(Value::Set(members.cloned().collect()))
}

fn to_string(_: &Context, arguments: &[Value]) -> Answer {
    text(&arguments[0], 1).map(|_| arguments[0].clone())
}

fn to_boolean(_: &Context, arguments: &[Value]) -> Answer {
    match &arguments[0] {
        Value::Bool(value) => Ok((*value).into()),
        value => Err(wrong(value, 1, "boolean")),
    }
}

fn to_null(_: &Context, arguments: &[Value]) -> Answer {
    match &arguments[0] {
        Value::Null => Ok(Value::Null),
        value => Err(wrong(value, 1, "null")),
    }
}

fn to_object(_: &Context, arguments: &[Value]) -> Answer {
    object(&arguments[0], 1).map(|_| arguments[0].clone())
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn values_of_other_kinds_are_none() {
        check(&[
            ("cast_array", "[{2, 1}]", Some("[1,2]")),
            ("cast_array", "[{}]", None),
            ("cast_set", "[[2, 1, 2]]", Some("{1,2}")),
            ("cast_set", "[null]", None),
            ("cast_string", "[\"a\"]", Some("\"a\"")),
            ("cast_string", "[1]", None),
            ("cast_boolean", "[false]", Some("false")),
            ("cast_boolean", "[1]", None),
            ("cast_null", "[null]", Some("null")),
            ("cast_null", "[false]", None),
            ("cast_object", "[{1: 2}]", Some("{1:2}")),
            ("cast_object", "[[]]", None),
        ]);
        bounded(&[("cast_set", format!("[[{}1]]", "1,".repeat(1_000_000)))]);
    }
}
