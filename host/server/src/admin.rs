//! What operators ask, on a listener of its own: health, metrics, what is in force, another set, going back, and what
//! happens.

mod events;
mod page;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use weir::{GenerationId, NoteKind, Runtime, Source};

use crate::body;
use crate::credential::{Door, Entered};
use crate::guard;
use crate::keys::Role;
use crate::listener::{Handler, Peer};
use crate::metrics::{self, Counts};
use crate::problem::{Body, Problem, answer, text};
use crate::settings::Settings;
use crate::tls::Tls;

/// What is at a path.
#[derive(Clone, Copy)]
enum Route<'a> {
    Live,
    Ready,
    Metrics,
    Page,
    Status,
    Generations,
    Events,
    Check,
    Publish,
    /// To the generation of this number.
    Rollback(&'a str),
}

impl Route<'_> {
    fn of(path: &str) -> Option<Route<'_>> {
        Some(match path {
            "/livez" => Route::Live,
            "/readyz" => Route::Ready,
            "/metrics" => Route::Metrics,
            "/" | "/page.js" | "/page.css" => Route::Page,
            "/v1/status" => Route::Status,
            "/v1/generations" => Route::Generations,
            "/v1/events" => Route::Events,
            "/v1/check" => Route::Check,
            "/v1/publish" => Route::Publish,
            _ => Route::Rollback(path.strip_prefix("/v1/rollback/")?),
        })
    }

    /// Whoever restarts what does not live, or sends no traffic to what is not ready, has no key.
    fn is_for_probes(self) -> bool {
        matches!(self, Route::Live | Route::Ready | Route::Metrics)
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Route::Check | Route::Publish | Route::Rollback(_) => guard::ACTS,
            _ => guard::LOOKS,
        }
    }
}

pub(crate) struct Admin {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) door: Arc<Door>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stopped: watch::Receiver<bool>,
    /// Who watches events now.
    pub(crate) watching: Arc<Semaphore>,
}

/// A set as it is sent: what a folder has in `weir.toml`, and modules by the paths that the set names them by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    set: String,
    /// Base64.
    #[serde(default)]
    modules: BTreeMap<String, String>,
}

/// What is recorded of an operator's act.
#[derive(Serialize)]
struct Act<'a> {
    act: &'static str,
    /// Identifier of their key, where a server has keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    from: IpAddr,
    /// What is in force afterwards.
    in_force: GenerationId,
    /// Whether it did what it was for.
    done: bool,
}

/// A generation that is loaded.
#[derive(Serialize)]
struct Loaded {
    #[serde(flatten)]
    id: GenerationId,
    since: jiff::Timestamp,
    policies: Vec<String>,
    in_force: bool,
}

impl Handler for Admin {
    async fn handle(self: Arc<Self>, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
        match self.answer(&mut request, peer).await {
            Ok(response) => response,
            Err(problem) => body::refused(request, problem).await,
        }
    }
}

