//! What a Rego document means: the value under an entry point, as a verdict in JSON.
//!
//! ```text
//! true, false                     allow, deny
//! undefined                       deny
//! an object                       its `allow` (a boolean) or `effect`; scores, edits and obligations as in a verdict
//!   deny, violation, violations   a set of texts or objects, each a finding; not empty means deny
//!   warn, warnings                the same, and no more than findings
//! a set or array                  as `deny`
//! ```
//!
//! A finding of an object: `msg` or `message`, `code`, `severity`, and the fields a finding has in a verdict; `details` become
//! what was measured.

use serde_json::{Map, Value, json};

use super::bad_output;

/// Rules whose members are reasons to refuse.
const REFUSING: [&str; 3] = ["deny", "violation", "violations"];
/// Rules whose members are only told.
const TELLING: [&str; 2] = ["warn", "warnings"];
/// What an object says as a verdict does.
const AS_IN_A_VERDICT: [&str; 4] = ["findings", "edits", "scores", "obligations"];

/// The verdict that a result set of OPA's means, as JSON.
pub(super) fn verdict(results: &[u8]) -> wasmtime::Result<Vec<u8>> {
    // Most policies only say yes or no, which OPA's modules write like this.
    match results {
        br#"{{"result": true}}"# => return Ok(br#"{"effect":"allow"}"#.to_vec()),
        br#"{{"result": false}}"# => return Ok(br#"{"effect":"deny"}"#.to_vec()),
        _ => {}
    }
    let unread = |why: &str| bad_output(&format!("the result of the policy cannot be read: {why}"));
    let results = std::str::from_utf8(results).map_err(|_| unread("it is no text"))?;
    // Sets are sorted here: a module of OPA's has them in the order of its hashes.
    let results = weir_rego::Value::parse(results).map_err(|why| unread(&why))?.to_json();
    let document = results.get(0).and_then(|result| result.get("result"));
    let verdict = match document {
        None => json!({ "effect": "deny", "findings": [undefined()] }),
        Some(document) => of(document).map_err(|why| bad_output(&why))?,
    };
    Ok(serde_json::to_vec(&verdict).expect("JSON always serialises"))
}

fn undefined() -> Value {
    json!({ "code": "rego.undefined", "severity": "info", "message": "the policy says nothing about this request" })
}

fn of(document: &Value) -> Result<Value, String> {
    match document {
        Value::Bool(allowed) => Ok(json!({ "effect": if *allowed { "allow" } else { "deny" } })),
        Value::Array(members) => {
            let effect = if members.is_empty() { "allow" } else { "deny" };
            Ok(json!({ "effect": effect, "findings": findings("deny", "high", members)? }))
        }
        Value::Object(fields) => of_object(fields),
        other => Err(format!("a policy answers true, false, a set or an object, not {other}")),
    }
}

fn of_object(fields: &Map<String, Value>) -> Result<Value, String> {
    let mut verdict = Map::new();
    let taken = AS_IN_A_VERDICT.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone())));
    verdict.extend(taken);
    let mut found = match verdict.remove("findings") {
        None => Vec::new(),
        Some(Value::Array(findings)) => findings,
        Some(other) => return Err(format!("`findings` is a list, not {other}")),
    };
    let mut refuses = false;
    for (rules, severity) in [(&REFUSING[..], "high"), (&TELLING[..], "low")] {
        for rule in rules.iter().filter(|rule| fields.contains_key(**rule)) {
            let members = match &fields[*rule] {
                Value::Array(members) => members.clone(),
                Value::Object(by_key) => by_key.values().cloned().collect(),
                Value::Bool(said) if severity == "high" => {
                    refuses |= *said;
                    continue;
                }
                other => return Err(format!("`{rule}` is a set of texts or objects, not {other}")),
            };
            refuses |= severity == "high" && !members.is_empty();
            found.extend(findings(rule, severity, &members)?);
        }
    }
    let effect = match (fields.get("effect"), fields.get("allow")) {
        _ if refuses => "deny".into(),
        (Some(effect), Some(Value::Bool(allowed))) if (effect == "allow") != *allowed => {
            return Err(format!("its `effect` is {effect}, and its `allow` is {allowed}"));
        }
        (Some(effect), _) => effect.clone(),
        (None, Some(Value::Bool(true))) => "allow".into(),
        (None, Some(Value::Bool(false))) => "deny".into(),
        (None, Some(other)) => return Err(format!("`allow` is true or false, not {other}")),
        (None, None) if REFUSING.iter().any(|rule| fields.contains_key(*rule)) => "allow".into(),
        (None, None) => {
            return Err("the object has none of `effect`, `allow`, `deny`, `violation` and `violations`".to_owned());
        }
    };
    verdict.insert("effect".to_owned(), effect);
    verdict.insert("findings".to_owned(), found.into());
    Ok(Value::Object(verdict))
}

