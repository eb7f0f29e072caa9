//! Any bytes are an answer or a clear error; what is accepted keeps to the bounds of a verdict.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::{Request, fuzzing::decode_verdict};

const REQUEST: &str = r#"{"checkpoint":"a","content":[{"text":"aé\u0000b"}],"payload":{"x":"y"}}"#;

fuzz_target!(|bytes: &[u8]| {
    let request = Request::parse(REQUEST.as_bytes()).expect("this request is one");
    let Ok(Some(verdict)) = decode_verdict(bytes, &request) else { return };
    assert!(verdict.scores.values().all(|score| (0.0..=1.0).contains(score)));
    for edit in &verdict.edits {
        assert!(edit.start <= edit.end && ["/content/0/text", "/payload/x", "/checkpoint"].contains(&&*edit.at), "{edit:?}");
    }
    let harmless = |text: &str| !text.chars().any(char::is_control);
    assert!(verdict.findings.iter().all(|finding| harmless(&finding.message) && harmless(&finding.code)));
});
