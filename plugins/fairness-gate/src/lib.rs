#![doc = include_str!("../README.md")]
//!
//! # Parts
//!
//! - `config`: the thresholds, checked.
//! - `groups`: measures to tables.
//! - `rules`: the four-fifths rule, the test and the small numbers.
//! - `gaps`: the distances between rates.
//! - `report`: the verdict under construction.
//! - `stats`: the formulas, on whole numbers.

use weir_sdk::{Request, Verdict, policy};

mod config;
mod gaps;
mod groups;
mod report;
mod rules;
mod stats;

pub use config::Config;
use report::Report;

policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["model.verify", "model.deploy"],
    reads: ["/measures"],
    config_schema: include_str!("../config.schema.json"),
    samples: include_str!("../samples.json")
}

/// Judges every attribute and every intersection in the request's measures.
///
/// # Errors
///
/// Says which measure cannot be counted, or which attribute of the configuration is missing.
pub fn evaluate(config: &Config, request: &Request) -> Result<Verdict, String> {
    let tables = groups::tables(&request.measures)?;
    for required in &config.required {
        if !tables.iter().any(|table| table.attributes == *required) {
            return Err(format!("no measure has the attribute `{required}` that the configuration demands"));
        }
    }
    let mut report = Report::new();
    for table in &tables {
        if config.every || config.required.contains(&table.attributes) {
            rules::judge(table, config, &mut report);
            gaps::judge(table, config, &mut report);
        }
    }
    Ok(report.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn manifest() -> Value {
        serde_json::from_str(MANIFEST).unwrap()
    }

    #[test]
    fn the_schema_states_the_defaults() {
        let manifest = manifest();
        let properties = manifest["config"]["properties"].as_object().unwrap();
        let defaults = properties.iter().map(|(key, schema)| (key.clone(), schema["default"].clone()));
        let defaults: serde_json::Map<String, Value> = defaults.collect();
        let stated: Config = serde_json::from_value(defaults.into()).unwrap();
        assert_eq!(stated, Config::default());
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    }

    #[test]
    fn every_sample_is_judged() {
        let manifest = manifest();
        let samples = manifest["samples"].as_array().unwrap();
        assert!(!samples.is_empty());
        for sample in samples {
            let request = Request::from_json(&sample.to_string()).unwrap();
            assert!(!evaluate(&Config::default(), &request).unwrap().findings.is_empty());
        }
    }

    #[test]
    fn only_measures_are_read() {
        assert_eq!(manifest()["reads"], serde_json::json!(["/measures"]));
    }
}
