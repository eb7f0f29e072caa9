//! `net.cidr_*`: what the modules do not compute themselves.

mod network;

use std::collections::BTreeSet;

use self::network::{Network, address, cover, previous};
use crate::arguments::{text_read, weight};
use crate::{Answer, Builtin, Context, Error, Value};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "net.cidr_contains_matches", arguments: 2, call: cidr_contains_matches },
    Builtin { name: "net.cidr_expand", arguments: 1, call: cidr_expand },
    Builtin { name: "net.cidr_is_valid", arguments: 1, call: cidr_is_valid },
    Builtin { name: "net.cidr_merge", arguments: 1, call: cidr_merge },
];

/// What a text of an address costs as a member of a set.
const ADDRESS_WORK: u64 = 100;

fn cidr_is_valid(context: &Context, arguments: &[Value]) -> Answer {
    let Some(text) = arguments[0].as_str() else { return Ok(false.into()) };
    context.work(text.len() as u64)?;
    Ok(Network::parse(text).is_some().into())
}

fn cidr_expand(context: &Context, arguments: &[Value]) -> Answer {
    let network = parsed(text_read(context, &arguments[0], 1)?)?;
    let (first, last) = network.range();
    let most = u64::try_from(last - first).unwrap_or(u64::MAX);
    context.work(most.saturating_add(1).saturating_mul(ADDRESS_WORK))?;
    Ok(Value::Set((first..=last).map(|address| network::written(address).into()).collect()))
}

/// Pairs of keys whose first network contains the second one or the second address.
fn cidr_contains_matches(context: &Context, arguments: &[Value]) -> Answer {
    let outer = members(context, &arguments[0], 1)?;
    if outer.is_empty() {
        return Ok(Value::Set(BTreeSet::new()));
    }
    let inner = members(context, &arguments[1], 2)?;
    let mut matches = BTreeSet::new();
    for (outer, outer_key) in outer.iter().filter(|_| !inner.is_empty()) {
        let network = parsed(text_read(context, outer, 1)?)?;
        for (inner, inner_key) in &inner {
            let text = text_read(context, inner, 1)?;
            let found = match address(text) {
                Some(address) => Network::of(address),
                None => Network::parse(text)
                    .ok_or_else(|| format!("not a valid textual representation of an IP address or CIDR: {text}"))?,
            };
            context.work(1)?;
            if network.contains(&found) {
                context.work(ADDRESS_WORK + 4 * (weight(outer_key) + weight(inner_key)))?;
                matches.insert(Value::Array(vec![outer_key.clone(), inner_key.clone()]));
            }
        }
    }
    Ok(Value::Set(matches))
}

/// Texts and by what an answer tells which they are: a place, a member, a key, or the text itself.
fn members<'a>(context: &Context, value: &'a Value, place: usize) -> Result<Vec<(&'a Value, Value)>, Error> {
    let pairs = match value {
        Value::String(_) => return keyed(context, [(value, value)].into_iter()),
        Value::Array(members) => {
            context.work(members.len() as u64)?;
            let places = members.iter().zip(0_i64..);
            places.map(|(member, at)| Some((first_text(member)?, at.into()))).collect()
        }
        Value::Set(members) => keyed(context, members.iter().map(|member| (member, member)))?
            .into_iter()
            .map(|(member, key)| Some((first_text(member)?, key)))
            .collect(),
        Value::Object(members) => keyed(context, members.iter().map(|(key, member)| (member, key)))?
            .into_iter()
            .map(|(member, key)| Some((first_text(member)?, key)))
            .collect(),
        _ => Some(Vec::new()),
    };
    pairs.ok_or_else(|| format!("operand {place}: element must be string or non-empty array").into())
}

fn keyed<'a>(
    context: &Context,
    pairs: impl Iterator<Item = (&'a Value, &'a Value)>,
) -> Result<Vec<(&'a Value, Value)>, Error> {
    let pair = |(member, key): (&'a Value, &Value)| {
        context.work(weight(key))?;
        Ok((member, key.clone()))
    };
    pairs.map(pair).collect()
}

/// What stands for a network: a text, or the first member of a list.
fn first_text(member: &Value) -> Option<&Value> {
    match member {
        Value::String(_) => Some(member),
        Value::Array(members) => members.first(),
        _ => None,
    }
}

/// The fewest networks with the same addresses. Those that stand alone stay as they were written.
fn cidr_merge(context: &Context, arguments: &[Value]) -> Answer {
    let members: Vec<&Value> = match &arguments[0] {
        Value::Array(members) => members.iter().collect(),
        Value::Set(members) => members.iter().collect(),
        _ => return Err("operand must be an array".into()),
    };
    context.work(2 * ADDRESS_WORK * members.len() as u64)?;
    let mut ranges = Vec::with_capacity(members.len());
    for member in members {
        let network = mergeable(text_read(context, member, 1).map_err(|_| "element must be string")?)?;
        ranges.push((network.range(), Some(network)));
    }
    ranges.sort_by_key(|((first, last), _)| (*last, *first));
    let mut merged = BTreeSet::new();
    let mut current = None;
    while let Some(range) = ranges.pop() {
        let ((first, last), _) = range;
        match current.take() {
            Some(((next, end), _)) if previous(next) <= last => current = Some(((first.min(next), end), None)),
            other => {
                tell(other, &mut merged)?;
                current = Some(range);
            }
        }
    }
    tell(current, &mut merged)?;
    Ok(Value::Set(merged))
}

