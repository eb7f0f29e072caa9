//! Questions take what they may come to; answers settle what they came to.

use weir_sdk::state::{self, Taken};
use weir_sdk::{Effect, Finding, Request, Severity, Verdict};

use crate::config::{Config, Limit, Measure, Per};
use crate::usage::{self, BadNumber, Tokens};

/// Judges a question or an answer by every limit that counts it.
///
/// # Errors
/// Never; the signature is the SDK's.
pub fn evaluate(config: &Config, request: &Request) -> Result<Verdict, String> {
    Ok(match request.checkpoint.as_str() {
        "inference.output" => answer(config, request),
        _ => question(config, request),
    })
}

fn question(config: &Config, request: &Request) -> Verdict {
    let tokens = match usage::estimate(request, config.guess) {
        Ok(tokens) => tokens,
        Err(BadNumber { at }) => {
            let finding = Finding::new("budget.bad_number", Severity::High, "it is no count of tokens").at_value(at);
            return Verdict::deny().finding(finding);
        }
    };
    let mut verdict = Verdict::allow();
    for limit in applying(config, request) {
        let Some(amount) = amount(config, limit, request, tokens) else {
            let model =
                Finding::new("budget.no_price", Severity::High, format!("`{}`: its model has no price", limit.name));
            verdict = verdict.at_least(Effect::Deny).finding(model.at_value("/payload/model"));
            continue;
        };
        let key = key(limit, request);
        let taken = match limit.measure {
            // There is nothing to settle: a request is a request.
            Measure::Requests => state::take(&key, amount, limit.hard, limit.window),
            _ => state::hold(&key, usage::call(request), amount, limit.hard, limit.window),
        };
        verdict = judged(verdict, limit, amount, taken);
    }
    verdict
}

fn judged(verdict: Verdict, limit: &Limit, amount: u64, taken: Taken) -> Verdict {
    let Taken { granted, used, resets_in_ms } = taken;
    let (name, window) = (&limit.name, &limit.window_text);
    let wanted = if granted { used } else { used.saturating_add(amount) };
    let show = |amount: u64| quantity(limit.measure, amount);
    let (effect, code, severity, threshold, message) = if !granted && amount > limit.hard {
        let message = format!(
            "`{name}`: one call would take {}, more than the whole budget of {}",
            show(amount),
            show(limit.hard)
        );
        (Effect::Deny, "budget.too_large", Severity::High, limit.hard, message)
    } else if !granted {
        let wait = seconds(resets_in_ms);
        let message = format!(
            "`{name}`: {} of {} are used in {window}, {} more fit in {wait} s",
            show(used),
            show(limit.hard),
            show(amount)
        );
        (Effect::Deny, "budget.exceeded", Severity::Medium, limit.hard, message)
    } else if let Some(soft) = limit.soft.filter(|soft| used > *soft) {
        let message = format!("`{name}`: {} are used in {window}, people look from {} on", show(used), show(soft));
        (Effect::Review, "budget.soft", Severity::Low, soft, message)
    } else {
        let left = show(limit.hard - used);
        let message = format!("`{name}`: {left} remain in {window}, all of it again in {} s", seconds(resets_in_ms));
        (Effect::Allow, "budget.remaining", Severity::Info, limit.hard, message)
    };
    let finding = Finding::new(code, severity, message)
        .measured(number(limit.measure, wanted))
        .threshold(number(limit.measure, threshold));
    verdict.at_least(effect).finding(finding)
}

fn answer(config: &Config, request: &Request) -> Verdict {
    let missing = |at: &str, why: &str| {
        // What the question took stands, which is never too little.
        Verdict::allow().finding(Finding::new("budget.unsettled", Severity::Low, why).at_value(at))
    };
    let tokens = match usage::actual(request) {
        Ok(Some(tokens)) => tokens,
        Ok(None) => {
            return missing("/payload/usage", "the answer does not say how many tokens it took: the estimate stands");
        }
        Err(BadNumber { at }) => return missing(&at, "it is no count of tokens: the estimate stands"),
    };
    let mut verdict = Verdict::allow();
    for limit in applying(config, request).filter(|limit| limit.measure != Measure::Requests) {
        let Some(amount) = amount(config, limit, request, tokens) else { continue };
        let Taken { used, .. } = state::settle(&key(limit, request), usage::call(request), amount, limit.window);
        if used > limit.hard {
            let (name, used_text) = (&limit.name, quantity(limit.measure, used));
            let message = format!("`{name}`: {used_text} are used in {}, more than was estimated", limit.window_text);
            let finding = Finding::new("budget.overdrawn", Severity::Medium, message);
            let (used, hard) = (number(limit.measure, used), number(limit.measure, limit.hard));
            verdict = verdict.finding(finding.measured(used).threshold(hard));
        }
    }
    verdict
}

