#![doc = include_str!("../README.md")]
//!
//! # Parts
//!
//! - `checksum`: pure functions, one per standard.
//! - `kinds`: what can be found, as a table.
//! - `rule`, `context`: how a number is written, checked, and named by words beside it.
//! - `finance`, `contact`, `network`, `national`, `secrets`, `assignment`: the rules.
//! - `scan`, `overlap`: the one pass over a text, and which reading counts.
//! - `config`, `judge`: from configuration and findings to the verdict.

mod bytes;
mod checksum;
mod context;
mod kinds;
mod rule;

mod assignment;
mod contact;
mod finance;
mod national;
mod network;
mod secrets;

mod overlap;
mod scan;

mod config;
mod judge;

pub use config::{Action, Config};
pub use judge::evaluate;
pub use kinds::{Info, KINDS, Kind, Kinds};
pub use overlap::Found;
pub use scan::{Detector, Scan};

weir_sdk::policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["inference.input", "inference.output", "tool.call"],
    reads: ["/content"],
    config_schema: include_str!("../config.schema.json"),
    samples: include_str!("../samples.json"),
}
