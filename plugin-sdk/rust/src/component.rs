//! The guest's side of the component ABI: the typed records of `wit/policy.wit` become the types of this library, and back.
//!
//! With the feature `component` [`policy!`](crate::policy) makes a module for a component, which `weir build` turns into one.

use std::cell::RefCell;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::abi::{Evaluate, Guest};
use crate::{Action, Effect, Entity, Finding, Measure, Origin, Part, Quantity, Request, Severity, Verdict};

#[expect(missing_docs, reason = "generated from the WIT")]
#[allow(clippy::all, unreachable_pub, reason = "generated from the WIT")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "policy",
        pub_export_macro: true,
        default_bindings_module: "weir_sdk::component",
        runtime_path: "weir_sdk::component::runtime",
    });
}

use bindings::weir::policy::types;
pub use bindings::{export, exports, weir};
pub use wit_bindgen::rt as runtime;

/// Takes the configuration of a policy, as the interface says it.
///
/// # Errors
/// Why it is refused.
pub fn configure<C: DeserializeOwned>(guest: &RefCell<Guest<C>>, config: &str) -> Result<(), String> {
    guest.borrow_mut().configure_with(config)
}

/// Judges a request, as the interface says it.
///
/// # Errors
/// Why it cannot be judged.
pub fn evaluate<C: DeserializeOwned>(
    guest: &RefCell<Guest<C>>,
    request: types::Request,
    evaluate: Evaluate<C>,
) -> Result<types::Verdict, String> {
    let request = Request::try_from(request).map_err(|error| format!("the request: {error}"))?;
    guest.borrow_mut().judge_request(&request, evaluate).map(types::Verdict::from)
}

fn object(json: &str) -> Result<Map<String, Value>, String> {
    // What is not given.
    if json == "{}" {
        return Ok(Map::new());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

impl TryFrom<types::Request> for Request {
    type Error = String;

    fn try_from(given: types::Request) -> Result<Request, String> {
        let part = |part: types::Part| Part { role: part.role, origin: part.origin.into(), text: part.text };
        let measure = |types::Measure { name, group, value, count }| Measure { name, group, value, count };
        Ok(Request {
            id: given.id,
            checkpoint: given.checkpoint,
            tenant: given.tenant,
            system: given.system,
            time: if given.time_ms == 0 { String::new() } else { utc(given.time_ms) },
            subject: given.subject.try_into()?,
            action: Action { name: given.action.name, properties: object(&given.action.properties)? },
            resource: given.resource.try_into()?,
            context: object(&given.context)?,
            content: given.content.into_iter().map(part).collect(),
            measures: given.measures.into_iter().map(measure).collect(),
            payload: serde_json::from_str(&given.payload).map_err(|error| error.to_string())?,
        })
    }
}

impl TryFrom<types::Entity> for Entity {
    type Error = String;

    fn try_from(types::Entity { kind, id, properties }: types::Entity) -> Result<Entity, String> {
        Ok(Entity { kind, id, properties: object(&properties)? })
    }
}

impl From<types::Origin> for Origin {
    fn from(origin: types::Origin) -> Origin {
        match origin {
            types::Origin::System => Origin::System,
            types::Origin::User => Origin::User,
            types::Origin::Model => Origin::Model,
            types::Origin::Tool => Origin::Tool,
            types::Origin::Retrieved => Origin::Retrieved,
        }
    }
}

impl From<Verdict> for types::Verdict {
    fn from(verdict: Verdict) -> types::Verdict {
        let effect = match verdict.effect {
            Effect::Allow => types::Effect::Allow,
            Effect::Review => types::Effect::Review,
            Effect::Deny => types::Effect::Deny,
        };
        let edits = verdict.edits.into_iter().map(|edit| types::Edit {
            at: edit.at,
            start: offset(edit.start),
            end: offset(edit.end),
            replacement: edit.replacement,
        });
        let obligations =
            verdict.obligations.into_iter().map(|duty| types::Obligation { name: duty.name, because: duty.because });
        types::Verdict {
            effect,
            findings: verdict.findings.into_iter().map(types::Finding::from).collect(),
            edits: edits.collect(),
            scores: verdict.scores.into_iter().map(|(name, value)| types::Score { name, value }).collect(),
            obligations: obligations.collect(),
        }
    }
}

impl From<Finding> for types::Finding {
    fn from(finding: Finding) -> types::Finding {
        let severity = match finding.severity {
            Severity::Info => types::Severity::Info,
            Severity::Low => types::Severity::Low,
            Severity::Medium => types::Severity::Medium,
            Severity::High => types::Severity::High,
            Severity::Critical => types::Severity::Critical,
        };
        types::Finding {
            code: finding.code,
            severity,
            message: finding.message,
            at: finding.at,
            start: finding.start.map(offset),
            end: finding.end.map(offset),
            measured: finding.measured.map(quantity),
            threshold: finding.threshold.map(quantity),
            because: finding.because,
        }
    }
}

fn quantity(quantity: Quantity) -> String {
    match quantity {
        Quantity::Number(number) => number.to_string(),
        Quantity::Text(text) => text,
    }
}

/// An offset in a text, which has less than 4 GiB here; one that has not is refused by the host.
fn offset(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// RFC 3339 of milliseconds since 1970. Days become a date as in H. Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn utc(millis: u64) -> String {
    let (days, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    // By hand: formatting takes longer than judging does.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |places: Range<usize>, number: u64| {
        // What fits into its places; a year has four digits.
        let mut rest = number as u32;
        text[places].iter_mut().rev().for_each(|digit| {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        });
    };
    let (of_hour, of_second) = (of_day / 1_000 % 3_600, of_day % 1_000);
    [(0..4, year), (5..7, month), (8..10, day), (11..13, of_day / 3_600_000), (14..16, of_hour / 60)]
        .into_iter()
        .chain([(17..19, of_hour % 60), (20..23, of_second)])
        .for_each(|(places, number)| put(places, number));
    let end = match of_second {
        0 => 19,
        fraction if fraction % 100 == 0 => 21,
        fraction if fraction % 10 == 0 => 22,
        _ => 23,
    };
    text[end] = b'Z';
    String::from_utf8_lossy(&text[..=end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_host_writes_them() {
        for (millis, text) in [
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_250, "2025-12-31T23:59:59.25Z"),
            (1_767_225_599_500, "2025-12-31T23:59:59.5Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(millis), text);
        }
    }
}
