//! What callers ask: `POST /v1/evaluate`, `POST /v1/evaluate/batch`, `GET /v1/generation`, `GET /openapi.json`.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use weir::{Caller, Class, DEFAULT_TENANT, RequestLimits, Runtime};

use crate::body;
use crate::credential::{Door, Entered, Tenant};
use crate::document;
use crate::guard;
use crate::keys::Role;
use crate::listener::{Connections, Handler, Peer};
use crate::metrics::{Counts, Route};
use crate::problem::{Body, Problem, answer, answer_of, bytes_of, text};
use crate::settings::Settings;

/// How long a caller waits, in milliseconds.
static TIMEOUT: HeaderName = HeaderName::from_static("weir-timeout-ms");
/// What class a caller is content with.
static CLASS: HeaderName = HeaderName::from_static("weir-class");
/// A body that takes milliseconds to read: not on a thread that answers others.
const LARGE: usize = 256 << 10;
/// Requests of one batch that are under way at once: judged one after the other, and written to the disk together.
const AT_ONCE: usize = 128;

pub(crate) struct Api {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) door: Arc<Door>,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    requests: Vec<&'a RawValue>,
}

impl Handler for Api {
    async fn handle(self: Arc<Self>, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let started = Instant::now();
        let route = Route::of(request.uri().path());
        let response = match self.answer(&mut request, route, peer).await {
            Ok(response) => response,
            Err(problem) => body::refused(request, problem).await,
        };
        self.counts.count(route, response.status(), started.elapsed());
        response
    }

    fn connections(&self) -> Option<&Connections> {
        Some(&self.counts.connections)
    }
}

