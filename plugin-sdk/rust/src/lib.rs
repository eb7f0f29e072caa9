#![doc = include_str!("../README.md")]
//!
//! # Parts
//!
//! - [`policy!`] makes a module of a function; its documentation lists every key.
//! - [`Request`] and what it holds: what a policy is asked.
//! - [`Verdict`] and what it holds: what a policy answers.
//! - [`log`]: lines for the operator, for policies that were granted it.
//! - [`state`]: budgets that outlive an evaluation, for policies that were granted it.

// What is generated from the WIT names this library as its users do.
#[cfg(feature = "component")]
extern crate self as weir_sdk;

mod policy;
mod request;
mod verdict;

pub mod log;
pub mod state;

#[doc(hidden)]
pub mod abi;
#[cfg(feature = "component")]
#[doc(hidden)]
pub mod component;
#[doc(hidden)]
pub mod manifest;

pub use request::{Action, Entity, Measure, Origin, Part, Request};
pub use serde_json::Value;
pub use verdict::{Edit, Effect, Finding, Obligation, Quantity, Severity, Verdict};