type Range = ((u128, u128), Option<Network>);

fn tell(range: Option<Range>, merged: &mut BTreeSet<Value>) -> Result<(), Error> {
    match range {
        None => {}
        Some((_, Some(network))) => _ = merged.insert(network.to_string().into()),
        Some(((first, last), None)) => {
            let networks = cover(first, last).ok_or("addresses of both kinds in a row")?;
            merged.extend(networks.iter().map(|network| Value::from(network.to_string())));
        }
    }
    Ok(())
}

/// A network; an address of four bytes has that of its class.
fn mergeable(text: &str) -> Result<Network, Error> {
    match address(text) {
        None => parsed(text),
        Some(address) => Network::of_class(address).ok_or_else(|| "IPv6 invalid: needs prefix length".into()),
    }
}

fn parsed(value: &str) -> Result<Network, Error> {
    Network::parse(value).ok_or_else(|| format!("invalid CIDR address: {value}").into())
}

#[cfg(test)]
mod tests {
    use crate::{Context, Error, Value, find};

    fn call(name: &str, arguments: &[&str]) -> String {
        let arguments: Vec<Value> = arguments.iter().map(|text| Value::parse(text).unwrap()).collect();
        match find(name).unwrap().call(&Context::new(0, 0, 1_000_000), &arguments) {
            Ok(value) => value.to_string(),
            Err(Error::Undefined(why)) => why,
            Err(Error::Exhausted) => "exhausted".to_owned(),
        }
    }

    #[test]
    fn networks_are_those_of_opa() {
        for (name, arguments, expected) in [
            ("net.cidr_is_valid", &[r#""10.0.0.1/08""#][..], "true"),
            ("net.cidr_is_valid", &[r#""10.0.0.01/8""#], "false"),
            ("net.cidr_is_valid", &[r#""fe80::1%eth0/64""#], "false"),
            ("net.cidr_is_valid", &["1"], "false"),
            ("net.cidr_expand", &[r#""10.0.0.255/31""#], r#"{"10.0.0.254","10.0.0.255"}"#),
            ("net.cidr_expand", &[r#""255.255.255.255/31""#], r#"{"255.255.255.254","255.255.255.255"}"#),
            ("net.cidr_expand", &[r#""::ffff:1.2.3.4/127""#], r#"{"1.2.3.4","1.2.3.5"}"#),
            ("net.cidr_expand", &[r#""::fffe/127""#], r#"{"::fffe","::ffff"}"#),
            (
                "net.cidr_contains_matches",
                &[r#"{"a":"1.1.1.0/24","b":["::/80",7]}"#, r#"["1.1.1.9","::1/128","::ffff:1.1.1.1"]"#],
                r#"{["a",0],["a",2],["b",1]}"#,
            ),
            ("net.cidr_contains_matches", &["7", r#"["x"]"#], "set()"),
            ("net.cidr_contains_matches", &[r#"["x"]"#, "[]"], "set()"),
            ("net.cidr_merge", &[r#"["192.0.2.112"]"#], r#"{"192.0.2.112/24"}"#),
            ("net.cidr_merge", &[r#"["10.0.0.0/9","10.128.0.0/9","::/0"]"#], r#"{"::/0"}"#),
            (
                "net.cidr_merge",
                &[r#"["10.0.0.1/32","10.0.0.2/31","10.0.0.4/32"]"#],
                r#"{"10.0.0.1/32","10.0.0.2/31","10.0.0.4/32"}"#,
            ),
        ] {
            assert_eq!(call(name, arguments), expected, "{name} {arguments:?}");
        }
    }

    #[test]
    fn what_is_wrong_or_too_much_is_refused() {
        let many = format!("[{}]", vec![r#""10.0.0.0/8""#; 20_000].join(","));
        let long = format!(r#"{{["::/0","{}"]}}"#, "x".repeat(100_000));
        for (name, arguments, says) in [
            ("net.cidr_expand", &[r#""10.0.0.0/8""#][..], "exhausted"),
            ("net.cidr_expand", &[r#""::/0""#], "exhausted"),
            ("net.cidr_expand", &[r#""::/129""#], "invalid CIDR"),
            ("net.cidr_expand", &[r#""1.2.3.4/4294967297""#], "invalid CIDR"),
            ("net.cidr_expand", &["{}"], "must be string"),
            ("net.cidr_merge", &[many.as_str()], "exhausted"),
            ("net.cidr_merge", &["[1]"], "element must be string"),
            ("net.cidr_merge", &[r#"["::1"]"#], "needs prefix"),
            ("net.cidr_merge", &["{}"], "must be an array"),
            ("net.cidr_contains_matches", &[many.as_str(), many.as_str()], "exhausted"),
            ("net.cidr_contains_matches", &[&long, r#"["::1","::2","::3"]"#], "exhausted"),
            ("net.cidr_contains_matches", &[r#"["10.0.0.0/8"]"#, "[[]]"], "operand 2"),
            ("net.cidr_contains_matches", &[r#"["10.0.0.0/8"]"#, r#"["x"]"#], "not a valid textual"),
        ] {
            let answer = call(name, arguments);
            assert!(answer.contains(says), "{name}: {answer:.200}");
        }
    }
}
