use std::fs;
use std::sync::Arc;

use super::counter::{Window, WindowKind};
use super::*;

fn hour() -> Window {
    Window::new(3_600_000, WindowKind::Tumbling).unwrap()
}

fn account(state: &Arc<State>, tenant: &str, now: u64) -> Account {
    Account::new(state, "policy", tenant, false, now)
}

/// Takes and confirms.
fn spend(state: &Arc<State>, key: &str, amount: u64, name: Option<&str>) -> bool {
    let mut taken = Taken::from(Some(account(state, "tenant", 1)));
    let answer = taken.take(key, Amount { amount, window: hour() }, 1_000_000, name).unwrap();
    taken.end(true);
    answer.granted
}

fn used(state: &Arc<State>, key: &str) -> u64 {
    let mut taken = Taken::from(Some(account(state, "tenant", 1)));
    taken.take(key, Amount { amount: 0, window: hour() }, u64::MAX, None).unwrap().used
}

fn settle(state: &Arc<State>, key: &str, amount: u64, name: &str) {
    let mut taken = Taken::from(Some(account(state, "tenant", 1)));
    taken.settle(key, Amount { amount, window: hour() }, name).unwrap();
    taken.end(false);
}

/// The numbered logs of a folder of state.
fn logs(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder.join("counters")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

#[test]
fn what_was_written_down_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let state = State::open(folder.path()).unwrap();
        assert_eq!((used(&state, "a"), used(&state, "b")), (5 * (round - 1), 2 * (round - 1)));
        spend(&state, "a", 5, None);
        spend(&state, "b", 90, Some("estimate"));
        assert_eq!(used(&state, "b"), 2 * (round - 1) + 90);
        // Half of them are settled by the host after the one that took them.
        let state = if round == 2 { State::open(folder.path()).unwrap() } else { state };
        settle(&state, "b", 2, "estimate");
    }
}

#[test]
fn an_evaluation_sees_what_it_has_settled_itself() {
    let amount = |amount| Amount { amount, window: hour() };
    for (allowed, left) in [(true, 100), (false, 40)] {
        let state = Arc::new(State::volatile());
        spend(&state, "k", 20, Some("before"));
        let mut taken = Taken::from(Some(account(&state, "tenant", 1)));
        // The same calls with the same answers are in the tests of the SDKs, whose stand-ins count alike.
        assert_eq!(taken.take("k", amount(5), 100, Some("own")).unwrap().used, 25);
        assert_eq!(taken.settle("k", amount(4), "own").unwrap().used, 24);
        assert_eq!(taken.settle("k", amount(30), "before").unwrap().used, 34);
        assert_eq!(taken.settle("k", amount(6), "own").unwrap().used, 40, "settled once, then it is one more");
        let full = taken.take("k", amount(61), 100, None).unwrap();
        assert_eq!((full.granted, full.used), (false, 40));
        let fits = taken.take("k", amount(60), 100, None).unwrap();
        assert_eq!((fits.granted, fits.used), (true, 100));
        assert!(!taken.take("k", amount(1), 100, None).unwrap().granted);
        assert_eq!(used(&state, "other"), 0);
        taken.end(allowed);
        assert_eq!(used(&state, "k"), left, "what is a fact stands");
    }
}

#[test]
fn what_was_settled_twice_at_once_loosens_nothing() {
    let amount = |amount| Amount { amount, window: hour() };
    let state = Arc::new(State::volatile());
    spend(&state, "k", 80, Some("call"));
    let mut first = Taken::from(Some(account(&state, "tenant", 1)));
    let mut second = Taken::from(Some(account(&state, "tenant", 1)));
    assert_eq!(first.settle("k", amount(20), "call").unwrap().used, 20);
    assert_eq!(second.settle("k", amount(20), "call").unwrap().used, 20);
    first.end(true);
    assert!(!second.take("k", amount(61), 100, None).unwrap().granted);
    assert_eq!(second.take("k", amount(60), 100, None).unwrap().used, 100);
    second.end(true);
    assert_eq!(used(&state, "k"), 100);
}

