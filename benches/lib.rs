//! No library: see `all/main.rs`.
