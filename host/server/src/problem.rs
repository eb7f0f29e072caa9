//! What is answered where there is no decision: one shape for all (RFC 9457), with a way out.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use weir::{Refusal, RefusalReason, Report, RequestError};

/// The body of an answer: whole, or one that goes on while something happens.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// Why a request was not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// A word for machines: the same for the same reason.
    pub(crate) code: &'static str,
    pub(crate) status: u16,
    /// One sentence for people, with the way out.
    pub(crate) detail: String,
    /// JSON pointer to the place in the request's body, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// When to ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    /// Everything that is wrong with a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<Box<Report>>,
    /// The methods that are answered here, for the header of the same name.
    #[serde(skip)]
    pub(crate) allow: &'static [Method],
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            code,
            status: status.as_u16(),
            detail: detail.into(),
            pointer: None,
            retry_after_ms: None,
            report: None,
            allow: &[],
        }
    }

    /// 400: the client says what this server does not take.
    pub(crate) fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 405: what is here answers other methods.
    pub(crate) fn wrong_method(allow: &'static [Method]) -> Problem {
        let detail = format!("only {} is answered here", listed(allow));
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail);
        Problem { allow, ..problem }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).expect("problems have the status of an answer");
        let mut response = Response::new(whole(bytes_of(self)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if !self.allow.is_empty() {
            headers.insert(ALLOW, HeaderValue::from_str(&listed(self.allow)).expect("methods are words"));
        }
        if let Some(millis) = self.retry_after_ms {
            // The header knows whole seconds, the body is exact.
            headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1_000).max(1)));
        }
        response
    }
}

impl From<RequestError> for Problem {
    fn from(RequestError { pointer, message }: RequestError) -> Problem {
        Problem { pointer: Some(pointer), ..Problem::bad("bad_request", message) }
    }
}

impl From<Report> for Problem {
    fn from(report: Report) -> Problem {
        let detail = "the set cannot come into force: `report` has every reason";
        Problem {
            report: Some(Box::new(report)),
            ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "set_refused", detail)
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let code = match refusal.reason {
            RefusalReason::Overload => "overload",
            RefusalReason::Late => "late",
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        Problem {
            retry_after_ms: Some(millis(refusal.retry_after)),
            ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, refusal.to_string())
        }
    }
}

fn listed(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// The JSON of an answer or of a part of one.
pub(crate) fn bytes_of(value: &impl Serialize) -> Vec<u8> {
    /// Room for most decisions without growing.
    const USUAL: usize = 1_000;
    let mut bytes = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut bytes, value).expect("answers always serialise into memory");
    bytes
}

/// An answer of JSON, 200.
pub(crate) fn answer(value: &impl Serialize) -> Response<Body> {
    answer_of(bytes_of(value))
}

/// An answer of JSON that is written already, 200.
pub(crate) fn answer_of(json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(whole(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of text, 200.
pub(crate) fn text(body: String, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}
