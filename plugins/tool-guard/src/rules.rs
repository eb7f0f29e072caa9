//! Predicates over one argument, in a form that people can read aloud: "`/amount`, most 500".

use serde::Deserialize;
use weir_sdk::{Effect, Value};
use wildmatch::WildMatch;

use crate::config::RawEffect;
use crate::pointer::Pattern;
use crate::schema::Schema;
use crate::sql;

/// A rule about an argument.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawRule")]
pub(crate) struct Rule {
    pub(crate) at: Pattern,
    demands: Vec<Demand>,
    /// Where the rule holds: pointers into the request, and the values of which one must be there. What is missing: it holds.
    when: Vec<(String, Vec<WildMatch>)>,
    optional: bool,
    pub(crate) effect: Effect,
}

#[derive(Debug)]
enum Demand {
    Least(Bound),
    Most(Bound),
    OneOf(Vec<Value>),
    Like(Vec<WildMatch>),
    Below(Vec<Vec<String>>),
    Hosts(Vec<WildMatch>),
    OnlyReads,
    Schema(Box<Schema>),
}

/// A number, or where in the request it stands.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Bound {
    Number(f64),
    From { from: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    at: String,
    least: Option<Bound>,
    most: Option<Bound>,
    one_of: Option<Vec<Value>>,
    like: Option<Vec<String>>,
    below: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    sql: Option<Sql>,
    schema: Option<Value>,
    #[serde(default)]
    when: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(default)]
    optional: bool,
    effect: Option<RawEffect>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sql {
    Read,
}

impl TryFrom<RawRule> for Rule {
    type Error = String;

    fn try_from(raw: RawRule) -> Result<Rule, String> {
        let RawRule { at, least, most, one_of, like, below, hosts, sql, schema, when, optional, effect } = raw;
        let of = |why: String| format!("rule for `{at}`: {why}");
        let globs = |names: Vec<String>| names.iter().map(|name| WildMatch::new(&name.to_lowercase())).collect();
        let folders = |folders: Vec<String>| {
            let each = folders.iter().map(|folder| {
                path(folder)
                    .ok_or_else(|| of(format!("`{folder}` is no folder from the root, such as `/srv/claims`")))
            });
            each.collect::<Result<Vec<_>, _>>()
        };
        let demands = [
            least.map(Demand::Least),
            most.map(Demand::Most),
            one_of.map(Demand::OneOf),
            like.map(|names| Demand::Like(globs(names))),
            below.map(folders).transpose()?.map(Demand::Below),
            hosts.map(|names| Demand::Hosts(globs(names))),
            sql.map(|Sql::Read| Demand::OnlyReads),
            schema
                .map(|schema| Schema::compile(&schema))
                .transpose()
                .map_err(of)?
                .map(|schema| Demand::Schema(Box::new(schema))),
        ];
        let demands: Vec<Demand> = demands.into_iter().flatten().collect();
        if demands.is_empty() {
            return Err(of(
                "it demands nothing: say `least`, `most`, `one_of`, `like`, `below`, `hosts`, `sql` or `schema`"
                    .to_owned(),
            ));
        }
        let when = when.into_iter().map(|(pointer, values)| {
            Pattern::new(&pointer).map_err(of)?;
            Ok::<_, String>((pointer, values.iter().map(|value| WildMatch::new(&value.to_lowercase())).collect()))
        });
        let when = when.collect::<Result<_, _>>()?;
        let effect = effect.map_or(Effect::Deny, Effect::from);
        Ok(Rule { at: Pattern::new(&at)?, demands, when, optional, effect })
    }
}

/// An argument that a rule does not let pass: its JSON pointer, and why.
pub(crate) struct Broken {
    pub(crate) at: String,
    pub(crate) why: String,
}

impl Rule {
    /// What breaks it, `look` being what stands in the request at a JSON pointer.
    pub(crate) fn broken<'v>(&self, arguments: &Value, look: &dyn Fn(&str) -> Option<&'v Value>) -> Vec<Broken> {
        if !self.holds(look) {
            return Vec::new();
        }
        let found = self.at.find(arguments);
        if found.is_empty() && !self.optional {
            return vec![Broken {
                at: self.at.as_str().to_owned(),
                why: "it is missing, so the rule cannot be met".to_owned(),
            }];
        }
        let each = found.into_iter().flat_map(|(at, value)| {
            let broken = self.demands.iter().filter_map(|demand| demand.why_not(value, look));
            broken.map(|why| Broken { at: at.clone(), why }).collect::<Vec<_>>()
        });
        each.collect()
    }

    fn holds<'v>(&self, look: &dyn Fn(&str) -> Option<&'v Value>) -> bool {
        self.when.iter().all(|(pointer, values)| match look(pointer) {
            Some(Value::String(text)) => {
                let text = text.trim().to_lowercase();
                values.iter().any(|value| value.matches(&text))
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) => {
                values.iter().any(|wanted| wanted.matches(&value.to_string()))
            }
            // What is missing or no plain value excludes nothing.
            _ => true,
        })
    }
}

