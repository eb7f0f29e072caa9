//! From a request to a verdict, call by call.

use std::cell::RefCell;

use tool_calls::{Call, Malformed, calls};
use weir_sdk::state::Taken;
use weir_sdk::{Effect, Finding, Obligation, Request, Severity, Value, Verdict};

use crate::config::{Config, Tool, UNTRUSTED};
use crate::provenance::{Texts, Unproven};
use crate::rules::Broken;
use crate::session::Session;

/// Judges every call of a request.
///
/// # Errors
/// Never; the signature is the SDK's.
pub fn evaluate(config: &Config, request: &Request) -> Result<Verdict, String> {
    let calls = match calls(&request.action.name, &request.payload) {
        Ok(calls) => calls,
        Err(malformed) => return Ok(unreadable(malformed)),
    };
    let context = Value::Object(request.context.clone());
    let look = |pointer: &str| look(request, &context, pointer);
    let session = Session::of(config, request, &|pointer| look(pointer).cloned());
    let judging =
        Judging { config, request, look: &look, session, texts: Texts::of(request), confirmed: RefCell::default() };
    let tools: Vec<Option<&Tool>> = calls.iter().map(|call| judging.tool(call)).collect();
    judging.remember(&tools);
    let judged = calls.iter().zip(&tools).map(|(call, tool)| judging.call(call, *tool));
    let judged: Vec<Verdict> = judged.collect();
    Ok(joined(&calls, judged))
}

fn unreadable(malformed: Vec<Malformed>) -> Verdict {
    malformed.into_iter().fold(Verdict::deny(), |verdict, Malformed { at, why }| {
        verdict.finding(Finding::new("tool.malformed", Severity::High, why).at_value(at))
    })
}

/// What stands in the request at a pointer, in the parts that a rule may look at.
fn look<'r>(request: &'r Request, context: &'r Value, pointer: &str) -> Option<&'r Value> {
    let (part, rest) = pointer.strip_prefix('/')?.split_once('/')?;
    match part {
        "context" => context.pointer(&format!("/{rest}")),
        "payload" => request.payload.pointer(&format!("/{rest}")),
        "subject" => {
            let name = rest.strip_prefix("properties/")?;
            request.subject.properties.get(name)
        }
        _ => None,
    }
}

/// All calls in one verdict. Of several, each says what became of it: the others need not wait for it.
fn joined(calls: &[Call], judged: Vec<Verdict>) -> Verdict {
    let several = calls.len() > 1;
    let mut all = Verdict::allow();
    for (call, verdict) in calls.iter().zip(judged) {
        if several {
            let effect = match verdict.effect {
                Effect::Allow => "allow",
                Effect::Review => "review",
                Effect::Deny => "deny",
            };
            let message =
                call.id.as_ref().map_or_else(|| "this call".to_owned(), |id| format!("call `{}`", shown(id)));
            all.findings
                .push(Finding::new("tool.judged", Severity::Info, message).at_value(&call.name_at).measured(effect));
        }
        all = all.at_least(verdict.effect);
        all.findings.extend(verdict.findings);
        all.edits.extend(verdict.edits);
        for obligation in verdict.obligations {
            if !all.obligations.contains(&obligation) {
                all.obligations.push(obligation);
            }
        }
    }
    all
}

/// A name as a message shows it.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

struct Judging<'c> {
    config: &'c Config,
    request: &'c Request,
    look: &'c dyn Fn(&str) -> Option<&'c Value>,
    session: Session<'c>,
    texts: Texts<'c>,
    /// Places of the user's confirmations that calls of this request have used.
    confirmed: RefCell<Vec<usize>>,
}

