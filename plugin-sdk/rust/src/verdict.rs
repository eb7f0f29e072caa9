//! What a policy answers: the verdict and its parts, serialised without empty keys.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Serialize, Serializer};

/// One policy's answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What shall happen.
    pub effect: Effect,
    /// The coded reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Replacements in the request's texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Named risks from 0 to 1, where higher is worse.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// Duties of the caller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Obligation>,
}

impl Verdict {
    /// A verdict with this effect and nothing else.
    pub fn new(effect: Effect) -> Verdict {
        Verdict { effect, findings: Vec::new(), edits: Vec::new(), scores: BTreeMap::new(), obligations: Vec::new() }
    }

    /// The step may proceed.
    pub fn allow() -> Verdict {
        Verdict::new(Effect::Allow)
    }

    /// People must look at the step first.
    pub fn review() -> Verdict {
        Verdict::new(Effect::Review)
    }

    /// The step must not happen.
    pub fn deny() -> Verdict {
        Verdict::new(Effect::Deny)
    }

    /// Makes the effect at least this strict; never loosens it.
    pub fn at_least(mut self, effect: Effect) -> Verdict {
        self.effect = self.effect.max(effect);
        self
    }

    /// Adds a reason.
    pub fn finding(mut self, finding: Finding) -> Verdict {
        self.findings.push(finding);
        self
    }

    /// Adds a replacement.
    pub fn edit(mut self, edit: Edit) -> Verdict {
        self.edits.push(edit);
        self
    }

    /// Sets a named risk from 0 to 1; any other measurement belongs into a finding. A value outside makes the answer an
    /// error.
    pub fn score(mut self, name: impl Into<String>, risk: f64) -> Verdict {
        self.scores.insert(name.into(), risk);
        self
    }

    /// Adds a duty of the caller.
    pub fn obligation(mut self, obligation: Obligation) -> Verdict {
        self.obligations.push(obligation);
        self
    }

    /// Refuses scores that are no risks here, where the policy's author can still be told which: JSON has no NaN, so
    /// the host would only see a `null`.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |(_, risk): &(&String, &f64)| !(0.0..=1.0).contains(*risk);
        match self.scores.iter().find(wrong) {
            Some((name, risk)) => Err(format!("the score `{name}` is {risk}, but a score is a risk from 0 to 1")),
            None => Ok(()),
        }
    }
}

/// What shall happen, from the loosest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The step may proceed.
    Allow,
    /// People must look first.
    Review,
    /// The step must not happen.
    Deny,
}

/// How grave a finding is, from the mildest to the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Small.
    Low,
    /// Noticeable.
    Medium,
    /// Serious.
    High,
    /// The worst.
    Critical,
}

/// A coded reason, with its place and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Stable and dotted, such as `pii.iban`; what rules and dashboards refer to.
    pub code: String,
    /// How grave it is.
    pub severity: Severity,
    /// One sentence for people. Never repeats the sensitive text itself: findings are recorded.
    pub message: String,
    /// JSON pointer into the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// First byte in the text at `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    /// One past the last byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Quantity>,
    /// What it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Quantity>,
    /// The rules it rests on, such as `eu-gdpr`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

impl Finding {
    /// A finding without a place.
    pub fn new(code: impl Into<String>, severity: Severity, message: impl Into<String>) -> Finding {
        Finding {
            code: code.into(),
            severity,
            message: message.into(),
            at: None,
            start: None,
            end: None,
            measured: None,
            threshold: None,
            because: Vec::new(),
        }
    }

    /// Points to a span of the text at a JSON pointer, in bytes and on character boundaries.
    pub fn at(mut self, pointer: impl Into<String>, span: Range<usize>) -> Finding {
        self.at = Some(pointer.into());
        self.start = Some(span.start);
        self.end = Some(span.end);
        self
    }

    /// Points to the whole value at a JSON pointer, such as `/action/name`.
    pub fn at_value(mut self, pointer: impl Into<String>) -> Finding {
        self.at = Some(pointer.into());
        self.start = None;
        self.end = None;
        self
    }

    /// Says what was found.
    pub fn measured(mut self, quantity: impl Into<Quantity>) -> Finding {
        self.measured = Some(quantity.into());
        self
    }

    /// Says what it was compared with.
    pub fn threshold(mut self, quantity: impl Into<Quantity>) -> Finding {
        self.threshold = Some(quantity.into());
        self
    }

    /// Names the rules it rests on.
    pub fn because<R: Into<String>>(mut self, rules: impl IntoIterator<Item = R>) -> Finding {
        self.because.extend(rules.into_iter().map(R::into));
        self
    }
}

