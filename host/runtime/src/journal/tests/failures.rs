//! What single failures look like to a caller and in the log.

use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::disk::{Disk, Faults, set_meanwhile};
use super::log;
use crate::journal::{AppendError, Durability, Journal, JournalOptions};

type Append = Pin<Box<dyn Future<Output = Result<u64, AppendError>>>>;

/// A journal without its thread: the test calls `round`.
fn journal(faults: Faults) -> (Arc<Disk>, Rc<Journal>) {
    let disk = Disk::new(1, faults, true);
    let journal = Rc::new(disk.journal(JournalOptions::default(), true, false));
    (disk, journal)
}

fn append(journal: &Rc<Journal>, id: usize, durability: Durability) -> Append {
    let journal = Rc::clone(journal);
    Box::pin(async move { journal.append(log::body(id).as_bytes(), durability).await })
}

fn poll(future: &mut Append) -> Poll<Result<u64, AppendError>> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// What each line is: its id, or its kind.
fn gist(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["id"].as_u64().map_or_else(|| value["kind"].as_str().unwrap().to_owned(), |id| id.to_string())
    };
    text.lines().map(name).collect()
}

#[test]
fn a_failed_write_says_why_and_its_number_is_free_again() {
    let (disk, journal) = journal(Faults { write: 100, ..Faults::default() });
    let error = journal.append_now(log::body(1).as_bytes()).unwrap_err();
    let AppendError::Write(reason) = &error else { panic!("{error}") };
    assert_eq!(reason.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.segments(), [(1, String::new())], "no torn line stays");
    disk.heal();
    assert_eq!(journal.append_now(log::body(2).as_bytes()).unwrap(), 1);
    assert_eq!(journal.counters().failures, 1);
}

#[test]
fn a_torn_line_that_cannot_be_cut_blocks_writing_until_it_can() {
    let (disk, journal) = journal(Faults { write: 100, cut: 100, ..Faults::default() });
    for _ in 0..2 {
        journal.append_now(log::body(1).as_bytes()).unwrap_err();
    }
    assert!(!disk.segments()[0].1.is_empty(), "torn");
    disk.heal();
    journal.shared.round();
    assert_eq!(disk.segments(), [(1, String::new())], "the thread alone cuts it");
    assert_eq!(journal.append_now(log::body(2).as_bytes()).unwrap(), 1);
}

#[test]
fn a_record_accepted_before_a_failed_write_keeps_its_number() {
    let (disk, journal) = journal(Faults { write: 100, ..Faults::default() });
    let followers = Rc::new(Mutex::new(Vec::new()));
    let (journal_inside, followers_inside) = (Rc::clone(&journal), Rc::clone(&followers));
    set_meanwhile(Some(Rc::new(move || {
        for (id, durability) in [(2, Durability::Group), (3, Durability::Async), (4, Durability::Group)] {
            let mut future = append(&journal_inside, id, durability);
            match poll(&mut future) {
                Poll::Ready(answer) => assert_eq!(answer.unwrap(), 3),
                Poll::Pending => followers_inside.lock().unwrap().push(future),
            }
        }
    })));
    journal.append_now(log::body(1).as_bytes()).unwrap_err();
    set_meanwhile(None);
    for mut follower in followers.lock().unwrap().drain(..) {
        assert!(matches!(poll(&mut follower), Poll::Ready(Err(AppendError::Write(_)))));
    }
    disk.heal();
    assert_eq!(journal.append_now(log::body(5).as_bytes()).unwrap(), 4);
    assert_eq!(gist(&disk.segments()[0].1), ["withdrawn", "withdrawn", "3", "5"]);
}

#[test]
fn after_a_failed_sync_a_new_segment_names_the_numbers_in_doubt() {
    let (disk, journal) = journal(Faults { sync: 100, ..Faults::default() });
    let mut group = append(&journal, 1, Durability::Group);
    assert!(matches!(poll(&mut group), Poll::Ready(Ok(1))));
    let mut strict = append(&journal, 2, Durability::Strict);
    assert!(poll(&mut strict).is_pending(), "written, and waiting for the sync");
    journal.shared.round();
    assert!(matches!(poll(&mut strict), Poll::Ready(Err(AppendError::Sync(_)))));
    disk.heal();
    let mut strict = append(&journal, 3, Durability::Strict);
    assert!(poll(&mut strict).is_pending());
    journal.shared.round();
    assert!(matches!(poll(&mut strict), Poll::Ready(Ok(4))));
    let segments = disk.segments();
    assert_eq!((segments[0].0, gist(&segments[0].1)), (1, vec!["1".into(), "2".into()]));
    assert_eq!((segments[1].0, gist(&segments[1].1)), (3, vec!["sync_failed".into(), "3".into()]));
    assert!(segments[1].1.contains(r#""unsynced_from":1,"unsynced_to":2"#));
}

#[test]
fn a_full_buffer_is_an_answer() {
    let disk = Disk::new(1, Faults::default(), true);
    let options = JournalOptions { buffer_bytes: 300, ..JournalOptions::default() };
    let journal = Rc::new(disk.journal(options, true, false));
    let accepted = (1..10)
        .take_while(|id| poll(&mut append(&journal, *id, Durability::Async)).map(|a| a.is_ok()) == Poll::Ready(true));
    let accepted = accepted.count();
    assert!((2..6).contains(&accepted));
    assert!(matches!(journal.append_now(log::body(9).as_bytes()), Err(AppendError::Full)));
    journal.shared.round();
    assert_eq!(journal.append_now(log::body(9).as_bytes()).unwrap(), accepted as u64 + 1);
}

/// Nobody polls the follower that was offered the lead: the next caller and the thread write for it.
#[test]
fn a_follower_that_sleeps_on_the_lead_stops_nobody() {
    let (disk, journal) = journal(Faults::default());
    let followers = Rc::new(Mutex::new(Vec::new()));
    let (journal_inside, followers_inside) = (Rc::clone(&journal), Rc::clone(&followers));
    set_meanwhile(Some(Rc::new(move || {
        let mut future = append(&journal_inside, 2, Durability::Group);
        if followers_inside.lock().unwrap().is_empty() {
            assert!(poll(&mut future).is_pending());
            followers_inside.lock().unwrap().push(future);
        }
    })));
    assert_eq!(journal.append_now(log::body(1).as_bytes()).unwrap(), 1);
    assert_eq!(gist(&disk.segments()[0].1), ["1"], "one caller writes one batch");
    assert_eq!(journal.append_now(log::body(3).as_bytes()).unwrap(), 3);
    set_meanwhile(None);
    assert_eq!(gist(&disk.segments()[0].1), ["1", "2", "3"]);
    let mut follower = followers.lock().unwrap().pop().unwrap();
    assert!(matches!(poll(&mut follower), Poll::Ready(Ok(2))));
}
