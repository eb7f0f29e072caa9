//! What must be true of a log, compared with what its callers were told.

use std::collections::HashMap;

use serde_json::Value;

use crate::journal::AppendError;

/// What became of one append.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Result<u64, AppendError>),
    /// Its future was dropped before it had an answer.
    Dropped,
}

pub(super) fn body(id: usize) -> String {
    // Lengths differ, so that an offset that is wrong shows.
    format!(r#""kind":"test","id":{id},"pad":"{}""#, "x".repeat(id * 7 % 50))
}

/// The text of a body that no other body has.
pub(super) fn mark(id: usize) -> String {
    format!(r#""id":{id},"#)
}

/// Numbers without gaps from 1 over all segments, every line whole; answers the ids with their numbers.
pub(super) fn read(segments: &[(u64, String)], host: &str) -> HashMap<usize, Vec<u64>> {
    let (mut next, mut found) = (1, HashMap::<usize, Vec<u64>>::new());
    for (first, text) in segments {
        assert_eq!(*first, next, "a segment is named after its first line");
        assert!(text.is_empty() || text.ends_with('\n'), "torn: {text:?}");
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["v"], 1);
            assert_eq!(value["record"], format!("{host}/{next}"), "{line}");
            if let Some(id) = value["id"].as_u64() {
                assert_eq!(line.split_once(',').unwrap().1.split_once(',').unwrap().1, body(id as usize) + "}");
                found.entry(id as usize).or_default().push(next);
            }
            next += 1;
        }
    }
    found
}

/// Every `Ok` once under its number, no refused record, and what was dropped at most once; always, if `keeps_dropped`.
pub(super) fn check(found: &HashMap<usize, Vec<u64>>, outcomes: &HashMap<usize, Outcome>, keeps_dropped: bool) {
    for (id, outcome) in outcomes {
        let numbers = found.get(id).map_or(&[][..], Vec::as_slice);
        match outcome {
            Outcome::Answered(Ok(sequence)) => assert_eq!(numbers, [*sequence], "id {id}"),
            Outcome::Answered(Err(AppendError::Sync(_))) => {
                assert!(numbers.len() <= 1, "id {id}: {numbers:?}")
            }
            Outcome::Answered(Err(error)) => {
                assert!(numbers.is_empty(), "id {id}: {numbers:?} despite {error}")
            }
            Outcome::Dropped if keeps_dropped => assert_eq!(numbers.len(), 1, "id {id}"),
            Outcome::Dropped => assert!(numbers.len() <= 1, "id {id}: {numbers:?}"),
        }
    }
}