#[test]
fn half_a_line_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    spend(&state, "a", 5, None);
    spend(&state, "a", 6, None);
    let [log] = &logs(folder.path())[..] else { panic!("one log") };
    let bytes = fs::read(log).unwrap();
    drop(state);
    for cut in [1, 40, 79] {
        fs::write(log, &bytes[..bytes.len() - cut]).unwrap();
        fs::remove_file(folder.path().join("counters/snapshot")).unwrap();
        let others = logs(folder.path());
        others.iter().filter(|other| *other != log).for_each(|other| fs::remove_file(other).unwrap());
        assert_eq!(used(&State::open(folder.path()).unwrap(), "a"), 5);
    }
}

#[test]
fn snapshots_while_others_take_count_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let state = &state;
            scope.spawn(move || {
                for round in 0..500 {
                    spend(state, ["a", "b", "c"][(thread + round) % 3], 1, None);
                }
            });
        }
        for _ in 0..20 {
            state.log.as_ref().unwrap().compact(&state).unwrap();
        }
    });
    let sum = |state: &Arc<State>| ["a", "b", "c"].iter().map(|key| used(state, key)).sum::<u64>();
    assert_eq!(sum(&state), 2_000);
    let again = State::open(folder.path()).unwrap();
    assert_eq!(sum(&again), 2_000);
}

#[test]
fn a_log_that_cannot_be_written_fails_what_comes_after_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let log = state.log.as_ref().unwrap();
    log.break_for_test();
    spend(&state, "a", 5, None);
    assert_eq!(state.metrics().faults, 1);
    let mut taken = Taken::from(Some(account(&state, "tenant", 1)));
    let refused = taken.take("a", Amount { amount: 1, window: hour() }, 10, None);
    // The thread may have mended it by now; otherwise it says so.
    assert!(refused.is_ok() || refused == Err(StateError::Failing));
    drop(taken);
    // The thread mends it; whoever comes after it finds it done.
    let pause = |_| std::thread::park_timeout(std::time::Duration::from_millis(1));
    (0..60_000).take_while(|_| log.is_failing()).for_each(pause);
    assert!(!log.is_failing());
    log.compact(&state).unwrap();
    spend(&state, "a", 6, None);
    assert_eq!(used(&State::open(folder.path()).unwrap(), "a"), 11, "what could not be written is in the snapshot");
}

#[test]
fn a_counter_that_still_counts_is_never_forgotten() {
    let state = Arc::new(State::with_shards(1, None));
    let take = |tenant: &str, key: usize, now| {
        let mut taken = Taken::from(Some(account(&state, tenant, now)));
        let took = taken.take(&key.to_string(), Amount { amount: 1, window: hour() }, 1, None);
        taken.end(true);
        took.map(|answer| answer.granted)
    };
    for key in 0..MOST_OF_ONE {
        assert_eq!(take("greedy", key, 5), Ok(true));
    }
    assert_eq!(take("greedy", MOST_OF_ONE, 5), Err(StateError::Full));
    assert_eq!(take("greedy", 7, 5), Ok(false), "those that are there go on counting");
    assert_eq!(take("other", 7, 5), Ok(true), "and others have room");
    let later = 2 * 3_600_000;
    assert_eq!(take("greedy", MOST_OF_ONE, later), Ok(true), "what counts no more makes room");
    assert_eq!(take("greedy", 7, 5), Ok(true));
    assert_eq!(take("greedy", 7, later), Ok(false), "what is dated back is taken from the time that was reached");
    assert_eq!(state.metrics().full, 1);
}

#[test]
fn names_of_owners_keys_and_windows_do_not_run_into_each_other() {
    let state = Arc::new(State::volatile());
    let name = |policy: &str, tenant: &str, key: &str, window: Window| {
        let account = Account::new(&state, policy, tenant, false, 0);
        account.name(account.owner, key, window)
    };
    let sliding = Window::new(3_600_000, WindowKind::Sliding).unwrap();
    let names = [
        name("ab", "c", "k", hour()),
        name("a", "bc", "k", hour()),
        name("ab", "c", "k", sliding),
        name("ab", "c", "kk", hour()),
        name("ab", "ck", "", hour()),
    ];
    for (place, one) in names.iter().enumerate() {
        assert!(!names[place + 1..].contains(one), "{place}");
    }
}
