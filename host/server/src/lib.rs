//! Asks a Weir host over HTTP: gateways and services send requests, operators look and roll back.
//!
//! ```text
//! socket ─► listener: caps, time-outs ─► guard: what no client of ours sends ─► key: who asks, for which tenant
//!        ─► api: evaluate, batch, generation ─► the host's scheduler ─► decision, or a problem
//! admin socket ─► health, metrics, status, publish, rollback, events
//! ```
//!
//! [`Settings`] says what is listened to and how long anybody is waited for; [`Server`] listens until it is told to stop, and
//! then answers what it has begun.

mod admin;
mod api;
mod bare;
mod body;
mod credential;
mod document;
mod guard;
mod heads;
mod keys;
pub mod listener;
mod metrics;
mod patient;
mod problem;
mod server;
mod settings;
pub mod socket;
mod tls;
mod watched;

pub use keys::{Key, KeyError, KeyFile, NewKey, Role};
pub use server::{ServeError, Server};
pub use settings::{Settings, SettingsError};
pub use socket::Address;
pub use tls::{TlsError, TlsSettings};
