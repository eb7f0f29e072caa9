//! Any bytes are a request or a clear error; what is accepted reads the same in serde_json.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::Request;

fuzz_target!(|bytes: &[u8]| {
    let Ok(request) = Request::parse(bytes) else { return };
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => assert_eq!(value["checkpoint"], request.checkpoint()),
        // We keep numbers that no float can hold.
        Err(error) => assert!(error.to_string().contains("number out of range"), "{error}"),
    }
});
