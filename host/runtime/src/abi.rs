//! The ways to talk to a guest. A module is told apart by its exports; this version knows the core ABI.

pub(crate) mod core;
