//! The right to go on, as a value: code behind a checkpoint takes a [`Permit`], so it cannot run without one.

use std::fmt;
use std::ops::Range;

use crate::combine::{MergedEdit, MergedObligation};
use crate::decision::Decision;
use crate::json::{Document, Kind, Places, Value, write_text};
use crate::verdict::Effect;

/// One part of a request's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Who says it, such as `user`; empty where the caller did not say.
    pub role: String,
    /// Where it comes from: `system`, `user`, `model`, `tool` or `retrieved`; empty where the caller did not say.
    pub origin: String,
    /// The text.
    pub text: String,
}

/// An allowed request with all edits made.
#[derive(Debug, Clone)]
pub struct Permit {
    body: String,
    decision: Decision,
}

impl Decision {
    /// Turns an allowing decision into the right to go on, with the edits made.
    ///
    /// # Errors
    /// A decision that does not allow comes back as [`Denied`].
    pub fn permit(self) -> Result<Permit, Denied> {
        if self.effect() != Effect::Allow {
            return Err(Denied { decision: Box::new(self) });
        }
        Ok(Permit { body: edited(self.request().root(), self.edits()), decision: self })
    }
}

impl Permit {
    /// The caller's request as JSON, edits made, everything else as the caller wrote it.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The content, edits made.
    pub fn content(&self) -> Vec<Part> {
        let document =
            crate::json::Document::parse(self.body.as_bytes(), usize::MAX).expect("edits keep JSON intact");
        let text = |part: Value<'_>, key| part.get(key).and_then(Value::as_text).unwrap_or_default().into_owned();
        let part = |part: Value<'_>| Part {
            role: text(part, "role"),
            origin: text(part, "origin"),
            text: text(part, "text"),
        };
        document.root().get("content").map_or_else(Vec::new, |content| content.items().map(part).collect())
    }

    /// What the caller has to do.
    pub fn obligations(&self) -> &[MergedObligation] {
        self.decision.obligations()
    }

    /// The decision behind it.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

/// A decision that does not let the action go on.
#[derive(Debug, Clone)]
pub struct Denied {
    decision: Box<Decision>,
}

impl Denied {
    /// The decision behind it: deny, or review.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.decision.decided_by().join("`, `");
        match self.decision.effect() {
            Effect::Review => write!(f, "held for review by `{by}`"),
            _ => write!(f, "denied by `{by}`"),
        }
    }
}

impl std::error::Error for Denied {}

/// The request's text with each edit made inside the JSON text it points to, in one pass.
fn edited(root: Value<'_>, edits: &[MergedEdit]) -> String {
    let (origin, _) = root.span();
    let mut places = Places::of(root);
    let mut splices: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    // INVARIANT: merged edits are sorted by place and do not overlap.
    for same_place in edits.chunk_by(|a, b| a.edit.at == b.edit.at) {
        let at = &same_place[0].edit.at;
        let value = places.at(at).expect("edits were checked against this request");
        let (start, end) = value.span();
        let text = places.text(at).expect("edits were checked to point to text");
        let replacements = same_place
            .iter()
            .map(|merged| &merged.edit)
            .map(|edit| (edit.start as usize..edit.end as usize, edit.replacement.as_bytes()));
        let text = spliced(text, replacements);
        let mut json = Vec::with_capacity(text.len() + 2);
        match value.kind() {
            // What several policies wanted otherwise is no number any more.
            Kind::Number if Document::parse(text.as_bytes(), 1).is_ok() => json.extend(text.as_bytes()),
            _ => write_text(&text, &mut json),
        }
        splices.push((start - origin..end - origin, json));
    }
    splices.sort_by_key(|(span, _)| span.start);
    spliced(root.raw(), splices.iter().map(|(span, json)| (span.clone(), json.as_slice())))
}

/// `text` with each span replaced; the spans are sorted, whole characters, and do not overlap.
fn spliced<'r>(text: &str, replacements: impl Iterator<Item = (Range<usize>, &'r [u8])>) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for (span, replacement) in replacements {
        out.extend_from_slice(&text.as_bytes()[done..span.start]);
        out.extend_from_slice(replacement);
        done = span.end;
    }
    out.extend_from_slice(&text.as_bytes()[done..]);
    String::from_utf8(out).expect("whole characters were replaced by whole characters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Edit;

    fn edit(at: &str, start: u32, end: u32, replacement: &str) -> MergedEdit {
        let edit = Edit { at: at.into(), start, end, replacement: replacement.into() };
        MergedEdit { edit, policies: vec!["p".into()] }
    }

    #[test]
    fn edits_are_made_in_place_and_the_rest_stays_as_written() {
        let body = r#" {"payload": {"iban":"DE\u0030\"x", "n":1.50, "rows":77}, "content":[{"text":"a DE02 b DE03"},{"text":"é"}]} "#;
        let document = Document::parse(body.as_bytes(), 64).unwrap();
        let edits = [
            edit("/content/0/text", 2, 6, "<A>"),
            edit("/content/0/text", 9, 13, "<\"B\">"),
            edit("/content/1/text", 0, 2, ""),
            edit("/payload/iban", 0, 3, "*"),
            edit("/payload/n", 0, 4, "1.2"),
            edit("/payload/rows", 0, 2, "[REDACTED]"),
        ];
        let expected = r#"{"payload": {"iban":"*\"x", "n":1.2, "rows":"[REDACTED]"}, "content":[{"text":"a <A> b <\"B\">"},{"text":""}]}"#;
        assert_eq!(edited(document.root(), &edits), expected);
    }
}