impl Demand {
    fn why_not<'v>(&self, value: &Value, look: &dyn Fn(&str) -> Option<&'v Value>) -> Option<String> {
        match self {
            Demand::Least(bound) => self::bound(value, bound, look, |value, bound| value >= bound, "at least"),
            Demand::Most(bound) => self::bound(value, bound, look, |value, bound| value <= bound, "at most"),
            Demand::OneOf(values) => (!values.contains(value)).then(|| "it is none of the values allowed".to_owned()),
            Demand::Like(globs) => {
                let like =
                    value.as_str().is_some_and(|text| globs.iter().any(|glob| glob.matches(&text.to_lowercase())));
                (!like).then(|| "it is like none of the values allowed".to_owned())
            }
            Demand::Below(folders) => match value.as_str().and_then(path) {
                None => Some("it is no plain path from the root".to_owned()),
                Some(path) => (!folders.iter().any(|folder| path.starts_with(folder)))
                    .then(|| "it lies outside of the folders allowed".to_owned()),
            },
            Demand::Hosts(hosts) => match value.as_str().and_then(host) {
                None => Some("it is no plain http or https address".to_owned()),
                Some(host) => (!hosts.iter().any(|glob| glob.matches(&host)))
                    .then(|| "its host is not one of those allowed".to_owned()),
            },
            Demand::OnlyReads => match value.as_str() {
                None => Some("it is no SQL text".to_owned()),
                Some(text) => sql::does_more(text).map(|why| format!("only SQL that reads is allowed, but {why}")),
            },
            Demand::Schema(schema) => schema.violations(value).into_iter().next().map(|violation| violation.why),
        }
    }
}

fn bound<'v>(
    value: &Value,
    bound: &Bound,
    look: &dyn Fn(&str) -> Option<&'v Value>,
    holds: impl Fn(f64, f64) -> bool,
    word: &str,
) -> Option<String> {
    let limit = match bound {
        Bound::Number(limit) => *limit,
        Bound::From { from } => match look(from).and_then(Value::as_f64) {
            Some(limit) => limit,
            None => return Some(format!("its bound at `{from}` is missing")),
        },
    };
    match number(value) {
        None => Some("it is no number".to_owned()),
        Some(value) if holds(value, limit) => None,
        Some(_) => Some(format!("expected {word} {limit}")),
    }
}

/// A number, or text that is one: tools take `"500"` for 500.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => plain_decimal(text.trim()).then(|| text.trim().parse().ok()).flatten(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

/// Digits, and at most two behind a point: `1.500` is one and a half here and fifteen hundred elsewhere.
fn plain_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(fraction) && fraction.len() <= 2
}

