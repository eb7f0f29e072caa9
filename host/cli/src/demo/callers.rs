//! Callers that never stop asking while something else goes on: each waits for its answer, pauses a moment and asks again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use weir::{Decision, GenerationNumber, Request, Runtime};

use super::records;
use super::traffic::Traffic;
use crate::exit::Failed;
use crate::tally::Spread;

/// One stream from which several draw, so that nobody asks what another has asked.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Traffic>>);

impl Shared {
    pub(super) fn new(traffic: Traffic) -> Shared {
        Shared(Arc::new(Mutex::new(traffic)))
    }

    /// The next request.
    pub(super) fn draw(&self) -> Request {
        // Nobody panics while a request is made: a test makes thousands.
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).next();
        let line = line.expect("the stream is endless");
        Request::parse(line.as_bytes()).expect("a test judges the demo's requests")
    }
}

/// How many there are.
const CALLERS: usize = 8;
/// Between an answer and the next request of the same caller: load enough to notice, and room for who compiles.
const PAUSE: Duration = Duration::from_millis(15);

/// What one caller was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// Number of its record.
    pub(super) record: Option<u64>,
    pub(super) generation: u64,
}

/// All answers of one caller, in their order.
pub(super) type Answers = Vec<Answer>;

/// The callers at work.
pub(super) struct Callers {
    floor: Arc<Floor>,
    tasks: Vec<JoinHandle<Answers>>,
    /// Answers to [`Callers::ask`].
    own: Answers,
}

/// What the callers share.
struct Floor {
    runtime: Arc<Runtime>,
    traffic: Shared,
    over: AtomicBool,
    /// A lock for a few counts.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    asked: u64,
    generations: BTreeMap<GenerationNumber, Answered>,
    meanwhile: Meanwhile,
}

/// The answers of one generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) first: Instant,
    pub(super) number: u64,
}

/// The answers since somebody last looked, and how long their callers waited.
#[derive(Debug, Default)]
pub(super) struct Meanwhile {
    pub(super) answers: u64,
    pub(super) nanos: Spread,
}

/// What callers say when they have gone home.
pub(super) struct Told {
    pub(super) asked: u64,
    pub(super) callers: Vec<Answers>,
}

impl Callers {
    pub(super) fn start(runtime: &Arc<Runtime>, traffic: Shared) -> Callers {
        let (over, seen) = (AtomicBool::new(false), Mutex::default());
        let floor = Arc::new(Floor { runtime: Arc::clone(runtime), traffic, over, seen });
        let tasks = (0..CALLERS).map(|_| tokio::spawn(keep_asking(Arc::clone(&floor)))).collect();
        Callers { floor, tasks, own: Vec::new() }
    }

    /// One more request, beside all others.
    pub(super) async fn ask(&mut self, request: Request) -> Decision {
        let decision = self.floor.ask(request).await;
        self.own.push(answer(&decision));
        decision
    }

    /// A request nobody has asked.
    pub(super) fn next_request(&self) -> Request {
        self.floor.traffic.draw()
    }

    /// How many requests have been asked.
    pub(super) fn asked(&self) -> u64 {
        self.floor.seen().asked
    }

    /// What has been heard of a generation; none before its first answer.
    pub(super) fn answered_by(&self, generation: GenerationNumber) -> Option<Answered> {
        self.floor.seen().generations.get(&generation).copied()
    }

    /// What has been answered since the last call.
    pub(super) fn meanwhile(&self) -> Meanwhile {
        std::mem::take(&mut self.floor.seen().meanwhile)
    }

    /// Lets every caller wait for its last answer, and hears what they were told.
    pub(super) async fn go_home(self) -> Result<Told, Failed> {
        self.floor.over.store(true, Relaxed);
        let mut callers = vec![self.own];
        for task in self.tasks {
            callers.push(task.await.map_err(|error| Failed::environment(anyhow::Error::new(error)))?);
        }
        Ok(Told { asked: self.floor.seen().asked, callers })
    }
}

async fn keep_asking(floor: Arc<Floor>) -> Answers {
    let mut answers = Vec::new();
    while !floor.over.load(Relaxed) {
        answers.push(answer(&floor.ask(floor.traffic.draw()).await));
        tokio::time::sleep(PAUSE).await;
    }
    answers
}

impl Floor {
    async fn ask(&self, request: Request) -> Decision {
        self.seen().asked += 1;
        let started = Instant::now();
        let decision = self.runtime.evaluate(request).await;
        let (now, mut seen) = (Instant::now(), self.seen());
        let answered = Answered { first: now, number: 0 };
        seen.generations.entry(decision.generation().number).or_insert(answered).number += 1;
        seen.meanwhile.answers += 1;
        seen.meanwhile.nanos.add((now - started).as_nanos() as u64);
        decision
    }

    /// Counts are whole after every step, so a panic leaves nothing half-done.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(decision: &Decision) -> Answer {
    let record = decision.record().and_then(records::number);
    Answer { record, generation: decision.generation().number.get() }
}
