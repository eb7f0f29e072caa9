//! End-to-end tests: real sets, real guests, real files; one binary, so that wasmtime links once.

mod harness;
mod hostile;
mod isolation;
mod judging;
mod limits;
mod repository;
mod checks;
mod selection;
mod records;
mod limits;