/// A measured value or a threshold.
#[derive(Debug, Clone, PartialEq)]
pub enum Quantity {
    /// A number; one that JSON cannot express is written as text (`NaN`, `inf`, `-inf`).
    Number(f64),
    /// Anything else, such as a currency amount or a name.
    Text(String),
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Quantity::Number(number) if number.is_finite() => serializer.serialize_f64(*number),
            Quantity::Number(number) => serializer.collect_str(number),
            Quantity::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl From<f64> for Quantity {
    fn from(number: f64) -> Quantity {
        Quantity::Number(number)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Quantity {
        Quantity::Text(text.to_owned())
    }
}

impl From<String> for Quantity {
    fn from(text: String) -> Quantity {
        Quantity::Text(text)
    }
}

/// A replacement of a span in one of the request's texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// JSON pointer of the text.
    pub at: String,
    /// First byte replaced, on a character boundary.
    pub start: usize,
    /// One past the last byte replaced, on a character boundary.
    pub end: usize,
    /// What stands there instead.
    pub replacement: String,
}

impl Edit {
    /// Replaces a span of the text at a JSON pointer.
    pub fn new(pointer: impl Into<String>, span: Range<usize>, replacement: impl Into<String>) -> Edit {
        Edit { at: pointer.into(), start: span.start, end: span.end, replacement: replacement.into() }
    }
}

/// A duty that comes with the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obligation {
    /// What the caller must do, such as `disclose_ai`.
    pub name: String,
    /// The rules that demand it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

impl Obligation {
    /// A duty without a named rule.
    pub fn new(name: impl Into<String>) -> Obligation {
        Obligation { name: name.into(), because: Vec::new() }
    }

    /// Names the rules that demand it.
    pub fn because<R: Into<String>>(mut self, rules: impl IntoIterator<Item = R>) -> Obligation {
        self.because.extend(rules.into_iter().map(R::into));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(verdict: Verdict, json: &str) {
        assert_eq!(serde_json::to_string(&verdict).unwrap(), json);
    }

    #[test]
    fn an_empty_verdict_is_its_effect() {
        check(Verdict::allow(), r#"{"effect":"allow"}"#);
        check(Verdict::review(), r#"{"effect":"review"}"#);
        check(Verdict::deny(), r#"{"effect":"deny"}"#);
    }

    #[test]
    fn the_whole_shape_is_the_contracts() {
        let finding = Finding::new("pii.iban", Severity::High, "IBAN")
            .at("/content/0/text", 12..34)
            .measured("wire")
            .threshold(0.8)
            .because(["eu-gdpr", "house:P-2"]);
        let verdict = Verdict::deny()
            .finding(finding)
            .edit(Edit::new("/content/0/text", 12..34, "<IBAN_1>"))
            .score("injection", 0.12)
            .obligation(Obligation::new("disclose_ai").because(["eu-aia-art50"]));
        check(
            verdict,
            concat!(
                r#"{"effect":"deny","findings":[{"code":"pii.iban","severity":"high","message":"IBAN","#,
                r#""at":"/content/0/text","start":12,"end":34,"measured":"wire","threshold":0.8,"#,
                r#""because":["eu-gdpr","house:P-2"]}],"#,
                r#""edits":[{"at":"/content/0/text","start":12,"end":34,"replacement":"<IBAN_1>"}],"#,
                r#""scores":{"injection":0.12},"#,
                r#""obligations":[{"name":"disclose_ai","because":["eu-aia-art50"]}]}"#
            ),
        );
    }

    #[test]
    fn a_finding_leaves_out_what_it_lacks() {
        let bare = Finding::new("tool.unknown", Severity::Info, "m");
        check(
            Verdict::review().finding(bare.clone()),
            r#"{"effect":"review","findings":[{"code":"tool.unknown","severity":"info","message":"m"}]}"#,
        );
        check(
            Verdict::review().finding(bare.at("/x", 1..2).at_value("/action/name")),
            concat!(
                r#"{"effect":"review","findings":[{"code":"tool.unknown","severity":"info","message":"m","#,
                r#""at":"/action/name"}]}"#
            ),
        );
    }

    #[test]
    fn effects_only_tighten() {
        assert_eq!(Verdict::allow().at_least(Effect::Review).effect, Effect::Review);
        assert_eq!(Verdict::deny().at_least(Effect::Review).effect, Effect::Deny);
    }

    #[test]
    fn floats_survive_the_round_trip() {
        for number in [0.1 + 0.2, f64::MIN_POSITIVE, 1.0 / 3.0, 1e300, -0.0] {
            let json = serde_json::to_string(&Quantity::from(number)).unwrap();
            let back: f64 = serde_json::from_str(&json).unwrap();
            assert_eq!(back.to_bits(), number.to_bits(), "{json}");
        }
    }

    #[test]
    fn what_json_cannot_express_becomes_text() {
        let json = |number| serde_json::to_string(&Quantity::Number(number)).unwrap();
        assert_eq!(json(f64::NAN), r#""NaN""#);
        assert_eq!(json(f64::INFINITY), r#""inf""#);
        assert_eq!(json(f64::NEG_INFINITY), r#""-inf""#);
    }

    #[test]
    fn a_score_is_a_risk_from_0_to_1() {
        for risk in [0.0, 0.5, 1.0] {
            assert_eq!(Verdict::allow().score("risk", risk).check(), Ok(()));
        }
        for risk in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let error = Verdict::allow().score("risk", risk).check().unwrap_err();
            assert_eq!(error, format!("the score `risk` is {risk}, but a score is a risk from 0 to 1"));
        }
    }
}
