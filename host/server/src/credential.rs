//! Who asks: a key in `Authorization: Bearer`, a name in a certificate, or everybody where a server has no keys.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use jiff::Timestamp;
use serde::Serialize;
use weir::{DEFAULT_TENANT, NoteKind, Runtime};

use crate::keys::{Key, Keys, Role};
use crate::listener::Peer;
use crate::problem::Problem;

/// The tenant of keys whose holders name one in each request.
const ANY: &str = "*";
/// Wrong keys an address may send within [`WINDOW`]; the next ones are told to wait. A right key is answered all the same: others
/// may ask from its address, through a proxy.
const TRIES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// Refusals within [`WINDOW`] that are logged and recorded; the next ones are counted.
const RECORDED: u32 = 100;
/// Addresses that are remembered for it.
const ADDRESSES: usize = 10_000;

/// On whose behalf somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tenant {
    /// This one, whatever a request says.
    Is(String),
    /// The one each request names.
    Named,
}

/// Somebody who may do what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entered {
    /// Identifier of their key; none where a server has no keys.
    pub(crate) key: Option<String>,
    pub(crate) tenant: Tenant,
}

/// The door: it knows all keys, and who has tried wrong ones.
pub(crate) struct Door {
    keys: Option<Arc<Keys>>,
    /// For the records of those who were refused.
    runtime: Arc<Runtime>,
    tries: Mutex<Tries>,
    refused: AtomicU64,
}

/// Wrong keys within a window that began then.
#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
}

struct Tries {
    by_address: HashMap<IpAddr, Window>,
    recorded: Window,
}

/// What is recorded of somebody without a key of this server.
#[derive(Serialize)]
struct Refused {
    from: IpAddr,
    /// Identifier of the key they have, where it is one of this server and not for what they asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// All who were refused so far, since not each has a record of their own.
    refused: u64,
}

impl Window {
    fn new() -> Window {
        Window { since: Instant::now(), count: 0 }
    }

    fn is_over(self) -> bool {
        self.since.elapsed() >= WINDOW
    }

    /// Counts one more, in a new window where this one is over.
    fn add(&mut self) -> u32 {
        if self.is_over() {
            *self = Window::new();
        }
        self.count += 1;
        self.count
    }
}

impl Door {
    pub(crate) fn new(keys: Option<Arc<Keys>>, runtime: Arc<Runtime>) -> Door {
        let tries = Mutex::new(Tries { by_address: HashMap::new(), recorded: Window::new() });
        Door { keys, runtime, tries, refused: AtomicU64::new(0) }
    }

    /// Whether everybody may do everything.
    pub(crate) fn is_open(&self) -> bool {
        self.keys.is_none()
    }

    /// Requests so far without a key of this server for what they asked.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether the file of keys has changed into one that cannot be used.
    pub(crate) fn has_stale_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.are_stale())
    }

    /// Who asks, if they may do what `role` is for.
    pub(crate) fn enter(&self, headers: &HeaderMap, peer: &Peer, role: Role) -> Result<Entered, Problem> {
        let Some(keys) = &self.keys else {
            return Ok(Entered { key: None, tenant: Tenant::Is(DEFAULT_TENANT.to_owned()) });
        };
        let (from, file, now) = (peer.address, keys.current(), Timestamp::now());
        if let (None, Some((id, key))) = (headers.get(AUTHORIZATION), file.of_certificate(&peer.names, now)) {
            return self.allowed(id, key, from, role);
        }
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let bearer = |value: &hyper::header::HeaderValue| {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
        };
        let key = sent.next().and_then(bearer).filter(|_| sent.next().is_none());
        match key.as_deref().and_then(|key| file.find(key, now)) {
            Some((id, key)) => self.allowed(id, key, from, role),
            None => Err(self.unknown(from)),
        }
    }

    /// The answer to somebody without a key of this server.
    fn unknown(&self, from: IpAddr) -> Problem {
        if self.has_tried_too_often(from) {
            let detail = "too many wrong keys from this address";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", detail);
            return Problem { retry_after_ms: Some(WINDOW.as_millis() as u64), ..problem };
        }
        self.note(from, None);
        let detail = "expected `Authorization: Bearer` with a key of this server, made by `weir key new`";
        Problem::new(StatusCode::UNAUTHORIZED, "no_key", detail)
    }

    /// On whose behalf the holder of a key asks, if it is for that.
    fn allowed(&self, id: &str, key: &Key, from: IpAddr, role: Role) -> Result<Entered, Problem> {
        if !key.role.may(role) {
            self.note(from, Some(id.to_owned()));
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", "this key is not for that"));
        }
        let tenant = if key.tenant == ANY { Tenant::Named } else { Tenant::Is(key.tenant.clone()) };
        Ok(Entered { key: Some(id.to_owned()), tenant })
    }

    fn has_tried_too_often(&self, from: IpAddr) -> bool {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.by_address.get(&from).is_some_and(|window| window.count >= TRIES && !window.is_over())
    }

    /// Counts, logs and records somebody who was refused, but no more of it than a disk has room for.
    fn note(&self, from: IpAddr, key: Option<String>) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let recorded = {
            let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
            let Tries { by_address, recorded } = &mut *tries;
            if by_address.len() >= ADDRESSES {
                by_address.retain(|_, window| !window.is_over());
            }
            // A key that is good for something else is no guess.
            if key.is_none() && (by_address.len() < ADDRESSES || by_address.contains_key(&from)) {
                by_address.entry(from).or_insert_with(Window::new).add();
            }
            recorded.add()
        };
        if recorded <= RECORDED {
            match &key {
                Some(key) => tracing::warn!(%from, key, refused, "a key is not for what was asked with it"),
                None => tracing::warn!(%from, refused, "a request came without a key of this server"),
            }
            self.runtime.recorder().note(NoteKind::Credential, &Refused { from, key, refused });
        }
    }
}
