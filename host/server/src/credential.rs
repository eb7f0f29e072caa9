//! Who asks: a key in `Authorization: Bearer`, a name in a certificate, or everybody where a server has no keys.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use jiff::Timestamp;

use crate::keys::{Key, Keys, Role};
use crate::listener::Peer;
use crate::problem::Problem;

/// The tenant of callers without a key.
const DEFAULT_TENANT: &str = "default";
/// The tenant of keys whose holders name one in each request.
const ANY: &str = "*";
/// Wrong keys an address may send within [`WINDOW`]; its next ones are not even looked at.
const TRIES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
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

/// The door: it knows all keys, and who has tried wrong ones.
pub(crate) struct Door {
    keys: Option<Arc<Keys>>,
    tries: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    refused: AtomicU64,
}

impl Door {
    pub(crate) fn new(keys: Option<Arc<Keys>>) -> Door {
        Door { keys, tries: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// Wrong or missing keys so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Who asks, if they may do what `role` is for.
    pub(crate) fn enter(&self, headers: &HeaderMap, peer: &Peer, role: Role) -> Result<Tenant, Problem> {
        let Some(keys) = &self.keys else { return Ok(Tenant::Is(DEFAULT_TENANT.to_owned())) };
        let (from, file, now) = (peer.address, keys.current(), Timestamp::now());
        if let (None, Some((id, key))) = (headers.get(AUTHORIZATION), file.of_certificate(&peer.names, now)) {
            return allowed(id, key, from, role);
        }
        if self.has_tried_too_often(from) {
            return Err(Problem {
                retry_after_ms: Some(WINDOW.as_millis() as u64),
                ..Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_tries",
                    "too many wrong keys from this address",
                )
            });
        }
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let bearer = |value: &hyper::header::HeaderValue| {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
        };
        let key = sent.next().and_then(bearer).filter(|_| sent.next().is_none());
        let Some((id, key)) = key.as_deref().and_then(|key| file.find(key, now)) else {
            self.note(from);
            let detail = "expected `Authorization: Bearer` with a key of this server, made by `weir key new`";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "no_key", detail));
        };
        allowed(id, key, from, role)
    }

    fn has_tried_too_often(&self, from: IpAddr) -> bool {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.get(&from).is_some_and(|(since, count)| *count >= TRIES && since.elapsed() < WINDOW)
    }

    fn note(&self, from: IpAddr) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%from, "a request came without a key of this server");
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= ADDRESSES {
            tries.retain(|_, (since, _)| since.elapsed() < WINDOW);
        }
        if tries.len() < ADDRESSES || tries.contains_key(&from) {
            let (since, count) = tries.entry(from).or_insert((Instant::now(), 0));
            match since.elapsed() < WINDOW {
                true => *count += 1,
                false => (*since, *count) = (Instant::now(), 1),
            }
        }
    }
}

/// On whose behalf the holder of a key asks, if it is for that.
fn allowed(id: &str, key: &Key, from: IpAddr, role: Role) -> Result<Tenant, Problem> {
    if !key.role.may(role) {
        tracing::warn!(key = id, %from, "a key was used for what it is not for");
        return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", "this key is not for that"));
    }
    Ok(if key.tenant == ANY { Tenant::Named } else { Tenant::Is(key.tenant.clone()) })
}
