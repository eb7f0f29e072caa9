//! The composition root: the only file that knows every stage.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};

use crate::decision::Decision;
use crate::engine::{Engine, EngineError};
use crate::evaluation::Evaluation;
use crate::generation::Generation;
use crate::instance::Waiting;
use crate::loader::{Source, load};
use crate::metrics::{Counters, Metrics};
use crate::preflight::{Plan, prepare};
use crate::record::Recorder;
use crate::report::Report;
use crate::request::Request;

/// Who turns Wasm into machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compiler {
    /// This process: for modules from authors you trust, since compiling a hostile one takes time and memory.
    #[default]
    InProcess,
}

impl Compiler {
    /// Compiles in this process.
    pub fn in_process() -> Compiler {
        Compiler::InProcess
    }
}

/// What a runtime is opened with.
#[derive(Debug, Default)]
pub struct Builder {
    compiler: Compiler,
    recorder: Option<Recorder>,
}

/// Why a runtime could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The builder was given no recorder: there is no decision without a record.
    NoRecorder,
    /// The Wasm engine cannot start on this machine; the text says why.
    Engine(String),
    /// The set was refused.
    Set(Report),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoRecorder => {
                f.write_str("no recorder: give the builder one, such as Recorder::jsonl(\"audit\")")
            }
            OpenError::Engine(why) => f.write_str(why),
            OpenError::Set(report) => report.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> OpenError {
        OpenError::Engine(error.to_string())
    }
}

impl From<Report> for OpenError {
    fn from(report: Report) -> OpenError {
        OpenError::Set(report)
    }
}

impl Builder {
    /// Who compiles; default: this process.
    pub fn compiler(self, compiler: Compiler) -> Builder {
        Builder { compiler, ..self }
    }

    /// Where records go; there is no default.
    pub fn recorder(self, recorder: Recorder) -> Builder {
        Builder { recorder: Some(recorder), ..self }
    }

    /// Loads a set and brings it into force. Compiling takes about a millisecond a kilobyte of Wasm.
    ///
    /// # Errors
    /// No recorder, no engine, or a set that was refused, with everything that is wrong with it.
    pub async fn open(self, source: Source) -> Result<Runtime, OpenError> {
        let recorder = self.recorder.ok_or(OpenError::NoRecorder)?;
        let Compiler::InProcess = self.compiler;
        let engine = Engine::new()?;
        let (generation, _plan) = prepare(&engine, load(&source)?).await?;
        let shared = Shared { engine, generation: Arc::new(generation), recorder, counters: Counters::default() };
        Ok(Runtime { shared: Arc::new(shared) })
    }
}

/// A host: a policy set in force, and everything needed to judge by it.
pub struct Runtime {
    /// Shared with the tasks of [`Runtime::evaluate_all`].
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    generation: Arc<Generation>,
    recorder: Recorder,
    counters: Counters,
}

impl Shared {
    async fn evaluate(&self, request: Request, waiting: Waiting) -> Decision {
        Evaluation::new(&self.generation, &self.recorder, &self.counters, request, waiting).decide().await
    }
}

impl Runtime {
    /// Begins to open a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Judges a request by all policies that apply. This cannot fail: what goes wrong is inside the decision.
    ///
    /// Runs on any executor. Dropping the future ends the guests and records the request as cancelled.
    pub async fn evaluate(&self, request: Request) -> Decision {
        self.shared.evaluate(request, Waiting::Caller).await
    }

    /// As [`Runtime::evaluate`], on the calling thread.
    pub fn evaluate_blocking(&self, request: Request) -> Decision {
        pollster::block_on(self.evaluate(request))
    }

    /// Judges a stream of requests on all cores and answers in their order. It waits, and never sheds: a deadline is
    /// for callers who wait, so here it is one second at least.
    ///
    /// Must be polled inside a tokio runtime, whose worker threads do the work.
    pub fn evaluate_all<S>(&self, requests: S) -> impl Stream<Item = Decision> + use<S>
    where
        S: Stream<Item = Request>,
    {
        /// Requests that go to a core at once: hand-over costs more than a small evaluation.
        const CHUNK: usize = 32;
        let shared = Arc::clone(&self.shared);
        let judge = move |requests: Vec<Request>| {
            let shared = Arc::clone(&shared);
            Abandon(tokio::spawn(async move {
                let mut decisions = Vec::with_capacity(requests.len());
                for request in requests {
                    decisions.push(shared.evaluate(request, Waiting::Nobody).await);
                }
                decisions
            }))
        };
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        requests.ready_chunks(CHUNK).map(judge).buffered(2 * cores).flat_map(stream::iter)
    }

    /// Loads and checks another set without bringing it into force.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, source: Source) -> Result<Plan, Report> {
        let (_generation, plan) = pollster::block_on(prepare(&self.shared.engine, load(&source)?))?;
        Ok(plan)
    }

    /// The generation in force.
    pub fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.shared.generation)
    }

    /// What this host has done since it was opened.
    pub fn metrics(&self) -> Metrics {
        Metrics { records: self.shared.recorder.counters(), ..self.shared.counters.read() }
    }

    /// Where this host's records go.
    pub fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Waits up to `grace` for bulk evaluations in flight, and until every record is on the disk.
    pub async fn shutdown(self, grace: Duration) {
        let started = Instant::now();
        while Arc::strong_count(&self.shared) > 1 && started.elapsed() < grace {
            tokio::task::yield_now().await;
        }
        // What cannot be written now was answered by `when_record_fails` when it happened.
        let _ = self.shared.recorder.flush();
    }
}

/// Checks a set without opening it: for commands and pipelines.
///
/// # Errors
/// As [`Builder::open`], but without a recorder.
pub fn check(source: &Source) -> Result<Plan, OpenError> {
    let engine = Engine::new()?;
    let (_generation, plan) = pollster::block_on(prepare(&engine, load(source)?))?;
    Ok(plan)
}

/// A task that ends when nobody waits for it any more.
struct Abandon<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Abandon<T> {
    type Output = T;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<T> {
        std::pin::Pin::new(&mut self.0).poll(context).map(|joined| match joined {
            Ok(output) => output,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}

impl<T> Drop for Abandon<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