/// The folders and the file of a path from the root; none where somebody could read it in another way.
fn path(text: &str) -> Option<Vec<String>> {
    // Full width and the like become dots and slashes where somebody normalises.
    let wide = |c: char| matches!(c, '\u{2024}'..='\u{2026}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{ff01}'..='\u{ff5e}');
    let odd = |c: char| c.is_control() || c.is_whitespace() || wide(c) || "\\%~$*?`|<>\"'{}()[];&!#".contains(c);
    let body = text.strip_prefix('/')?;
    if text.contains(odd) {
        return None;
    }
    let mut parts = Vec::new();
    for part in body.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// The host of an http or https address, in lower case; none where somebody could read it in another way.
pub(crate) fn host(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"))?;
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(odd) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let name = authority.split(':').next()?.trim_end_matches('.');
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let port = authority.strip_prefix(name).unwrap_or_default().trim_start_matches('.');
    let port_ok =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (!name.is_empty() && name.chars().all(plain) && port_ok).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken(rule: &str, arguments: Value) -> Vec<(String, String)> {
        let rule: Rule = serde_json::from_str(rule).unwrap();
        let request = json!({"context": {"tier": "gold", "limit": 900}});
        let look = |pointer: &str| request.pointer(pointer);
        rule.broken(&arguments, &look).into_iter().map(|Broken { at, why }| (at, why)).collect()
    }

    fn passes(rule: &str, arguments: Value) -> bool {
        broken(rule, arguments).is_empty()
    }

    #[test]
    fn numbers_keep_to_bounds_that_may_stand_in_the_request() {
        assert!(passes(r#"{"at":"/n","most":500}"#, json!({"n": 500})));
        assert!(passes(r#"{"at":"/n","most":500}"#, json!({"n": "500"})));
        assert_eq!(
            broken(r#"{"at":"/n","most":500}"#, json!({"n": 500.01})),
            [("/n".into(), "expected at most 500".into())]
        );
        assert!(!passes(r#"{"at":"/n","most":500}"#, json!({"n": "many"})));
        for ambiguous in ["NaN", "1.500", "4e2", "1,5", ""] {
            assert!(!passes(r#"{"at":"/n","most":500}"#, json!({ "n": ambiguous })), "{ambiguous}");
        }
        assert!(passes(r#"{"at":"/n","most":{"from":"/context/limit"}}"#, json!({"n": 900})));
        assert!(!passes(r#"{"at":"/n","most":{"from":"/context/none"}}"#, json!({"n": 1})));
        assert!(!passes(r#"{"at":"/n","least":5,"most":9}"#, json!({"n": 4})));
        assert_eq!(broken(r#"{"at":"/i/*/n","most":5}"#, json!({"i": [{"n": 1}, {"n": 7}]}))[0].0, "/i/1/n");
    }

    #[test]
    fn a_rule_holds_where_it_says_or_where_nobody_knows() {
        let rule = |when: &str| format!(r#"{{"at":"/n","most":5,"when":{when}}}"#);
        assert!(!passes(&rule(r#"{"/context/tier":["gold"]}"#), json!({"n": 9})));
        assert!(passes(&rule(r#"{"/context/tier":["silver","b*"]}"#), json!({"n": 9})));
        assert!(!passes(&rule(r#"{"/context/missing":["silver"]}"#), json!({"n": 9})));
        assert!(!passes(r#"{"at":"/n","most":5}"#, json!({})));
        assert!(passes(r#"{"at":"/n","most":5,"optional":true}"#, json!({})));
    }

    #[test]
    fn a_path_stays_below_its_folder() {
        let rule = r#"{"at":"/p","below":["/srv/claims"]}"#;
        for inside in [
            "/srv/claims/a.pdf",
            "/srv/claims",
            "/srv//claims/./a",
            "/srv/claims/../claims/a",
            "/tmp/../srv/claims/a",
        ] {
            assert!(passes(rule, json!({"p": inside})), "{inside}");
        }
        for outside in [
            "/srv/claimsX/a",
            "/srv/claims/../../etc/passwd",
            "srv/claims/a",
            "/srv/claims/%2e%2e/a",
            "~/a",
            "/srv/claims/$HOME",
            "C:\\srv\\claims",
            "/srv/claims/{x,../../etc/passwd}",
            "/srv/claims/a;id",
            "/srv/claims/a /etc/passwd",
            "/srv/claims/．．／．．／etc",
            "/../srv/claims/a",
            "/srv/claims\0/a",
            "",
            "/srv/claims/..\\a",
        ] {
            assert!(!passes(rule, json!({"p": outside})), "{outside}");
        }
    }

    #[test]
    fn an_address_stays_on_its_hosts() {
        let rule = r#"{"at":"/u","hosts":["acme.example","*.acme.example"]}"#;
        for inside in ["https://acme.example/a", "HTTPS://API.acme.example:8443?x", "http://acme.example."] {
            assert!(passes(rule, json!({"u": inside})), "{inside}");
        }
        for outside in [
            "https://evil.test",
            "https://acme.example.evil.test/",
            "https://acme.example@evil.test/",
            "https://evil.test#acme.example",
            "https://evil.test\\.acme.example",
            "ftp://acme.example",
            "//acme.example",
            "https:acme.example",
            "javascript:alert(1)",
            "https://xn--acme.example.evil.test",
            "https://acme.example:80@evil.test",
            "https://аcme.example",
            "https:///acme.example",
            "https://acme.example:evil",
        ] {
            assert!(!passes(rule, json!({"u": outside})), "{outside}");
        }
    }

    #[test]
    fn lists_likeness_and_schemas() {
        assert!(passes(r#"{"at":"/c","one_of":["EUR","USD",7]}"#, json!({"c": 7})));
        assert!(!passes(r#"{"at":"/c","one_of":["EUR"]}"#, json!({"c": "eur"})));
        assert!(passes(r#"{"at":"/c","like":["INV-*"]}"#, json!({"c": "inv-7"})));
        assert!(!passes(r#"{"at":"/c","like":["inv-*"]}"#, json!({"c": 7})));
        assert!(!passes(r#"{"at":"/c","schema":{"maxLength":2}}"#, json!({"c": "abc"})));
        assert!(!passes(r#"{"at":"/q","sql":"read"}"#, json!({"q": "drop table x"})));
    }

    #[test]
    fn what_demands_nothing_is_refused() {
        for (rule, why) in [
            (r#"{"at":"/n"}"#, "demands nothing"),
            (r#"{"at":"n","most":1}"#, "no JSON pointer"),
            (r#"{"at":"/n","most":1,"when":{"x":[]}}"#, "no JSON pointer"),
            (r#"{"at":"/n","below":["srv"]}"#, "no folder from the root"),
            (r#"{"at":"/n","sql":"write"}"#, "unknown variant"),
            (r#"{"at":"/n","schema":{"kind":1}}"#, "no keyword"),
        ] {
            let told = serde_json::from_str::<Rule>(rule).unwrap_err().to_string();
            assert!(told.contains(why), "{rule}: {told}");
        }
    }
}
