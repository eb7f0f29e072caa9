//! Random stories on one thread: callers that come, are polled and are dropped in the middle of writes and syncs,
//! while the disk fails. Every step is decided by the seed, so a failing story can be told again.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::disk::{Disk, Faults, set_meanwhile};
use super::log::{self, Outcome};
use crate::journal::{AppendError, Durability, Journal, JournalOptions};

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(Durability),
    AppendNow,
    Poll(usize),
    Drop(usize),
    /// One round of the thread.
    Round,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Append(Durability::Strict)),
        6 => Just(Step::Append(Durability::Group)),
        2 => Just(Step::Append(Durability::Async)),
        1 => Just(Step::AppendNow),
        4 => any::<usize>().prop_map(Step::Poll),
        3 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Round),
    ]
}

fn any_faults() -> impl Strategy<Value = Faults> {
    (0..60u64, 0..60u64, 0..60u64, 0..60u64).prop_map(|(write, cut, sync, next)| Faults { write, cut, sync, next })
}

/// Remembers that the executor would poll again.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Caller {
    id: usize,
    durability: Durability,
    future: Pin<Box<dyn Future<Output = Result<u64, AppendError>>>>,
    woken: Arc<Flag>,
}

struct Story {
    disk: Arc<Disk>,
    journal: Rc<Journal>,
    threaded: bool,
    /// What is still to happen.
    steps: RefCell<VecDeque<Step>>,
    /// Suspended callers.
    callers: RefCell<Vec<Caller>>,
    outcomes: RefCell<HashMap<usize, Outcome>>,
    next_id: RefCell<usize>,
}

impl Story {
    fn new_id(&self) -> usize {
        *self.next_id.borrow_mut() += 1;
        *self.next_id.borrow()
    }

    fn run_step(&self, step: Step, is_inside: bool) {
        let pick = |number: usize| {
            let mut callers = self.callers.borrow_mut();
            let count = callers.len();
            (count > 0).then(|| callers.remove(number % count))
        };
        match step {
            Step::Append(durability) => self.append(durability),
            Step::AppendNow => {
                let id = self.new_id();
                let answer = self.journal.append_now(log::body(id).as_bytes());
                self.outcomes.borrow_mut().insert(id, Outcome::Answered(answer));
            }
            Step::Poll(number) => pick(number).into_iter().for_each(|caller| self.poll(caller)),
            Step::Drop(number) => {
                if let Some(caller) = pick(number) {
                    self.outcomes.borrow_mut().insert(caller.id, Outcome::Dropped);
                    drop(caller);
                }
            }
            // There is one thread, so a round does not happen inside another's write: it would wait for the writer.
            Step::Round if self.threaded && !is_inside => self.journal.shared.round(),
            Step::Round => {}
        }
    }

    fn append(&self, durability: Durability) {
        let (id, journal) = (self.new_id(), Rc::clone(&self.journal));
        let future = Box::pin(async move { journal.append(log::body(id).as_bytes(), durability).await });
        let woken = Arc::new(Flag(AtomicBool::new(false)));
        self.poll(Caller { id, durability, future, woken });
    }

    fn poll(&self, mut caller: Caller) {
        caller.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&caller.woken));
        match caller.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.callers.borrow_mut().push(caller),
            Poll::Ready(answer) => {
                if answer.is_ok() && caller.durability == Durability::Strict && self.threaded {
                    assert!(self.disk.is_synced(&log::mark(caller.id)), "strict answered before the sync");
                }
                self.outcomes.borrow_mut().insert(caller.id, Outcome::Answered(answer));
            }
        }
    }

    /// Polls callers only when they were woken, as an executor does, until nothing moves.
    fn settle(&self) {
        loop {
            let mut callers = self.callers.borrow_mut();
            let woken = callers.iter().position(|caller| caller.woken.0.load(Ordering::SeqCst));
            let Some(caller) = woken.map(|index| callers.remove(index)) else {
                return;
            };
            drop(callers);
            self.poll(caller);
        }
    }
}

fn tell(seed: u64, faults: Option<Faults>, threaded: bool, segment_bytes: u64, steps: Vec<Step>) {
    let disk = Disk::new(seed, faults.unwrap_or_default(), true);
    let options = JournalOptions { segment_bytes, ..JournalOptions::default() };
    let journal = Rc::new(disk.journal(options, threaded, false));
    let story = Rc::new(Story {
        disk: Arc::clone(&disk),
        journal,
        threaded,
        steps: RefCell::new(steps.into()),
        callers: RefCell::default(),
        outcomes: RefCell::default(),
        next_id: RefCell::new(0),
    });
    let inside = Rc::clone(&story);
    set_meanwhile(Some(Rc::new(move || {
        let count = seed.rotate_left(inside.steps.borrow().len() as u32) % 7;
        for _ in 0..count {
            let step = inside.steps.borrow_mut().pop_front();
            step.into_iter().for_each(|step| inside.run_step(step, true));
        }
    })));
    while let Some(step) = { story.steps.borrow_mut().pop_front() } {
        story.run_step(step, false);
    }
    set_meanwhile(None);
    disk.heal();
    if threaded {
        // The thread alone must bring everything to an end: first what waits, then what that left to sync.
        story.journal.shared.round();
        story.settle();
        story.journal.shared.round();
    } else if faults.is_some() {
        // Without a thread, what a failed write left behind goes out with the next append.
        story.run_step(Step::AppendNow, false);
    }
    story.settle();
    assert!(story.callers.borrow().is_empty(), "somebody waits for ever");
    let found = log::read(&disk.segments(), "host");
    log::check(&found, &story.outcomes.borrow(), faults.is_none());
    if faults.is_none() {
        let ids = *story.next_id.borrow();
        assert_eq!(found.len(), ids, "without faults every record is there");
    }
    let last = story.journal.append_now(b"\"id\":null").unwrap();
    assert_eq!(last, story.journal.counters().appended, "lines are counted, and the numbers are the lines'");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn stories_with_faults(
        seed: u64, faults in any_faults(), threaded: bool, segment_bytes in 200u64..4000,
        steps in proptest::collection::vec(any_step(), 1..120),
    ) {
        // Without a thread there is neither sync nor rotation.
        tell(seed, Some(faults), threaded, if threaded { segment_bytes } else { u64::MAX }, steps);
    }

    #[test]
    fn stories_without_faults(
        seed: u64, threaded: bool, segment_bytes in 200u64..4000,
        steps in proptest::collection::vec(any_step(), 1..120),
    ) {
        tell(seed, None, threaded, if threaded { segment_bytes } else { u64::MAX }, steps);
    }
}
