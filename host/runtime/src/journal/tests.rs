//! The journal on a simulated disk that fails by plan, and on a real one.

mod crowd;
mod disk;
mod failures;
mod files;
mod log;
mod story;

use std::path::PathBuf;

use pollster::block_on;

use super::{AppendError, Durability, Journal, JournalError, MAX_LINE_BYTES};

#[test]
fn memory_keeps_the_last_lines() {
    let journal = Journal::memory(2);
    for (number, durability) in [Durability::Strict, Durability::Group, Durability::Async].into_iter().enumerate() {
        let body = format!(r#""kind":"test","n":{number}"#);
        assert_eq!(block_on(journal.append(body.as_bytes(), durability)).unwrap(), number as u64 + 1);
    }
    let expected =
        [r#"{"v":1,"record":"memory/2","kind":"test","n":1}"#, r#"{"v":1,"record":"memory/3","kind":"test","n":2}"#];
    assert_eq!(journal.lines(), expected);
    assert_eq!(journal.append_now(br#""n":3"#).unwrap(), 4);
    journal.flush().unwrap();
    assert_eq!(journal.lines()[1], r#"{"v":1,"record":"memory/4","n":3}"#);
}

#[test]
fn discard_numbers_and_counts() {
    let journal = Journal::discard();
    assert_eq!(journal.append_now(b"\"a\":1").unwrap(), 1);
    assert_eq!(block_on(journal.append(b"\"a\":2", Durability::Strict)).unwrap(), 2);
    let counters = journal.counters();
    assert_eq!((counters.appended, counters.batches, counters.failures), (2, 2, 0));
    assert!(journal.lines().is_empty());
}

#[test]
fn odd_bodies_are_refused_and_take_no_number() {
    let journal = Journal::memory(9);
    assert!(matches!(journal.append_now(b""), Err(AppendError::Malformed)));
    assert!(matches!(journal.append_now(b"\"a\":\n1"), Err(AppendError::Malformed)));
    let long = vec![b' '; MAX_LINE_BYTES];
    assert!(matches!(journal.append_now(&long), Err(AppendError::TooLong { .. })));
    assert_eq!(journal.append_now(b"\"a\":1").unwrap(), 1);
}

#[test]
fn errors_say_what_and_what_to_do() {
    let path = PathBuf::from("/r/x");
    let found = "h\u{1b}/2".to_owned();
    let texts = [
        JournalError::Host { host: "a/b\n".to_owned() }.to_string(),
        JournalError::Locked { dir: path.clone() }.to_string(),
        JournalError::Name { path: path.clone() }.to_string(),
        JournalError::Foreign { path: path.clone(), found, host: "a".to_owned() }.to_string(),
        JournalError::Version { path: path.clone(), found: "2".to_owned() }.to_string(),
        JournalError::Damaged { path, at: 7 }.to_string(),
    ];
    for text in texts {
        assert!(text.contains(": ") && !text.contains(char::is_control), "{text}");
    }
}

/// The futures must be usable on executors that move tasks between threads.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let journal = Journal::memory(1);
    block_on(is_send(journal.append(b"\"a\":1", Durability::Group))).unwrap();
}