fn findings(rule: &str, severity: &str, members: &[Value]) -> Result<Vec<Value>, String> {
    members.iter().map(|member| finding(rule, severity, member)).collect()
}

fn finding(rule: &str, severity: &str, member: &Value) -> Result<Value, String> {
    let mut finding = Map::new();
    finding.insert("code".to_owned(), format!("rego.{rule}").into());
    finding.insert("severity".to_owned(), severity.into());
    match member {
        Value::String(message) => _ = finding.insert("message".to_owned(), message.clone().into()),
        Value::Object(fields) => {
            let message = fields.get("msg").or_else(|| fields.get("message")).cloned();
            finding.insert("message".to_owned(), message.unwrap_or_else(|| rule.into()));
            if let Some(details) = fields.get("details") {
                let text = details.as_str().map_or_else(|| details.to_string(), str::to_owned);
                finding.insert("measured".to_owned(), text.into());
            }
            let own = ["code", "severity", "at", "start", "end", "measured", "threshold", "because"];
            finding.extend(own.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone()))));
        }
        other => return Err(format!("a member of `{rule}` is a text or an object, not {other}")),
    }
    Ok(Value::Object(finding))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(document: &str) -> Result<Value, String> {
        let results = format!(r#"{{{{"result":{document}}}}}"#);
        verdict(results.as_bytes())
            .map(|json| serde_json::from_slice(&json).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn yes_and_no_are_the_same_by_the_short_way() {
        for (document, effect) in [("true", "allow"), ("false", "deny")] {
            let long = verdict(format!(r#"{{{{"result":{document}}}}}"#).as_bytes()).unwrap();
            let short = verdict(format!(r#"{{{{"result": {document}}}}}"#).as_bytes()).unwrap();
            assert_eq!(
                (short, long),
                (format!(r#"{{"effect":"{effect}"}}"#).into(), format!(r#"{{"effect":"{effect}"}}"#).into())
            );
        }
    }

    #[test]
    fn documents_mean_verdicts() {
        for (document, effect, findings) in [
            ("true", "allow", 0),
            ("false", "deny", 0),
            ("[]", "allow", 0),
            (r#"{"b","a"}"#, "deny", 2),
            (r#"["b","a"]"#, "deny", 2),
            ("set()", "allow", 0),
            (r#"{"allow":true}"#, "allow", 0),
            (r#"{"allow":false}"#, "deny", 0),
            (r#"{"allow":true,"deny":["no"]}"#, "deny", 1),
            (r#"{"allow":true,"deny":[],"warn":["careful"]}"#, "allow", 1),
            (r#"{"violation":[{"msg":"m","details":{"n":1}}]}"#, "deny", 1),
            (r#"{"violations":[]}"#, "allow", 0),
            (r#"{"effect":"review","findings":[]}"#, "review", 0),
            (r#"{"effect":"review","allow":false}"#, "review", 0),
            (r#"{"effect":"allow","allow":true}"#, "allow", 0),
            (r#"{"effect":"allow","allow":false,"deny":["no"]}"#, "deny", 1),
        ] {
            let verdict = said(document).unwrap();
            let count = verdict["findings"].as_array().map_or(0, Vec::len);
            assert_eq!((verdict["effect"].as_str(), count), (Some(effect), findings), "{document}");
        }
        assert_eq!(said(r#"{"b","a"}"#).unwrap()["findings"][0]["message"], "a");
        let contradiction = said(r#"{"effect":"allow","allow":false}"#).unwrap_err();
        assert!(contradiction.contains(r#"its `effect` is "allow", and its `allow` is false"#), "{contradiction}");
    }

    #[test]
    fn undefined_is_deny_and_nonsense_an_error() {
        let verdict: Value = serde_json::from_slice(&verdict(b"set()").unwrap()).unwrap();
        assert_eq!((&verdict["effect"], &verdict["findings"][0]["code"]), (&"deny".into(), &"rego.undefined".into()));
        for document in
            ["7", r#""yes""#, "{}", r#"{"allow":"yes"}"#, r#"{"deny":"no"}"#, "[7]", r#"{"findings":1,"allow":true}"#]
        {
            assert!(said(document).is_err(), "{document}");
        }
    }
}
