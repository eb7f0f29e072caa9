//! A guest's answer, from bytes to [`Answer`].

use std::collections::BTreeMap;

use super::{Edit, Effect, Finding, Obligation, Quantity, Severity, Verdict};
use crate::json::{Document, JsonError, Kind, Path, Places, Value, required};
use crate::text::{one_line, quoted};

/// A verdict is flat: anything nested deeper than this is not one.
const MAX_DEPTH: usize = 8;
/// Longest code, name or reference, in bytes.
const LONGEST_NAME: usize = 128;
/// Longest message, in bytes; the rest is cut.
const LONGEST_MESSAGE: usize = 1024;
/// Most findings, edits, obligations or references each: what the host does with them is nobody's fuel.
const MOST_ITEMS: usize = 4096;

/// What a guest answered.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Verdict(Verdict),
    /// The guest's own word that it cannot judge.
    Error(String),
}

/// Decodes a guest's answer; `request` is what it was asked about. Edits must fit the texts in it, and stay within what
/// the guest `may_edit`.
pub(crate) fn decode(bytes: &[u8], request: Value<'_>, may_edit: impl Fn(&str) -> bool) -> Result<Answer, JsonError> {
    // What most answers say, as most guests write it, has nothing in it to look at.
    if bytes == br#"{"effect":"allow"}"# {
        return Ok(Answer::Verdict(Verdict::of(Effect::Allow)));
    }
    let document = Document::parse(bytes, MAX_DEPTH)?;
    let root = document.root();
    if let Some(error) = root.get("error") {
        let [_] = root.fields(&Path::Root, ["error"])?;
        let text = error.text(&Path::Root.key("error"))?;
        return Ok(Answer::Error(one_line(&text, LONGEST_MESSAGE).into_owned()));
    }
    verdict(root, &mut Places::of(request), may_edit).map(Answer::Verdict)
}

fn verdict(root: Value<'_>, places: &mut Places<'_>, may_edit: impl Fn(&str) -> bool) -> Result<Verdict, JsonError> {
    let at = Path::Root;
    let [effect, findings, edits, scores, obligations] =
        root.fields(&at, ["effect", "findings", "edits", "scores", "obligations"])?;
    let effect = required(effect, &at, "effect")?;
    Ok(Verdict {
        effect: one_of(effect, &at.key("effect"), EFFECTS)?,
        findings: list(findings, &at.key("findings"), finding)?,
        edits: list(edits, &at.key("edits"), |value, at| edit(value, at, places, &may_edit))?,
        scores: scores.map_or(Ok(BTreeMap::new()), |value| self::scores(value, &at.key("scores")))?,
        obligations: list(obligations, &at.key("obligations"), obligation)?,
    })
}

const EFFECTS: [(&str, Effect); 3] = [("allow", Effect::Allow), ("review", Effect::Review), ("deny", Effect::Deny)];

const SEVERITIES: [(&str, Severity); 5] = [
    ("info", Severity::Info),
    ("low", Severity::Low),
    ("medium", Severity::Medium),
    ("high", Severity::High),
    ("critical", Severity::Critical),
];

fn finding(value: Value<'_>, at: &Path<'_>) -> Result<Finding, JsonError> {
    let keys = ["code", "severity", "message", "at", "start", "end", "measured", "threshold", "because"];
    let [code, severity, message, place, start, end, measured, threshold, because] = value.fields(at, keys)?;
    let message = required(message, at, "message")?.text(&at.key("message"))?;
    let finding = Finding {
        code: name(required(code, at, "code")?, &at.key("code"))?,
        severity: one_of(required(severity, at, "severity")?, &at.key("severity"), SEVERITIES)?,
        message: one_line(&message, LONGEST_MESSAGE).into_owned(),
        at: given(place).map(|value| pointer(value, &at.key("at"))).transpose()?,
        start: given(start).map(|value| offset(value, &at.key("start"))).transpose()?,
        end: given(end).map(|value| offset(value, &at.key("end"))).transpose()?,
        measured: quantity(measured, &at.key("measured"))?,
        threshold: quantity(threshold, &at.key("threshold"))?,
        because: list(because, &at.key("because"), name)?,
    };
    match (finding.start, finding.end) {
        (Some(start), Some(end)) if start > end => Err(at.key("end").error("ends before it starts")),
        _ => Ok(finding),
    }
}

