//! The configuration: as written, and checked.

use serde::Deserialize;
use weir_sdk::state::Window;
use wildmatch::WildMatch;

/// A checked configuration.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    pub(crate) limits: Vec<Limit>,
    /// The first that names a model counts.
    pub(crate) prices: Vec<Price>,
    pub(crate) guess: Guess,
}

/// One budget.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) name: String,
    pub(crate) measure: Measure,
    pub(crate) per: Vec<Per>,
    /// In the measure's own unit.
    pub(crate) hard: u64,
    /// From here on people look first.
    pub(crate) soft: Option<u64>,
    pub(crate) window: Window,
    /// The window as people say it.
    pub(crate) window_text: String,
    pub(crate) models: Vec<WildMatch>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    Tokens,
    Requests,
    /// In millionths of the currency of the prices.
    Cost,
}

/// By what budgets are kept apart, beside the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Per {
    System,
    User,
    Model,
}

/// What a million tokens of a model cost.
#[derive(Debug)]
pub(crate) struct Price {
    pub(crate) model: WildMatch,
    pub(crate) input: f64,
    pub(crate) output: f64,
}

/// How tokens are guessed before a model has counted them.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Guess {
    /// Bytes of text that make a token.
    pub(crate) bytes_per_token: f64,
    /// Tokens of an answer where the request does not bound them.
    pub(crate) output_tokens: u64,
}

impl Default for Guess {
    fn default() -> Guess {
        Guess { bytes_per_token: 3.0, output_tokens: 1000 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    limits: Vec<RawLimit>,
    #[serde(default)]
    prices: Vec<RawPrice>,
    #[serde(default)]
    guess: Guess,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    name: String,
    #[serde(default = "tokens")]
    measure: Measure,
    #[serde(default)]
    per: Vec<Per>,
    limit: f64,
    soft: Option<f64>,
    window: String,
    #[serde(default)]
    calendar: bool,
    #[serde(default)]
    models: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    model: String,
    input: f64,
    output: f64,
}

fn tokens() -> Measure {
    Measure::Tokens
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(RawConfig { limits, prices, guess }: RawConfig) -> Result<Config, String> {
        if limits.is_empty() {
            return Err("`limits` is empty: without one there is nothing to judge by".to_owned());
        }
        if !(guess.bytes_per_token >= 0.5 && guess.bytes_per_token <= 16.0) {
            return Err(format!("`bytes_per_token` is {}, expected 0.5 to 16", guess.bytes_per_token));
        }
        let limits: Vec<Limit> = limits.into_iter().map(Limit::try_from).collect::<Result<_, _>>()?;
        for (place, limit) in limits.iter().enumerate() {
            if limits[..place].iter().any(|other| other.name == limit.name) {
                return Err(format!("two limits are named `{}`: they would count together", limit.name));
            }
        }
        let prices: Vec<Price> = prices.into_iter().map(Price::try_from).collect::<Result<_, _>>()?;
        if prices.is_empty() && limits.iter().any(|limit| limit.measure == Measure::Cost) {
            return Err("a limit measures `cost`, but there are no `prices`".to_owned());
        }
        Ok(Config { limits, prices, guess })
    }
}

impl TryFrom<RawLimit> for Limit {
    type Error = String;

    fn try_from(raw: RawLimit) -> Result<Limit, String> {
        let RawLimit { name, measure, mut per, limit, soft, window, calendar, models } = raw;
        if name.is_empty() || name.len() > 64 || name.contains('|') {
            return Err(format!("a limit's name has 1 to 64 bytes without `|`, not `{name}`"));
        }
        let unit = if measure == Measure::Cost { 1e6 } else { 1.0 };
        let units = |number: f64, key: &str| match number * unit {
            units if (1.0..=9e15).contains(&units) => Ok(units as u64),
            _ => Err(format!(
                "`{key}` of `{name}` is {number}, expected a number from {} to {}",
                1.0 / unit,
                9e15 / unit
            )),
        };
        let (hard, soft) = (units(limit, "limit")?, soft.map(|soft| units(soft, "soft")).transpose()?);
        if soft.is_some_and(|soft| soft >= hard) {
            return Err(format!("`soft` of `{name}` is not below its `limit`, so it would never be met"));
        }
        let millis = Window::parse_ms(&window).ok_or_else(|| {
            format!("`window` of `{name}` is `{window}`, expected a number and s, m, h or d, such as `90s` or `30d`, up to 366d")
        })?;
        per.sort();
        per.dedup();
        let models = models.iter().map(|model| WildMatch::new(model)).collect();
        let window_of = if calendar { Window::tumbling_ms } else { Window::sliding_ms };
        Ok(Limit { measure, per, hard, soft, window: window_of(millis), window_text: window, models, name })
    }
}

impl TryFrom<RawPrice> for Price {
    type Error = String;

    fn try_from(RawPrice { model, input, output }: RawPrice) -> Result<Price, String> {
        let fair = |price: f64| (0.0..=1e6).contains(&price);
        if !fair(input) || !fair(output) {
            return Err(format!("the price of `{model}` is not from 0 to 1,000,000 per million tokens"));
        }
        Ok(Price { model: WildMatch::new(&model), input, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(limit: &str) -> String {
        let config = format!(r#"{{"limits":[{limit}]}}"#);
        serde_json::from_str::<Config>(&config).unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        for (limit, told) in [
            ("", "`limits` is empty"),
            (r#"{"name":"a","limit":1,"window":"1w"}"#, "expected a number and s, m, h or d"),
            (r#"{"name":"a","limit":1,"window":"367d"}"#, "up to 366d"),
            (r#"{"name":"a","limit":1,"window":""}"#, "`window` of `a`"),
            (r#"{"name":"a","limit":0,"window":"1m"}"#, "`limit` of `a` is 0"),
            (r#"{"name":"a","limit":10,"soft":10,"window":"1m"}"#, "never be met"),
            (r#"{"name":"a|b","limit":10,"window":"1m"}"#, "without `|`"),
            (
                r#"{"name":"a","limit":10,"window":"1m"},{"name":"a","limit":10,"window":"1h"}"#,
                "two limits are named `a`",
            ),
            (r#"{"name":"a","measure":"cost","limit":10,"window":"1m"}"#, "no `prices`"),
        ] {
            let why = why(limit);
            assert!(why.contains(told), "{limit}: {why}");
        }
    }
}
