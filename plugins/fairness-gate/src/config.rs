//! The thresholds, checked; their meaning and defaults for people are in `config.schema.json`.

use serde::Deserialize;

use crate::groups::attribute_set;

/// What an operator may set. Fields are private because only checked values may reach the rules.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    /// Judge every attribute found in the request (`*` is listed).
    pub(crate) every: bool,
    /// Attributes and intersections that must be there, in canonical spelling.
    pub(crate) required: Vec<String>,
    pub(crate) min_ratio: f64,
    pub(crate) alpha: f64,
    pub(crate) deviations: f64,
    pub(crate) min_people: u64,
    pub(crate) min_share: f64,
    pub(crate) method: Method,
    pub(crate) max_gap: f64,
    pub(crate) on_small: OnSmall,
}

/// Which significance test is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// Fisher where an expected cell is below 5, else z.
    Auto,
    Fisher,
    Z,
}

/// What a group asks for that is too small to say much about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnSmall {
    Review,
    Allow,
}

impl Default for Config {
    fn default() -> Config {
        Config::try_from(RawConfig::default()).expect("the defaults are in range, a test says so")
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawConfig {
    attributes: Vec<String>,
    min_ratio: f64,
    alpha: f64,
    z: f64,
    min_n: u64,
    min_share: f64,
    method: Method,
    max_gap: f64,
    on_small: OnSmall,
}

impl Default for RawConfig {
    fn default() -> RawConfig {
        RawConfig {
            attributes: vec!["*".to_owned()],
            min_ratio: 0.8,
            alpha: 0.05,
            z: 2.0,
            min_n: 30,
            min_share: 0.02,
            method: Method::Auto,
            max_gap: 0.1,
            on_small: OnSmall::Review,
        }
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Config, String> {
        if raw.attributes.is_empty() {
            return Err("`attributes` is empty: list what is judged, or `*` for all that is found".to_owned());
        }
        let mut config = Config {
            every: false,
            required: Vec::new(),
            min_ratio: within("min_ratio", raw.min_ratio, 1.0)?,
            alpha: within("alpha", raw.alpha, 1.0)?,
            deviations: within("z", raw.z, 100.0)?,
            min_people: raw.min_n,
            min_share: within("min_share", raw.min_share, 1.0)?,
            method: raw.method,
            max_gap: within("max_gap", raw.max_gap, 1.0)?,
            on_small: raw.on_small,
        };
        for attribute in &raw.attributes {
            if attribute == "*" {
                config.every = true;
            } else {
                config.required.push(attribute_set(attribute)?);
            }
        }
        Ok(config)
    }
}

fn within(key: &str, value: f64, highest: f64) -> Result<f64, String> {
    if (0.0..=highest).contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{key}` is {value}, but must lie between 0 and {highest}"))
    }
}
