//! Asks a Weir server for decisions, in the shape of the library: [`Client::evaluate`] cannot fail.
//!
//! Whatever goes wrong is a decision that denies: no answer in time, no server, a problem instead of a decision. Its
//! `decided_by` is then `["client"]`, and `problem` says why.
//!
//! ```no_run
//! # async fn ask() -> Result<(), weir_client::ClientError> {
//! use serde_json::json;
//! use weir_client::{Client, Effect};
//!
//! let weir = Client::builder("http://127.0.0.1:7171").key("weir_…").build()?;
//! let decision = weir.evaluate(&json!({"checkpoint": "tool.call", "payload": {"amount": 120}})).await;
//! if decision.effect == Effect::Allow {
//!     // Go on, with the edits of the decision made.
//! }
//! # Ok(())
//! # }
//! ```

mod decision;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

use crate::decision::Problem;
pub use crate::decision::{Decision, Edit, Effect, Finding, Obligation};

/// Longest answer that is read.
const LONGEST_ANSWER: usize = 64 << 20;
/// A connection that nobody has used for so long may be closed by the server at any moment: half of its time-out for heads.
const IDLE: Duration = Duration::from_millis(2_500);

/// What keeps a client from being made; asking does not fail.
#[derive(Debug)]
pub struct ClientError(String);

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClientError {}

/// Settings of a client; made by [`Client::builder`].
#[derive(Clone)]
pub struct Builder {
    url: String,
    key: Option<String>,
    timeout: Duration,
    roots: Option<Vec<u8>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("url", &self.url).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Builder {
    /// A key made by `weir key new`; default none.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Builder {
        self.key = Some(key.into());
        self
    }

    /// How long an answer is waited for, connecting included; default 250 ms. The server is told it, and has a bound of its own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// The authorities, as PEM, whose servers are trusted; default those of the system.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Builder {
        self.roots = Some(pem.into());
        self
    }

    /// The client. Connects when it is first asked.
    ///
    /// # Errors
    /// The address is none of `http` or `https`, the key is none, or there are no authorities to trust.
    pub fn build(self) -> Result<Client, ClientError> {
        let Builder { url, key, timeout, roots } = self;
        let wrong = |why: &dyn fmt::Display| ClientError(format!("`{url}` is no address of a server: {why}"));
        let base: Uri = url.trim_end_matches('/').parse().map_err(|error| wrong(&error))?;
        if !["http", "https"].contains(&base.scheme_str().unwrap_or_default()) || base.authority().is_none() {
            return Err(wrong(&"expected http:// or https:// and a host"));
        }
        let [one, many] = ["/v1/evaluate", "/v1/evaluate/batch"]
            .map(|path| format!("{}{path}", base.to_string().trim_end_matches('/')).parse::<Uri>());
        let authorization = key.map(|key| HeaderValue::try_from(format!("Bearer {key}"))).transpose();
        let mut authorization =
            authorization.map_err(|_| ClientError("a key has no control characters".to_owned()))?;
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = match base.scheme_str() {
            Some("https") => HttpsConnectorBuilder::new().with_tls_config(tls(roots.as_deref())?).https_only(),
            // What is not encrypted trusts nobody.
            _ => HttpsConnectorBuilder::new().with_tls_config(trusting(RootCertStore::empty())?).https_or_http(),
        };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector.enable_http1().wrap_connector(http));
        let told = timeout.as_millis().max(1);
        Ok(Client {
            http,
            one: one.map_err(|error| wrong(&error))?,
            many: many.map_err(|error| wrong(&error))?,
            authorization,
            told: HeaderValue::from(u64::try_from(told).unwrap_or(u64::MAX)),
            timeout,
        })
    }
}

fn tls(roots: Option<&[u8]>) -> Result<ClientConfig, ClientError> {
    let failed = |error: &dyn fmt::Display| ClientError(format!("authorities to trust: {error}"));
    let mut store = RootCertStore::empty();
    match roots {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| failed(&error))?;
                store.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None => {
            // Some that cannot be read are no reason to trust none of the others.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(failed(&"there are none"));
    }
    trusting(store)
}

fn trusting(store: RootCertStore) -> Result<ClientConfig, ClientError> {
    let provider = rustls::crypto::ring::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ClientError(error.to_string()))?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    one: Uri,
    many: Uri,
    authorization: Option<HeaderValue>,
    told: HeaderValue,
    timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.one).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Batch<'a, R> {
    requests: &'a [R],
}

#[derive(Deserialize)]
struct Answers {
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Decision(Decision),
    Problem(Problem),
}

impl Client {
    /// A client of the server at this address, such as `http://127.0.0.1:7171`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder { url: url.into(), key: None, timeout: Duration::from_millis(250), roots: None }
    }

    /// Asks for one decision. `request` serialises to what `GET /openapi.json` calls a request. What cannot be asked is
    /// denied. Must be polled inside a tokio runtime.
    pub async fn evaluate(&self, request: &impl Serialize) -> Decision {
        self.post(&self.one, request).await.unwrap_or_else(Decision::denied)
    }

    /// Asks for many decisions at once; they come in the order of the requests.
    pub async fn evaluate_batch<R: Serialize>(&self, requests: &[R]) -> Vec<Decision> {
        let asked: Result<Answers, String> = self.post(&self.many, &Batch { requests }).await;
        let answers = asked.and_then(|Answers { answers }| match answers.len() == requests.len() {
            true => Ok(answers),
            false => Err(format!("{} answers to {} requests", answers.len(), requests.len())),
        });
        let decided = |answer| match answer {
            Answer::Decision(decision) => decision,
            Answer::Problem(problem) => Decision::denied(problem.to_string()),
        };
        match answers {
            Ok(answers) => answers.into_iter().map(decided).collect(),
            Err(why) => requests.iter().map(|_| Decision::denied(why.clone())).collect(),
        }
    }

    async fn post<T: for<'a> Deserialize<'a>>(&self, uri: &Uri, value: &impl Serialize) -> Result<T, String> {
        let body = serde_json::to_vec(value).map_err(|error| format!("the request is no JSON: {error}"))?;
        let mut request = Request::new(Full::from(body));
        (*request.method_mut(), *request.uri_mut()) = (Method::POST, uri.clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("weir-timeout-ms", self.told.clone());
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| chain(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            Ok::<_, String>((status, body.map_err(|error| chain(&*error))?.to_bytes()))
        };
        let waited = || format!("no answer within {} ms", self.timeout.as_millis());
        let (status, body) = tokio::time::timeout(self.timeout, answer).await.map_err(|_| waited())??;
        if status != StatusCode::OK {
            let problem = serde_json::from_slice::<Problem>(&body).map(|problem| problem.to_string());
            return Err(problem.unwrap_or_else(|_| format!("status {status} without a decision")));
        }
        serde_json::from_slice(&body).map_err(|error| format!("an answer that is no decision: {error}"))
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
