//! `print`, which a module asks its host for by another name: OPA compiles it so with `--wasm-include-print`.

use crate::{Answer, Builtin, Context, Value};

pub(crate) const FUNCTIONS: &[Builtin] = &[Builtin { name: "internal.print", arguments: 1, call: print }];

/// Takes a list of sets, the values of each operand: a line for each way to choose one of each. An operand without a value is
/// `<undefined>`.
fn print(context: &Context, arguments: &[Value]) -> Answer {
    let Value::Array(operands) = &arguments[0] else { return Err("operand 1 must be array".into()) };
    let mut lines = vec![String::new()];
    for (place, operand) in operands.iter().enumerate() {
        let Value::Set(values) = operand else { return Err("operand 1 must be array of sets".into()) };
        let words: Vec<String> = match values.is_empty() {
            true => vec!["<undefined>".to_owned()],
            false => {
                values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
            }
        };
        let before: usize = lines.iter().map(String::len).sum();
        let added: usize = words.iter().map(String::len).sum();
        context.work(
            (before.saturating_mul(words.len()).saturating_add(added.saturating_mul(lines.len())) + 1) as u64,
        )?;
        let space = if place > 0 { " " } else { "" };
        lines = lines.iter().flat_map(|line| words.iter().map(move |word| format!("{line}{space}{word}"))).collect();
    }
    lines.into_iter().for_each(|line| context.print(line));
    Ok(true.into())
}

#[cfg(test)]
mod tests {
    use crate::{Context, Error, Value, find};

    fn printed(operands: &str) -> Vec<String> {
        let context = Context::new(0, 0, 1_000_000);
        find("internal.print").unwrap().call(&context, &[Value::parse(operands).unwrap()]).unwrap();
        context.printed()
    }

    #[test]
    fn every_choice_is_a_line() {
        assert_eq!(printed(r#"[{"n is"},{7}]"#), ["n is 7"]);
        assert_eq!(printed(r#"[{"a","b"},{[1]}]"#), ["a [1]", "b [1]"]);
        assert_eq!(printed(r#"[{"a"},set()]"#), ["a <undefined>"]);
        assert_eq!(printed("[]"), [""]);
    }

    #[test]
    fn choices_without_end_are_too_much() {
        let operand = format!("{{{}}}", (0..100).map(|number| number.to_string()).collect::<Vec<_>>().join(","));
        let operands = Value::parse(&format!("[{}]", vec![operand; 20].join(","))).unwrap();
        let context = Context::new(0, 0, 1_000_000);
        assert_eq!(find("internal.print").unwrap().call(&context, &[operands]), Err(Error::Exhausted));
    }
}