impl Api {
    async fn answer(
        &self,
        request: &mut Request<Incoming>,
        route: Route,
        peer: Peer,
    ) -> Result<Response<Body>, Problem> {
        guard::check(request)?;
        if route == Route::Other {
            let detail = "there is nothing here: GET /openapi.json lists what is";
            return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail));
        }
        let post = matches!(route, Route::Evaluate | Route::Batch);
        guard::is_asked_by(if post { guard::ACTS } else { guard::LOOKS }, request)?;
        let Entered { tenant, .. } = self.door.enter(request.headers(), &peer, Role::Evaluator)?;
        if post {
            guard::is_json(request.headers())?;
            let caller = self.caller(request.headers(), route)?;
            return match route {
                // Its future is large, and rarely needed.
                Route::Batch => Box::pin(self.batch(request, &tenant, caller)).await,
                _ => self.evaluate(request, &tenant, caller).await,
            };
        }
        match route {
            Route::Document => Ok(text(document::openapi().to_owned(), "application/json")),
            _ => Ok(answer(&self.runtime.generation().id())),
        }
    }

    async fn evaluate(
        &self,
        request: &mut Request<Incoming>,
        tenant: &Tenant,
        caller: Caller,
    ) -> Result<Response<Body>, Problem> {
        let body = body::read(request, self.settings.body_bytes, "body_bytes", self.settings.body_timeout).await?;
        let decision = self.runtime.evaluate_for(self.request(&body, tenant)?, caller).await?;
        Ok(answer_of(decision.to_json()))
    }

    /// Each request has a decision or a problem of its own: one that is bad fails alone. Nothing takes long at once, however
    /// large all of it is: others are answered by the same threads.
    async fn batch(
        &self,
        request: &mut Request<Incoming>,
        tenant: &Tenant,
        caller: Caller,
    ) -> Result<Response<Body>, Problem> {
        let body = body::read(request, self.settings.batch_bytes, "batch_bytes", self.settings.body_timeout).await?;
        let requests = match body.len() {
            0..LARGE => requests(&body),
            _ => tokio::task::spawn_blocking(move || requests(&body)).await.expect("reading never panics"),
        };
        let requests = requests?;
        let most = self.settings.batch_requests;
        if requests.len() > most {
            let detail = format!("{} requests, the limit is {most} (setting `batch_requests`)", requests.len());
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        let decide = async |json: Bytes| {
            let decided = match self.request(&json, tenant) {
                Ok(request) => self.runtime.evaluate_for(request, caller).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            match decided {
                Ok(decision) => ("decision", decision.to_json()),
                Err(problem) => ("problem", bytes_of(&problem)),
            }
        };
        let mut answers = pin!(stream::iter(requests).map(decide).buffered(AT_ONCE));
        let mut json = b"{\"answers\":[".to_vec();
        while let Some((kind, answer)) = answers.next().await {
            let comma = if json.ends_with(b"[") { "" } else { "," };
            json.extend_from_slice(format!("{comma}{{\"{kind}\":").as_bytes());
            json.extend(answer);
            json.push(b'}');
        }
        json.extend(b"]}");
        Ok(answer_of(json))
    }

    /// What is asked, on behalf of whoever may ask.
    fn request(&self, json: &[u8], tenant: &Tenant) -> Result<weir::Request, Problem> {
        let limits = RequestLimits { body_bytes: self.settings.body_bytes, ..RequestLimits::default() };
        // Callers do not choose when they ask; records know milliseconds.
        let now =
            Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("the present is within range");
        let request = weir::Request::parse_at(json, &limits, now)?;
        match tenant {
            Tenant::Named => Ok(request),
            Tenant::Is(own) if own == request.tenant() => Ok(request),
            Tenant::Is(own) if request.tenant() == DEFAULT_TENANT => Ok(request.with_tenant(own)),
            Tenant::Is(own) => {
                let detail = format!("the request names another tenant than `{own}`, whose key it comes with");
                let problem = Problem::new(StatusCode::FORBIDDEN, "not_your_tenant", detail);
                Err(Problem { pointer: Some("/tenant".to_owned()), ..problem })
            }
        }
    }

    /// How urgent it is, and how long its caller waits.
    fn caller(&self, headers: &HeaderMap, route: Route) -> Result<Caller, Problem> {
        let Settings { timeout, longest_timeout, .. } = *self.settings;
        let one = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (value, None) => Ok(value.map(|value| value.to_str().unwrap_or_default())),
                _ => Err(Problem::bad("bad_header", format!("`{name}` is there more than once"))),
            }
        };
        let wait = match one(&TIMEOUT)? {
            None if route == Route::Batch => longest_timeout,
            None => timeout,
            // Whoever would wait longer than the server lets anybody has an answer all the sooner.
            Some(text) => match text.parse() {
                Ok(millis @ 1..) => Duration::from_millis(millis).min(longest_timeout),
                _ => {
                    let detail = format!("`{TIMEOUT}` is no number of milliseconds, 1 or more");
                    return Err(Problem::bad("bad_header", detail));
                }
            },
        };
        let class = match one(&CLASS)? {
            // Its requests wait for each other: refusing some for that would help nobody.
            None if route == Route::Batch => Class::Bulk,
            None | Some("interactive") => Class::Interactive,
            Some("normal") => Class::Normal,
            Some("bulk") => Class::Bulk,
            Some(_) => {
                let detail = format!("`{CLASS}` is none of interactive, normal and bulk");
                return Err(Problem::bad("bad_header", detail));
            }
        };
        Ok(Caller { class, until: Some(Instant::now() + wait) })
    }
}

/// The requests of a batch, unread.
fn requests(body: &Bytes) -> Result<Vec<Bytes>, Problem> {
    let bad = |why: &dyn fmt::Display| {
        let problem = Problem::bad("bad_batch", format!("expected {{\"requests\":[…]}}: {why}"));
        Problem { pointer: Some(String::new()), ..problem }
    };
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad(&"it is no object"));
    }
    let Batch { requests } = serde_json::from_slice(body).map_err(|error| bad(&error))?;
    Ok(requests.into_iter().map(|json| body.slice_ref(json.get().as_bytes())).collect())
}
