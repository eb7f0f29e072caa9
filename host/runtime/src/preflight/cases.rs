//! The set's own test cases: requests with what the set has to answer to them, one JSON object a line.
//!
//! ```text
//! {"name":"an IBAN is masked","request":{"checkpoint":"inference.input","content":[…]},"effect":"allow","findings":["pii.iban"]}
//! ```
//!
//! `request` and `effect` must be there; `decided_by` names exactly the policies that decide, `findings` codes that must be
//! among those found. The whole set judges, as it would a caller's request, and nothing is recorded.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::combine::Ruling;
use crate::generation::Loaded;
use crate::instance::Waiting;
use crate::judging::Judging;
use crate::loader::Cases;
use crate::report::{Report, SetError};
use crate::request::{Request, RequestLimits};
use crate::state::State;
use crate::text::{harmless, quoted};

/// Most cases of a set: all are judged before it comes into force.
const MOST: usize = 10_000;
/// Failed cases that are told; a set that is wrong in one thing may fail all.
const EXAMPLES: usize = 20;

/// One case, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    request: Box<RawValue>,
    effect: String,
    decided_by: Option<Vec<String>>,
    #[serde(default)]
    findings: Vec<String>,
}

/// Judges all cases; the answer is how many there are.
pub(super) async fn judge(loaded: &Loaded, files: &[Cases]) -> Result<usize, Report> {
    let (mut judged, mut failed) = (0, Vec::new());
    for file in files {
        let lines = file.bytes.split(|byte| *byte == b'\n').enumerate();
        for (index, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
            judged += 1;
            if judged > MOST {
                failed.push(SetError::new(&file.file, index + 1, format!("the set has more than {MOST} test cases")));
                return Err(failed.into());
            }
            if let Err(why) = judge_one(loaded, line).await {
                failed.push(SetError::new(&file.file, index + 1, why));
            }
            if failed.len() == EXAMPLES {
                return Err(failed.into());
            }
        }
    }
    if failed.is_empty() { Ok(judged) } else { Err(failed.into()) }
}

async fn judge_one(loaded: &Loaded, line: &[u8]) -> Result<(), String> {
    let case: Case =
        serde_json::from_slice(line).map_err(|error| format!("no test case: {}", harmless(&error.to_string())))?;
    if !["allow", "review", "deny"].contains(&case.effect.as_str()) {
        return Err(format!("`effect` is {}, expected `allow`, `review` or `deny`", quoted(&case.effect)));
    }
    let request = Request::parse_within(case.request.get().as_bytes(), &RequestLimits::default())
        .map_err(|error| format!("`request` is no request: {error}"))?;
    // Whatever cases before it took, and in whatever order they stand.
    let state = Arc::new(State::volatile());
    let mut judging = Judging::new(loaded, &state, request, Waiting::Nobody);
    judging.ask_all().await;
    let ruled = judging.rule();
    let wrong = case.differs(&ruled.ruling);
    if wrong.is_empty() {
        return Ok(());
    }
    let name =
        case.name.as_ref().map_or_else(|| "test case".to_owned(), |name| format!("test case {}", quoted(name)));
    let failures = ruled.policies.iter().filter_map(|report| {
        let failure = report.outcome.as_ref().err()?;
        Some(format!("; policy `{}` failed: {}", report.name, harmless(&failure.to_string())))
    });
    Err(format!("{name}: {}{}", wrong.join(", "), failures.collect::<String>()))
}

impl Case {
    fn differs(&self, ruling: &Ruling) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.effect != ruling.effect.to_string() {
            let by = ruling.decided_by.join("`, `");
            wrong.push(format!("the answer is {} by `{by}`, expected {}", ruling.effect, self.effect));
        }
        if let Some(expected) = &self.decided_by
            && !same(expected, &ruling.decided_by)
        {
            wrong.push(format!("decided by {:?}, expected {expected:?}", ruling.decided_by));
        }
        let found = |code: &&String| ruling.findings.iter().any(|finding| finding.finding.code == **code);
        wrong.extend(
            self.findings.iter().filter(|code| !found(code)).map(|code| format!("no finding {}", quoted(code))),
        );
        wrong
    }
}

/// Whether two lists have the same names; their order is the set's and says nothing.
fn same(expected: &[String], found: &[String]) -> bool {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    sorted(expected) == sorted(found)
}
