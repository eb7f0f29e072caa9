#![doc = include_str!("../README.md")]
//!
//! # Parts
//!
//! - `config`: the tools and their rules, as written and as checked.
//! - `schema`: JSON Schema of arguments.
//! - `rules`: predicates over arguments: bounds, folders, hosts, SQL that only reads.
//! - `provenance`: whose word a value rests on. `plain` reads texts as a model would, `covert` looks behind encodings.
//! - `session`: what a session has done before, in the host's counters.
//! - `narrow`: arguments made smaller.
//! - `judge`: all of it, call by call.

mod config;
mod covert;
mod judge;
mod narrow;
mod plain;
mod pointer;
mod provenance;
mod rules;
pub mod schema;
mod session;
mod sql;

pub use config::Config;
pub use judge::evaluate;

weir_sdk::policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["tool.call"],
    grants: ["state"],
    config_schema: include_str!("../config.schema.json"),
    samples: include_str!("../samples.json"),
}