fn edit(
    value: Value<'_>,
    at: &Path<'_>,
    places: &mut Places<'_>,
    may_edit: impl Fn(&str) -> bool,
) -> Result<Edit, JsonError> {
    let [place, start, end, replacement] = value.fields(at, ["at", "start", "end", "replacement"])?;
    let mut edit = Edit {
        at: pointer(required(place, at, "at")?, &at.key("at"))?,
        start: offset(required(start, at, "start")?, &at.key("start"))?,
        end: offset(required(end, at, "end")?, &at.key("end"))?,
        replacement: required(replacement, at, "replacement")?.text(&at.key("replacement"))?.into_owned(),
    };
    if !may_edit(&edit.at) {
        return Err(at
            .key("at")
            .error(format!("the policy does not read {}, so it may not edit it", quoted(&edit.at))));
    }
    let Some(text) = places.text(&edit.at) else {
        return Err(at.key("at").error(format!("the request has no text at {}", quoted(&edit.at))));
    };
    let (start, end) = (edit.start as usize, edit.end as usize);
    if start > end || !text.is_char_boundary(start) || !text.is_char_boundary(end) {
        let length = text.len();
        return Err(at.error(format!("bytes {start} to {end} are no span of whole characters in {length} bytes")));
    }
    let length = text.len();
    if places.at(&edit.at).is_some_and(|value| value.kind() == Kind::Number) {
        // A guest has the number, not the digits it was written with.
        let whole = start == 0 && (end == 0 || end == length);
        if !(whole && is_json_number(&edit.replacement)) {
            return Err(at.error("a number is replaced whole (`start` and `end` 0), by another number"));
        }
        edit.end = length as u32;
    }
    Ok(edit)
}

fn is_json_number(text: &str) -> bool {
    Document::parse(text.as_bytes(), 1).is_ok_and(|document| document.root().kind() == Kind::Number)
}

fn scores(value: Value<'_>, at: &Path<'_>) -> Result<BTreeMap<String, f64>, JsonError> {
    let mut scores = BTreeMap::new();
    for (key, value) in value.expect(Kind::Object, at)?.members() {
        let at = at.key(&key);
        let score: f64 = value.number(&at, "a number from 0 to 1")?;
        if !(0.0..=1.0).contains(&score) {
            return Err(at.error(format!("expected a number from 0 to 1, found {}", quoted(value.raw()))));
        }
        scores.insert(short_name(&key, &at)?, score);
    }
    Ok(scores)
}

fn obligation(value: Value<'_>, at: &Path<'_>) -> Result<Obligation, JsonError> {
    let [label, because] = value.fields(at, ["name", "because"])?;
    Ok(Obligation {
        name: name(required(label, at, "name")?, &at.key("name"))?,
        because: list(because, &at.key("because"), name)?,
    })
}

/// An optional key may be written as null.
fn given(value: Option<Value<'_>>) -> Option<Value<'_>> {
    value.filter(|value| value.kind() != Kind::Null)
}

fn list<T>(
    value: Option<Value<'_>>,
    at: &Path<'_>,
    mut item: impl FnMut(Value<'_>, &Path<'_>) -> Result<T, JsonError>,
) -> Result<Vec<T>, JsonError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items = value.expect(Kind::Array, at)?.items().enumerate();
    let checked = |(i, value)| match i {
        MOST_ITEMS => Err(at.error(format!("more than {MOST_ITEMS} items"))),
        _ => item(value, &at.index(i)),
    };
    items.map(checked).collect()
}

fn one_of<T: Copy, const N: usize>(value: Value<'_>, at: &Path<'_>, words: [(&str, T); N]) -> Result<T, JsonError> {
    let text = value.text(at)?;
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known = words.map(|(word, _)| word).join("`, `");
        at.error(format!("expected one of `{known}`, found {}", quoted(&text)))
    })
}

fn name(value: Value<'_>, at: &Path<'_>) -> Result<String, JsonError> {
    short_name(&value.text(at)?, at)
}

fn short_name(text: &str, at: &Path<'_>) -> Result<String, JsonError> {
    let plain = one_line(text, LONGEST_NAME);
    if text.is_empty() || plain != text {
        return Err(at.error(format!("expected 1 to {LONGEST_NAME} bytes without control characters")));
    }
    Ok(plain.into_owned())
}

fn pointer(value: Value<'_>, at: &Path<'_>) -> Result<String, JsonError> {
    let text = value.text(at)?;
    match crate::json::segments(&text) {
        Some(_) if one_line(&text, 1024) == text => Ok(text.into_owned()),
        _ => Err(at.error("expected a JSON pointer such as `/content/0/text`")),
    }
}

fn offset(value: Value<'_>, at: &Path<'_>) -> Result<u32, JsonError> {
    value.number(at, "a byte offset")
}

