#![doc = include_str!("../README.md")]
//!
//! # Parts
//!
//! - `config`: limits, prices and how tokens are guessed, checked.
//! - `usage`: what a request or an answer says of tokens.
//! - `judge`: from both to the verdict.

mod config;
mod judge;
mod usage;

pub use config::Config;
pub use judge::evaluate;

weir_sdk::policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["inference.input", "inference.output"],
    grants: ["state"],
    config_schema: include_str!("../config.schema.json"),
    samples: include_str!("../samples.json"),
}
