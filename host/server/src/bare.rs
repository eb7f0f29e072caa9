//! What hyper answers by itself to a head that it cannot read: a status and no body. It is answered as a problem, too.

use hyper::StatusCode;

use crate::listener::{HEAD_BYTES, HEADERS};
use crate::problem::Problem;

const END: &[u8] = b"\r\n\r\n";
const NO_BODY: &str = "\r\ncontent-length: 0\r\n";
/// Bytes of such an answer at most; hyper's have a hundred.
const LONGEST: usize = 256;

/// Where such an answer begins in what is written: it is the last of its connection, and no answer of ours is without a body.
pub(crate) fn begins(written: &[u8]) -> Option<usize> {
    if !written.ends_with(END) {
        return None;
    }
    let start = written.len().saturating_sub(LONGEST);
    let at = start + written[start..].windows(10).rposition(|part| part == b"HTTP/1.1 4")?;
    std::str::from_utf8(&written[at..]).ok()?.contains(NO_BODY).then_some(at)
}

/// The same answer with a problem as its body.
pub(crate) fn explained(head: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(StatusCode::BAD_REQUEST);
    let (code, detail) = match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
            ("large_head", format!("the head of a request has at most {HEADERS} headers and {HEAD_BYTES} bytes"))
        }
        _ => (
            "bad_head",
            "this is not the head of an HTTP request, or a proxy might read it in another way".to_owned(),
        ),
    };
    let body = serde_json::to_string(&Problem::new(status, code, detail)).expect("a problem always serialises");
    let about = format!("\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n", body.len());
    (head.replacen(NO_BODY, &about, 1) + &body).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_a_body_is_explained() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(begins(bare), Some(0));
        assert_eq!(begins(&[&whole[..], &bare[..]].concat()), Some(whole.len()));
        for other in [&whole[..], b"HTTP/1.1 400 Bad\r\ncontent-length: 9\r\n\r\n", b"\r\n\r\n", b""] {
            assert_eq!(begins(other), None);
        }
        let told = String::from_utf8(explained(bare)).expect("it is text");
        let (head, body) = told.split_once("\r\n\r\n").expect("a head ends");
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains(&format!("content-length: {}", body.len())));
        assert!(body.contains("large_head") && body.contains("100 headers"), "{body}");
        assert_eq!(begins(told.as_bytes()), None);
    }
}