fn applying<'c>(config: &'c Config, request: &Request) -> impl Iterator<Item = &'c Limit> {
    let model = usage::model(request).to_owned();
    let counts =
        move |limit: &&Limit| limit.models.is_empty() || limit.models.iter().any(|name| name.matches(&model));
    config.limits.iter().filter(counts)
}

/// What a call takes of a limit; none where it has no price.
fn amount(config: &Config, limit: &Limit, request: &Request, Tokens { input, output }: Tokens) -> Option<u64> {
    Some(match limit.measure {
        Measure::Requests => 1,
        Measure::Tokens => input.saturating_add(output),
        Measure::Cost => {
            let model = usage::model(request);
            let price = config.prices.iter().find(|price| price.model.matches(model))?;
            // A price per million tokens is millionths per token.
            (input as f64 * price.input + output as f64 * price.output).ceil() as u64
        }
    })
}

/// The limit's name and whose budget it is; the host adds the tenant. Lengths keep names apart whatever they hold.
fn key(limit: &Limit, request: &Request) -> String {
    /// Longest name that stands in a key as it is.
    const LONGEST: usize = 120;
    let mut key = limit.name.clone();
    for per in &limit.per {
        let (kind, name) = match per {
            Per::System => ('s', request.system.as_str()),
            Per::User => ('u', request.subject.id.as_str()),
            Per::Model => ('m', usage::model(request)),
        };
        // Names too long to be told apart here share a budget, which is never too much.
        let cut = name.floor_char_boundary(LONGEST);
        key.push_str(&format!("|{kind}{}:{}", name.len(), &name[..cut]));
    }
    key
}

/// An amount as people say it.
fn quantity(measure: Measure, amount: u64) -> String {
    match measure {
        Measure::Tokens => format!("{amount} tokens"),
        Measure::Requests => format!("{amount} requests"),
        Measure::Cost => format!("{:.6}", amount as f64 / 1e6),
    }
}

fn number(measure: Measure, amount: u64) -> f64 {
    if measure == Measure::Cost { amount as f64 / 1e6 } else { amount as f64 }
}

