//! What no client of ours sends, but whoever wants two servers to read one request differently does.

use std::net::IpAddr;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode, Version};

use crate::problem::Problem;

/// Refuses requests that a proxy might read in another way.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    // With both, hyper follows the one and drops the other before anybody sees it, so only one of them is taken at all.
    if headers.contains_key(TRANSFER_ENCODING) {
        let detail = "expected a body of a `Content-Length`, without `Transfer-Encoding`";
        return Err(Problem::new(StatusCode::LENGTH_REQUIRED, "no_length", detail));
    }
    let hosts = headers.get_all(HOST).iter().count();
    // HTTP/1.0 knows no such header: probes of load balancers still ask by it. HTTP/2 has it in another place.
    let needed = request.version() == Version::HTTP_11;
    if request.version() < Version::HTTP_2 && (hosts > 1 || needed && hosts == 0) {
        return Err(Problem::bad("ambiguous_host", "expected exactly one `Host`"));
    }
    Ok(())
}

/// What is looked at is asked by; an answer to HEAD is that to GET, without its body.
pub(crate) const LOOKS: &[Method] = &[Method::GET, Method::HEAD];
/// What does something is asked by.
pub(crate) const ACTS: &[Method] = &[Method::POST];

/// Only by these methods.
pub(crate) fn is_asked_by<B>(methods: &'static [Method], request: &Request<B>) -> Result<(), Problem> {
    if methods.contains(request.method()) { Ok(()) } else { Err(Problem::wrong_method(methods)) }
}

/// Only by an address or as `localhost`: where nobody needs a key, a page in a browser could give a name of its own the
/// address of this machine, and ask as if it were its server.
pub(crate) fn is_called_local<B>(request: &Request<B>) -> Result<(), Problem> {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(Authority::as_str).or(named).unwrap_or_default();
    let host = authority.parse::<Authority>().map(|authority| authority.host().to_ascii_lowercase());
    let is_local = |host: &str| host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if host.is_ok_and(|host| is_local(&host)) {
        return Ok(());
    }
    let detail = "this server has no keys, so it is asked by an address or as `localhost` only";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign_host", detail))
}

/// Only JSON as it is, so that no page in a browser can ask without the browser asking first.
pub(crate) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let is = |kind: &str| {
        let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        let is_plain = ["", "charset=utf-8"].iter().any(|plain| plain.eq_ignore_ascii_case(parameters.trim()));
        kind.trim().eq_ignore_ascii_case("application/json") && is_plain
    };
    if headers.contains_key(CONTENT_ENCODING) {
        let detail = "expected a body without `Content-Encoding`: nothing is unpacked here";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded", detail));
    }
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) if kind.to_str().is_ok_and(is) => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "no_json",
            "expected `Content-Type: application/json`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_addresses_are_local_names() {
        for (host, fits) in [
            ("localhost", true),
            ("LocalHost:7172", true),
            ("127.0.0.1:7172", true),
            ("[::1]:7172", true),
            ("10.0.0.7", true),
            ("weir.example", false),
            ("127.0.0.1.example:7172", false),
            ("localhost.example", false),
            ("", false),
        ] {
            let request = Request::builder().header(HOST, host).body(()).expect("a request");
            assert_eq!(is_called_local(&request).is_ok(), fits, "{host}");
        }
        let request = Request::builder().uri("http://evil.example/").header(HOST, "localhost").body(()).expect("one");
        assert!(is_called_local(&request).is_err(), "HTTP/2 says it in another place");
    }

    #[test]
    fn only_json_is_json() {
        for (kinds, fits) in [
            (&["application/json"][..], true),
            (&["Application/JSON; charset=UTF-8"], true),
            (&[], false),
            (&["text/plain"], false),
            (&["application/json", "application/json"], false),
            (&["application/json; charset=latin1"], false),
            (&["application/jsonp"], false),
        ] {
            let mut headers = HeaderMap::new();
            for kind in kinds {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            assert_eq!(is_json(&headers).is_ok(), fits, "{kinds:?}");
        }
    }
}