impl Admin {
    async fn answer(&self, request: &mut Request<Incoming>, peer: Peer) -> Result<Response<Body>, Problem> {
        guard::check(request)?;
        let path = request.uri().path().to_owned();
        let route = Route::of(&path);
        if self.door.is_open() && !route.is_some_and(Route::is_for_probes) {
            guard::is_called_local(request)?;
        }
        let Some(route) = route else {
            let detail = "there is nothing here: `weir serve --help` lists what is";
            return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail));
        };
        guard::is_asked_by(route.methods(), request)?;
        let headers = request.headers();
        let enter = |role| self.door.enter(headers, &peer, role);
        // Any page in a browser on this machine can send a plain POST to the loopback.
        let act = || enter(Role::Publisher).and_then(|entered| guard::is_json(headers).map(|()| entered));
        match route {
            Route::Live => Ok(text("alive\n".to_owned(), "text/plain")),
            Route::Ready => self.ready(),
            Route::Metrics => {
                let text_format = "text/plain; version=0.0.4";
                Ok(text(metrics::text(&self.counts, &self.door, self.tls.as_deref(), &self.runtime), text_format))
            }
            Route::Page => Ok(page::part(&path)),
            Route::Status => enter(Role::Auditor).map(|_| answer(&self.runtime.metrics())),
            Route::Generations => enter(Role::Auditor).map(|_| answer(&self.generations())),
            Route::Events => {
                enter(Role::Auditor)?;
                events::events(&self.runtime, self.stopped.clone(), &self.watching)
            }
            Route::Check => {
                act()?;
                self.check(self.sent(request).await?).await
            }
            Route::Publish => {
                let entered = act()?;
                self.publish(self.sent(request).await?, &entered, &peer).await
            }
            Route::Rollback(number) => self.rollback(number, &act()?, &peer).await,
        }
    }

    /// The set in a request's body.
    async fn sent(&self, request: &mut Request<Incoming>) -> Result<Source, Problem> {
        let Settings { set_bytes, body_timeout, .. } = *self.settings;
        let body = body::read(request, set_bytes, "set_bytes", body_timeout).await?;
        let Sent { set, modules } = serde_json::from_slice(&body).map_err(|error| {
            let expected = "expected {\"set\":\"…\",\"modules\":{\"path\":\"base64\"}}";
            Problem::bad("bad_set", format!("{expected}: {error}"))
        })?;
        let decode = |(path, text): (String, String)| match BASE64_STANDARD.decode(text) {
            Ok(bytes) => Ok((path, bytes)),
            Err(error) => Err(Problem::bad("bad_set", format!("module `{path}` is no base64: {error}"))),
        };
        let modules: Vec<(String, Vec<u8>)> = modules.into_iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Source::memory(set, modules))
    }

    /// Loads a set and says what it would do, and leaves what is in force.
    async fn check(&self, source: Source) -> Result<Response<Body>, Problem> {
        let runtime = Arc::clone(&self.runtime);
        let checked = tokio::task::spawn_blocking(move || runtime.check(source)).await;
        Ok(answer(&checked.map_err(|_| broken())??))
    }

    async fn publish(&self, source: Source, by: &Entered, peer: &Peer) -> Result<Response<Body>, Problem> {
        let published = self.runtime.publish(source).await;
        self.record("publish", by, peer, published.is_ok());
        published?;
        Ok(answer(&self.runtime.generation().id()))
    }

    fn record(&self, act: &'static str, by: &Entered, peer: &Peer, done: bool) {
        let in_force = self.runtime.generation().id();
        let (key, from) = (by.key.as_deref(), peer.address);
        tracing::info!(act, key, %from, done, in_force = in_force.number.get(), "an operator");
        self.runtime.recorder().note(NoteKind::Operator, &Act { act, key, from, in_force, done });
    }

    /// A set is in force from the first moment on; records that cannot be written are what keeps a host from its work.
    fn ready(&self) -> Result<Response<Body>, Problem> {
        if self.runtime.recorder().is_working() {
            return Ok(text(format!("generation {}\n", self.runtime.generation().id().number), "text/plain"));
        }
        let detail = "decisions cannot be recorded: look at the disk and the folder of the records";
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_recording", detail))
    }

    fn generations(&self) -> Vec<Loaded> {
        let in_force = self.runtime.generation().id();
        let loaded = self.runtime.generations();
        let loaded = loaded.iter().map(|generation| Loaded {
            id: generation.id(),
            since: generation.since(),
            policies: generation.policies().map(str::to_owned).collect(),
            in_force: generation.id() == in_force,
        });
        loaded.collect()
    }

    async fn rollback(&self, number: &str, by: &Entered, peer: &Peer) -> Result<Response<Body>, Problem> {
        let loaded = self.runtime.generations();
        let wanted = loaded.iter().map(|generation| generation.id().number).find(|known| known.to_string() == number);
        let Some(wanted) = wanted else {
            let detail = "no generation of this number is loaded: GET /v1/generations lists those that are";
            return Err(Problem::new(StatusCode::NOT_FOUND, "not_loaded", detail));
        };
        let rolled_back = self.runtime.rollback(wanted).await;
        self.record("rollback", by, peer, rolled_back.is_ok());
        match rolled_back {
            Ok(_) => Ok(answer(&self.runtime.generation().id())),
            Err(error) => Err(Problem::new(StatusCode::CONFLICT, "refused", error.to_string())),
        }
    }
}

/// What should not happen has happened; the log says more.
fn broken() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", "the set could not be looked at: see the server's log")
}