fn seconds(millis: u64) -> String {
    format!("{:.1}", millis as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{
        "limits": [
            {"name": "minute", "limit": 1000, "soft": 800, "window": "1m"},
            {"name": "user", "measure": "requests", "per": ["user"], "limit": 3, "window": "1h"},
            {"name": "money", "measure": "cost", "per": ["model"], "limit": 0.01, "window": "1d", "calendar": true}
        ],
        "prices": [{"model": "small-*", "input": 1, "output": 10}, {"model": "free", "input": 0, "output": 0}]
    }"#;

    fn ask(json: &str) -> Verdict {
        let config: Config = serde_json::from_str(CONFIG).unwrap();
        evaluate(&config, &Request::from_json(json).unwrap()).unwrap()
    }

    fn codes(verdict: &Verdict) -> Vec<&str> {
        verdict.findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    fn input(id: &str, user: &str, model: &str, tokens: u64) -> Verdict {
        ask(&format!(
            r#"{{"id":"{id}","checkpoint":"inference.input","subject":{{"id":"{user}"}},
                 "payload":{{"model":"{model}","input_tokens":{tokens},"max_tokens":0}}}}"#
        ))
    }

    fn output(id: &str, model: &str, usage: &str) -> Verdict {
        ask(&format!(
            r#"{{"id":"{id}","checkpoint":"inference.output","payload":{{"model":"{model}","usage":{usage}}}}}"#
        ))
    }

    #[test]
    fn what_remains_is_said_and_limits_are_met() {
        state::forget();
        let first = input("1", "ann", "free", 700);
        assert_eq!((first.effect, codes(&first)), (Effect::Allow, vec!["budget.remaining"; 3]));
        assert_eq!(first.findings[0].message, "`minute`: 300 tokens remain in 1m, all of it again in 60.0 s");
        let soft = input("2", "ann", "free", 150);
        assert_eq!((soft.effect, codes(&soft)[0]), (Effect::Review, "budget.soft"));
        let hard = input("3", "ann", "free", 151);
        assert_eq!((hard.effect, codes(&hard)[0]), (Effect::Deny, "budget.exceeded"));
        assert_eq!(
            hard.findings[0].message,
            "`minute`: 850 tokens of 1000 tokens are used in 1m, 151 tokens more fit in 60.0 s"
        );
        let large = input("4", "bob", "free", 5000);
        assert_eq!((large.effect, codes(&large)[0]), (Effect::Deny, "budget.too_large"));
        let fourth = input("5", "ann", "free", 0);
        assert_eq!(
            fourth.findings[1].message,
            "`user`: 3 requests of 3 requests are used in 1h, 1 requests more fit in 3600.0 s"
        );
        assert_eq!(input("6", "bob", "free", 0).effect, Effect::Review, "another user, the same minute");
    }

    #[test]
    fn an_answer_settles_its_question() {
        state::forget();
        assert_eq!(input("1", "ann", "free", 790).effect, Effect::Allow);
        assert_eq!(output("1", "free", r#"{"prompt_tokens":80,"completion_tokens":20}"#), Verdict::allow());
        assert_eq!(
            input("2", "ann", "free", 690).findings[0].message,
            "`minute`: 210 tokens remain in 1m, all of it again in 60.0 s"
        );
        let more = output("2", "free", r#"{"total_tokens":2000}"#);
        assert_eq!((more.effect, codes(&more)), (Effect::Allow, vec!["budget.overdrawn"]));
        assert_eq!(more.findings[0].measured, Some(2100.0.into()));
        for bad in ["null", "{}", r#"{"total_tokens":"many"}"#] {
            let unsettled = output("2", "free", bad);
            assert_eq!((unsettled.effect, codes(&unsettled)), (Effect::Allow, vec!["budget.unsettled"]), "{bad}");
        }
    }

    #[test]
    fn money_is_counted_by_the_price_of_the_model() {
        state::forget();
        let verdict = input("1", "ann", "small-7b", 600);
        assert_eq!(verdict.findings[2].measured, Some(0.0006.into()));
        assert_eq!(output("1", "small-7b", r#"{"input_tokens":100,"output_tokens":500}"#), Verdict::allow());
        let verdict = input("2", "ann", "small-7b", 0);
        assert_eq!(verdict.findings[2].message, "`money`: 0.004900 remain in 1d, all of it again in 86400.0 s");
        let unknown = input("3", "bob", "mystery", 1);
        assert_eq!((unknown.effect, codes(&unknown)[2]), (Effect::Deny, "budget.no_price"));
    }

    #[test]
    fn a_bad_number_is_denied_before_anything_is_taken() {
        state::forget();
        let verdict = ask(r#"{"checkpoint":"inference.input","payload":{"max_tokens":-5}}"#);
        assert_eq!((verdict.effect, codes(&verdict)), (Effect::Deny, vec!["budget.bad_number"]));
        assert_eq!(verdict.findings[0].at.as_deref(), Some("/payload/max_tokens"));
    }

    #[test]
    fn names_cannot_be_made_to_share_or_split_a_budget() {
        let config: Config =
            serde_json::from_str(r#"{"limits":[{"name":"a","per":["model","user"],"limit":1,"window":"1m"}]}"#)
                .unwrap();
        let of = |user: &str, model: &str| {
            let json = format!(r#"{{"subject":{{"id":"{user}"}},"payload":{{"model":"{model}"}}}}"#);
            key(&config.limits[0], &Request::from_json(&json).unwrap())
        };
        assert_eq!(of("ann", "m"), "a|u3:ann|m1:m");
        assert_ne!(of("ann|m1:m", ""), of("ann", "m"));
        assert!(of(&"é".repeat(500), &"x".repeat(500)).len() < 512);
    }

    #[test]
    fn every_sample_is_judged() {
        let manifest: weir_sdk::Value = serde_json::from_str(crate::MANIFEST).unwrap();
        for sample in manifest["samples"].as_array().unwrap() {
            state::forget();
            ask(&sample.to_string());
        }
    }
}
