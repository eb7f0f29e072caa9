//! End-to-end tests: real sets, real guests, real files; one binary, so that wasmtime links once.

#![expect(clippy::unwrap_used, reason = "in a test, a panic at its place is the message")]

mod harness;

mod agents;
mod budgets;
mod checks;
mod following;
mod hostile;
mod isolation;
mod judging;
mod limits;
mod records;
mod rego;
mod repository;
mod restarting;
mod restoring;
mod scheduling;
mod selection;
mod serving;
mod stand_in;
mod swapping;
