//! Many threads at once, with drops, on the simulated disk and on a real one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pollster::block_on;

use super::disk::{Disk, Faults};
use super::log::{self, Outcome};
use crate::journal::{Durability, Journal, JournalOptions};

const THREADS: usize = 8;
const APPENDS: usize = 400;

/// Appends from all threads, dropping some futures after one or two polls.
fn crowd(journal: &Journal, drops: bool) -> HashMap<usize, Outcome> {
    std::thread::scope(|scope| {
        let start = |thread: usize| {
            scope.spawn(move || {
                let ids = (0..APPENDS).map(move |number| thread * APPENDS + number);
                ids.map(|id| (id, append(journal, id, drops))).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn append(journal: &Journal, id: usize, drops: bool) -> Outcome {
    let body = log::body(id);
    // Any mixture will do that differs between neighbours.
    let dice = id.wrapping_mul(0x9E37_79B9) >> 7;
    let durability = match dice % 40 {
        0 => Durability::Strict,
        1..30 => Durability::Group,
        30..37 => Durability::Async,
        _ => return Outcome::Answered(journal.append_now(body.as_bytes())),
    };
    let mut future = pin!(journal.append(body.as_bytes(), durability));
    if drops && dice.is_multiple_of(3) {
        for _ in 0..=dice % 2 {
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(answer) = polled {
                return Outcome::Answered(answer);
            }
        }
        return Outcome::Dropped;
    }
    Outcome::Answered(block_on(future))
}

#[test]
fn a_crowd_on_a_disk_that_fails() {
    for seed in 1..12u64 {
        let faults = Faults { write: seed * 3, cut: 30, sync: 20, next: 30 };
        let disk = Disk::new(seed * 7919, faults, false);
        let options = JournalOptions { segment_bytes: 20_000, ..JournalOptions::default() };
        let journal = disk.journal(options, true, true);
        let outcomes = crowd(&journal, true);
        disk.heal();
        journal.flush().unwrap();
        drop(journal);
        log::check(&log::read(&disk.segments(), "host"), &outcomes, false);
    }
}

#[test]
fn a_crowd_without_a_thread_to_help() {
    for seed in 1..12 {
        let disk = Disk::new(seed, Faults::default(), false);
        let options = JournalOptions { segment_bytes: u64::MAX, ..JournalOptions::default() };
        let journal = disk.journal(options, false, false);
        let outcomes = crowd(&journal, true);
        drop(journal);
        log::check(&log::read(&disk.segments(), "host"), &outcomes, true);
    }
}

pub(super) fn segments_on_disk(dir: &Path) -> Vec<(u64, String)> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| {
            let first = path.file_stem().unwrap().to_str().unwrap().trim_start_matches("records-").parse().unwrap();
            (first, fs::read_to_string(path).unwrap())
        })
        .collect();
    segments.sort();
    segments
}

#[test]
fn a_crowd_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { segment_bytes: 30_000, ..JournalOptions::default() };
    let journal = Journal::open_with(dir.path(), "host", options).unwrap();
    let outcomes = crowd(&journal, true);
    journal.flush().unwrap();
    let counters = journal.counters();
    assert_eq!((counters.appended, counters.failures), ((THREADS * APPENDS) as u64, 0));
    drop(journal);
    let segments = segments_on_disk(dir.path());
    assert!(segments.len() > 1, "it rotated");
    assert_eq!(counters.bytes, segments.iter().map(|(_, text)| text.len() as u64).sum::<u64>());
    log::check(&log::read(&segments, "host"), &outcomes, true);
}