fn quantity(value: Option<Value<'_>>, at: &Path<'_>) -> Result<Option<Quantity>, JsonError> {
    let Some(value) = given(value) else { return Ok(None) };
    if value.kind() == Kind::Text {
        return Ok(Some(Quantity::Text(one_line(&value.text(at)?, LONGEST_MESSAGE).into_owned())));
    }
    let number: f64 = value.number(at, "a number or text")?;
    if number.is_finite() { Ok(Some(Quantity::Number(number))) } else { Err(at.error("the number is too large")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(answer: &str) -> Result<Answer, (String, String)> {
        let request =
            Document::parse(r#"{"content":[{"text":"aé\nb","role":"user"}],"payload":{"rows":5000}}"#.as_bytes(), 64)
                .unwrap();
        decode(answer.as_bytes(), request.root(), |at| at != "/content/0/role").map_err(|e| (e.pointer, e.message))
    }

    #[test]
    fn the_full_shape_is_read() {
        let answer = r#"{"effect":"review",
            "findings":[{"code":"pii.iban","severity":"high","message":"IBAN\n","at":"/content/0/text","start":1,"end":3,
                         "measured":"wire","threshold":null,"because":["eu-gdpr"]},
                        {"code":"x","severity":"info","message":"","measured":0.25}],
            "edits":[{"at":"/content/0/text","start":1,"end":4,"replacement":"<X>"}],
            "scores":{"injection":0.12},"obligations":[{"name":"disclose_ai"}]}"#;
        let Ok(Answer::Verdict(verdict)) = decoded(answer) else { panic!("{:?}", decoded(answer)) };
        assert_eq!(verdict.effect, Effect::Review);
        assert_eq!(verdict.findings[0].message, "IBAN ");
        assert_eq!(verdict.findings[0].measured, Some(Quantity::Text("wire".into())));
        assert_eq!(verdict.findings[1].measured, Some(Quantity::Number(0.25)));
        assert_eq!(verdict.edits[0].end, 4);
        assert_eq!(verdict.scores["injection"], 0.12);
        assert_eq!(verdict.obligations[0].name, "disclose_ai");
    }

    #[test]
    fn a_number_may_become_another_one() {
        let answer =
            r#"{"effect":"allow","edits":[{"at":"/payload/rows","start":0,"end":0,"replacement":"-1.5e2"}]}"#;
        let Ok(Answer::Verdict(verdict)) = decoded(answer) else { panic!("{:?}", decoded(answer)) };
        assert_eq!((verdict.edits[0].end, verdict.edits[0].replacement.as_str()), (4, "-1.5e2"));
    }

    #[test]
    fn an_error_is_the_guests_own_word() {
        assert_eq!(decoded(r#"{"error":"no\tmodel"}"#), Ok(Answer::Error("no model".into())));
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        let cases = [
            (r#"{}"#, "", "`effect` is missing"),
            (r#"[]"#, "", "expected an object"),
            (r#"{"effect":"Allow"}"#, "/effect", "expected one of"),
            (r#"{"effect":"allow","effect":"deny"}"#, "/effect", "duplicate key"),
            (r#"{"effect":"allow","reason":1}"#, "/reason", "unknown key"),
            (r#"{"effect":"allow","error":"x"}"#, "/effect", "unknown key"),
            (r#"{"effect":"allow","scores":{"a":1.5}}"#, "/scores/a", "from 0 to 1"),
            (r#"{"effect":"allow","scores":{"a":-0.1}}"#, "/scores/a", "from 0 to 1"),
            (r#"{"effect":"allow","scores":{"":0}}"#, "/scores/", "1 to 128 bytes"),
            (
                r#"{"effect":"allow","findings":[{"code":"a","severity":"bad","message":""}]}"#,
                "/findings/0/severity",
                "one of",
            ),
            (
                r#"{"effect":"allow","findings":[{"code":"a\u0000","severity":"low","message":""}]}"#,
                "/findings/0/code",
                "control",
            ),
            (
                r#"{"effect":"allow","findings":[{"code":"a","severity":"low","message":"","start":2,"end":1}]}"#,
                "/findings/0/end",
                "before",
            ),
            (
                r#"{"effect":"allow","findings":[{"code":"a","severity":"low","message":"","measured":1e999}]}"#,
                "/findings/0/measured",
                "too large",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content/1/text","start":0,"end":0,"replacement":""}]}"#,
                "/edits/0/at",
                "no text at",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content","start":0,"end":0,"replacement":""}]}"#,
                "/edits/0/at",
                "no text at",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content/0/text","start":0,"end":2,"replacement":""}]}"#,
                "/edits/0",
                "whole characters",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content/0/text","start":0,"end":9,"replacement":""}]}"#,
                "/edits/0",
                "whole characters",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content/0/text","start":3,"end":1,"replacement":""}]}"#,
                "/edits/0",
                "whole characters",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content/0/text","start":-1,"end":1,"replacement":""}]}"#,
                "/edits/0/start",
                "byte offset",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/content/0/role","start":0,"end":1,"replacement":""}]}"#,
                "/edits/0/at",
                "does not read",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/payload/rows","start":0,"end":2,"replacement":"1"}]}"#,
                "/edits/0",
                "replaced whole",
            ),
            (
                r#"{"effect":"allow","edits":[{"at":"/payload/rows","start":0,"end":4,"replacement":"1,\"x\":2"}]}"#,
                "/edits/0",
                "by another number",
            ),
            (r#"{"effect":"allow"} x"#, "", "after the value"),
        ];
        for (answer, pointer, message) in cases {
            let (at, why) = decoded(answer).expect_err(answer);
            assert_eq!(at, pointer, "{answer}: {why}");
            assert!(why.contains(message), "{answer}: {why}");
        }
    }
}
