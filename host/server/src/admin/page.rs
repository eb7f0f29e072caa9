//! A plain page with live figures, for a browser on the admin address. It asks as anybody does, with the reader's key.

use hyper::Response;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, X_CONTENT_TYPE_OPTIONS};

use crate::problem::{Body, text};

/// Nothing is loaded from elsewhere, and no other page can show this one inside itself.
const CONTENT_POLICY: &str =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'";

/// A part of the page by its path; the page itself for any other.
pub(super) fn part(path: &str) -> Response<Body> {
    let (body, kind) = match path {
        "/page.js" => (include_str!("page/page.js"), "text/javascript; charset=utf-8"),
        "/page.css" => (include_str!("page/page.css"), "text/css; charset=utf-8"),
        _ => (include_str!("page/page.html"), "text/html; charset=utf-8"),
    };
    let mut response = text(body.to_owned(), kind);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
