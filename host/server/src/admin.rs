//! What operators ask, on a listener of its own: health, metrics, what is in force, going back, and what happens.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use weir::{GenerationId, Runtime};

use crate::credential::Door;
use crate::guard;
use crate::keys::Role;
use crate::listener::{Handler, Peer};
use crate::metrics::{self, Counts};
use crate::problem::{Body, Problem, answer, text};

pub(crate) struct Admin {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) door: Arc<Door>,
    pub(crate) counts: Arc<Counts>,
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
    async fn handle(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        self.answer(&request, peer).await.unwrap_or_else(|problem| problem.response())
    }
}

impl Admin {
    async fn answer(&self, request: &Request<Incoming>, peer: Peer) -> Result<Response<Body>, Problem> {
        guard::check(request)?;
        let enter = |role| self.door.enter(request.headers(), &peer, role);
        match (request.method(), request.uri().path()) {
            // Whoever restarts what does not live, or sends no traffic to what is not ready, has no key.
            (&Method::GET, "/livez") => Ok(text("alive\n".to_owned(), "text/plain")),
            (&Method::GET, "/readyz") => self.ready(),
            (&Method::GET, "/metrics") => {
                let text_format = "text/plain; version=0.0.4";
                Ok(text(metrics::text(&self.counts, self.door.refused(), &self.runtime), text_format))
            }
            (&Method::GET, "/v1/status") => {
                enter(Role::Auditor)?;
                Ok(answer(&self.runtime.metrics()))
            }
            (&Method::GET, "/v1/generations") => {
                enter(Role::Auditor)?;
                Ok(answer(&self.generations()))
            }
            (&Method::POST, path) if path.starts_with("/v1/rollback/") => {
                enter(Role::Publisher)?;
                // Any page in a browser on this machine can send a plain POST to the loopback.
                guard::is_json(request.headers())?;
                self.rollback(&path["/v1/rollback/".len()..]).await
            }
            _ => Err(Problem::new(StatusCode::NOT_FOUND, "no_such_path", "there is nothing here for this method")),
        }
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

    async fn rollback(&self, number: &str) -> Result<Response<Body>, Problem> {
        let loaded = self.runtime.generations();
        let wanted = loaded.iter().map(|generation| generation.id().number).find(|known| known.to_string() == number);
        let Some(wanted) = wanted else {
            let detail = "no generation of this number is loaded: GET /v1/generations lists those that are";
            return Err(Problem::new(StatusCode::NOT_FOUND, "not_loaded", detail));
        };
        match self.runtime.rollback(wanted).await {
            Ok(_) => Ok(answer(&self.runtime.generation().id())),
            Err(error) => Err(Problem::new(StatusCode::CONFLICT, "refused", error.to_string())),
        }
    }
}