impl<'c> Judging<'c> {
    /// The first entry that lets this agent call this tool.
    fn tool(&self, call: &Call) -> Option<&'c Tool> {
        let Request { subject, system, .. } = self.request;
        self.config.tools.iter().find(|tool| {
            tool.name.matches(&call.name)
                && tool.agents.iter().any(|agent| agent.matches(&subject.id))
                && tool.systems.iter().any(|name| name.matches(system))
        })
    }

    /// What this request adds to what its session has seen. Calls side by side have no order, so each counts for all.
    fn remember(&self, tools: &[Option<&Tool>]) {
        let watched =
            |label: &str| self.config.order.iter().any(|order| order.after.iter().any(|after| after == label));
        if watched(UNTRUSTED) && self.texts.has_untrusted(self.request) {
            self.session.see(UNTRUSTED);
        }
        for label in tools.iter().flatten().flat_map(|tool| &tool.labels).filter(|label| watched(label)) {
            self.session.see(label);
        }
    }

    fn call(&self, call: &Call, tool: Option<&'c Tool>) -> Verdict {
        let Some(tool) = tool else {
            let message = format!("the agent may not call `{}`", shown(&call.name));
            return Verdict::deny()
                .finding(Finding::new("tool.not_allowed", Severity::High, message).at_value(&call.name_at));
        };
        let mut verdict = Verdict::allow();
        verdict = self.arguments(verdict, call, tool);
        verdict = self.rules(verdict, call, tool);
        verdict = self.narrowed(verdict, call, tool);
        let confirmed = self.is_confirmed(call);
        if tool.confirm && !confirmed {
            let message = format!(
                "`{}` does what cannot be taken back, and the user has not confirmed this call",
                shown(&call.name)
            );
            let finding = Finding::new("tool.unconfirmed", Severity::Medium, message).at_value(&call.name_at);
            verdict =
                verdict.at_least(Effect::Review).finding(finding).obligation(Obligation::new("confirm_with_user"));
        }
        if !confirmed {
            verdict = self.provenance(verdict, call, tool);
        }
        verdict = self.order(verdict, call, tool);
        self.counted(verdict, call, tool)
    }

    fn arguments(&self, verdict: Verdict, call: &Call, tool: &Tool) -> Verdict {
        let violations = tool.schema.as_ref().map(|schema| schema.violations(&call.arguments)).unwrap_or_default();
        violations.into_iter().fold(verdict, |verdict, violation| {
            self.found(verdict, Effect::Deny, call, &violation.at, "tool.schema", Severity::Medium, &violation.why)
        })
    }

    fn rules(&self, verdict: Verdict, call: &Call, tool: &Tool) -> Verdict {
        let broken = tool
            .rules
            .iter()
            .flat_map(|rule| rule.broken(&call.arguments, self.look).into_iter().map(|broken| (rule.effect, broken)));
        broken.fold(verdict, |verdict, (effect, Broken { at, why })| {
            self.found(verdict, effect, call, &at, "tool.rule", Severity::High, &why)
        })
    }

    fn narrowed(&self, mut verdict: Verdict, call: &Call, tool: &Tool) -> Verdict {
        let text = |pointer: &str| {
            let rest = pointer.strip_prefix("/payload")?;
            self.request.payload.pointer(rest)?.as_str().map(str::to_owned)
        };
        for edit in tool.narrow.iter().flat_map(|narrow| narrow.edits(call, &text)) {
            verdict = match edit {
                Ok(edit) => verdict.edit(edit),
                Err(at) => {
                    let why = "it is too large, and cannot be made smaller here";
                    self.found(verdict, Effect::Deny, call, &at, "tool.too_large", Severity::Medium, why)
                }
            };
        }
        verdict
    }

    /// Whether the user has confirmed exactly this call.
    fn is_confirmed(&self, call: &Call) -> bool {
        let confirmed = (self.look)(&self.config.confirmed).and_then(Value::as_array);
        let is_it = |one: &Value| one["tool"] == call.name.as_str() && one["arguments"] == call.arguments;
        let mut used = self.confirmed.borrow_mut();
        let mut confirmed = confirmed.into_iter().flatten().enumerate();
        let found = confirmed.find(|(place, one)| is_it(one) && !used.contains(place)).map(|(place, _)| place);
        // One word of the user is for one call.
        used.extend(found);
        found.is_some()
    }

    fn provenance(&self, verdict: Verdict, call: &Call, tool: &Tool) -> Verdict {
        let unproven = self.texts.unproven(self.config, tool, &call.arguments);
        unproven.into_iter().fold(verdict, |verdict, Unproven { argument, source, hidden }| {
            let shown = if argument.is_empty() { "the argument".to_owned() } else { format!("`{argument}`") };
            let place = call.place.of(&argument);
            let finding = match source {
                None => {
                    let why = format!("neither the user nor the operator has said what stands in {shown}");
                    Finding::new("provenance.unknown", Severity::Medium, why).at_value(place)
                }
                Some((at, span)) => {
                    let how = if hidden { ", and is hidden there" } else { "" };
                    let why = format!(
                        "what stands in {shown} ({place}) comes from here and from nobody who is trusted{how}"
                    );
                    Finding::new("provenance.untrusted", Severity::High, why).at(at, span)
                }
            };
            verdict.at_least(self.config.unproven).finding(finding)
        })
    }

    fn order(&self, verdict: Verdict, call: &Call, tool: &Tool) -> Verdict {
        let broken = self
            .config
            .order
            .iter()
            .filter(|order| tool.is(&order.then) && order.after.iter().all(|label| self.session.has_seen(label)));
        broken.fold(verdict, |verdict, order| {
            let message = format!("`{}` after `{}` in one session", order.then, order.after.join("` and `"));
            let finding = Finding::new("session.order", Severity::High, message).at_value(&call.name_at);
            verdict.at_least(order.effect).finding(finding)
        })
    }

    fn counted(&self, mut verdict: Verdict, call: &Call, tool: &'c Tool) -> Verdict {
        for (code, quota, Taken { used, resets_in_ms, .. }) in self.session.call(tool, &call.name, &call.arguments) {
            let wait = resets_in_ms as f64 / 1e3;
            let message =
                format!("{used} calls in {} s, the next one is allowed in {wait:.1} s", quota.window.millis() / 1000);
            let finding = Finding::new(code, Severity::Medium, message).at_value(&call.name_at);
            verdict = verdict
                .at_least(Effect::Deny)
                .finding(finding.measured(used as f64 + 1.0).threshold(quota.most as f64));
        }
        let Some(spend) = &tool.spend else { return verdict };
        let (code, message, at) = match self.session.spend(spend, &call.name, &call.arguments) {
            Ok(Taken { granted: true, .. }) => return verdict,
            Ok(Taken { used, resets_in_ms, .. }) => {
                let (used, most, wait) = (used as f64 / 1e6, spend.most as f64 / 1e6, resets_in_ms as f64 / 1e3);
                let message = format!("{used} of {most} are spent; this much fits in {wait:.1} s");
                ("tool.spent", message, spend.at.as_str().to_owned())
            }
            Err(at) => ("tool.no_amount", "there is no amount of money here, so it cannot be counted".to_owned(), at),
        };
        self.found(verdict, Effect::Deny, call, &at, code, Severity::High, &message)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of a finding, each of another type")]
    fn found(
        &self,
        verdict: Verdict,
        effect: Effect,
        call: &Call,
        argument: &str,
        code: &str,
        severity: Severity,
        why: &str,
    ) -> Verdict {
        let place = call.place.of(argument);
        // In JSON text the pointer cannot go on; the message does.
        let why = match &call.place {
            tool_calls::Place::Text(_) if !argument.is_empty() => format!("`{argument}`: {why}"),
            _ => why.to_owned(),
        };
        verdict.at_least(effect).finding(Finding::new(code, severity, why).at_value(place))
    }
}
