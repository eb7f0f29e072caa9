//! The last act: the policies change while callers keep asking, and not every change is a good one.
//!
//! [`operator`] changes the files that the host follows, [`callers`](super::callers) ask all the time, and
//! [`evidence`](super::evidence) compares what they were told with the records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir::{CompileLimits, Decision, Effect, Generation, GenerationNumber, Recorder, Report, Request, Runtime};
use weir::{Source, Watch};

use super::callers::{Callers, Shared, Told};
use super::cards::Card;
use super::operator::{self, Operator, SET_FILE};
use super::stage::Stage;
use super::{Folder, asked, bomb};
use crate::exit::Failed;
use crate::interrupt::Interrupt;
use crate::set;
use crate::terminal::{counted, size, time};

pub(super) const TITLE: &str = "Then the policies change, while everybody keeps asking";

const CAPTION: [&str; 3] = [
    "Now the policies are files in a folder, and the host follows it: a change comes into force, or it is refused as",
    "a whole. Eight callers ask one request after the other until the act is over, and nobody tells them that",
    "anything changes. A generation is what was in force between two changes.",
];

/// What compiling may cost here: a bomb is soon at its end. The shipped modules are in the store since the first act.
const LIMITS: CompileLimits =
    CompileLimits { cpu: Duration::from_secs(1), memory_bytes: 256 << 20, wall: Duration::from_secs(15) };
/// The longest wait for anything of the act.
const LONGEST: Duration = Duration::from_secs(30);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Answers that every generation gives before the next change.
const ENOUGH: u64 = 100;
/// Between two steps where somebody reads along.
const READING: Duration = Duration::from_millis(700);

/// Why the act ended early.
pub(super) enum Cut {
    Interrupted,
    Failed(Failed),
}

impl<E: Into<Failed>> From<E> for Cut {
    fn from(error: E) -> Cut {
        Cut::Failed(error.into())
    }
}

/// The act as it goes on.
pub(super) struct Swap<'a> {
    stage: &'a Stage,
    interrupt: Interrupt,
    operator: Operator,
    runtime: Arc<Runtime>,
    watch: Watch,
    callers: Callers,
    /// The generation at the beginning.
    first: GenerationNumber,
    /// The generation that should be in force.
    number: GenerationNumber,
}

/// What is left when it is over.
pub(super) struct Left {
    pub(super) told: Told,
    pub(super) generations: Vec<Arc<Generation>>,
}

impl<'a> Swap<'a> {
    /// Writes the shipped set into a folder of its own, and opens a host that follows it.
    pub(super) async fn open(
        stage: &'a Stage,
        interrupt: Interrupt,
        folder: &Folder,
        traffic: Shared,
    ) -> Result<Swap<'a>, Failed> {
        let operator = Operator::new(folder.workshop.path().join("set"))?;
        let recorder = Recorder::jsonl(&folder.records).map_err(Failed::environment)?;
        let builder = folder.builder().compiler(set::compiler().limits(LIMITS)).recorder(recorder);
        let runtime = builder.open(Source::dir(operator.folder())).await.map_err(set::failed)?;
        let runtime = Arc::new(runtime);
        let first = runtime.generation().id().number;
        let (watch, callers) = (runtime.follow(), Callers::start(&runtime, traffic));
        Ok(Swap { stage, interrupt, operator, runtime, watch, callers, first, number: first })
    }

    pub(super) async fn play(&mut self) -> Result<(), Cut> {
        self.stage.lines(CAPTION)?;
        let masked = self.one_that_is_masked().await?;
        self.stricter(&masked).await?;
        self.mistyped().await?;
        self.hostile().await?;
        self.half_copied().await?;
        self.back(&masked).await
    }

    /// Ends the act in an orderly way, wherever it is.
    pub(super) async fn close(self) -> Result<Left, Failed> {
        let told = self.callers.go_home().await?;
        drop(self.watch);
        let generations = self.runtime.generations();
        if let Some(runtime) = Arc::into_inner(self.runtime) {
            runtime.shutdown(Duration::from_secs(5)).await;
        }
        Ok(Left { told, generations })
    }

    /// Asks until something is masked: the request that is asked again after each swap.
    async fn one_that_is_masked(&mut self) -> Result<Request, Cut> {
        loop {
            self.go_on()?;
            let decision = self.callers.ask(self.callers.next_request()).await;
            if decision.request().checkpoint() == "inference.input" && headline(&decision) == MASKED {
                self.show(&decision)?;
                self.enough().await?;
                return Ok(decision.request().clone());
            }
        }
    }

    async fn stricter(&mut self, masked: &Request) -> Result<(), Cut> {
        self.step("stricter", "`pii` is to deny what it masked: a new weir.toml is renamed over the old one").await?;
        let renamed = self.operator.replace(SET_FILE, operator::stricter().as_bytes())?;
        self.number = GenerationNumber::new(self.first.get() + 1);
        let first = self.until("answer by the stricter rule", || self.callers.answered_by(self.number)).await?.first;
        let after = time((first - renamed).as_nanos() as u64);
        self.line("the host waits until the files have been left alone for a moment, loads them and checks them")?;
        self.good(&format!(
            "generation {} is in force: its first answer came {after} after the rename",
            self.number
        ))?;
        let decision = self.again(masked, DENIED).await?;
        self.show(&decision)?;
        self.enough().await
    }

    async fn mistyped(&mut self) -> Result<(), Cut> {
        self.step("mistake", "somebody mistypes a word of weir.toml").await?;
        self.operator.replace(SET_FILE, operator::mistyped().as_bytes())?;
        self.refused("refuse the mistake", |report| !report.set.is_empty()).await?;
        self.stays()
    }

    async fn hostile(&mut self) -> Result<(), Cut> {
        let wasm = bomb::wasm(bomb::DEPTH);
        let bytes = size(wasm.len() as u64);
        self.step("hostile", &format!("a new policy: {bytes} of nested loops, made to choke compilers")).await?;
        let (cpu, memory) = (LIMITS.cpu.as_secs(), LIMITS.memory_bytes >> 20);
        self.line(&format!("a child process compiles it, and has {cpu} s of processor time and {memory} MiB"))?;
        self.operator.replace(operator::ADDED, &wasm)?;
        self.callers.meanwhile();
        let renamed = self.operator.replace(SET_FILE, operator::with_added().as_bytes())?;
        self.refused("refuse the hostile module", |report| names(report, operator::ADDED_POLICY)).await?;
        let (took, meanwhile) = (time(renamed.elapsed().as_nanos() as u64), self.callers.meanwhile());
        let [half, all] = [50.0, 100.0].map(|percent| time(meanwhile.nanos.percentile(percent)));
        let answers = counted(meanwhile.answers, "answer");
        self.good(&format!("meanwhile, in {took}, callers got {answers}: half within {half}, all within {all}"))?;
        self.stays()
    }

    async fn half_copied(&mut self) -> Result<(), Cut> {
        let change = format!("{} is overwritten in place, and the copy dies half-way", operator::COPIED);
        self.step("half", &change).await?;
        let whole = operator::shipped(operator::COPIED);
        self.operator.replace(SET_FILE, operator::stricter().as_bytes())?;
        self.operator.remove(operator::ADDED)?;
        self.operator.copy_half(operator::COPIED, whole)?;
        self.refused("refuse half a file", |report| names(report, operator::COPIED_POLICY)).await?;
        self.stays()?;
        self.operator.replace(operator::COPIED, whole)?;
        self.until("take the whole file", || self.runtime.refused().is_none().then_some(())).await?;
        self.line("copied once more, and whole: nothing is wrong any more, and nothing is new")?;
        self.stays()
    }

    async fn back(&mut self, masked: &Request) -> Result<(), Cut> {
        let first = self.first;
        self.step("back", &format!("the stricter rule was a bad idea: roll back to generation {first}")).await?;
        let started = Instant::now();
        let number = self.runtime.rollback(first).await;
        let took = time(started.elapsed().as_nanos() as u64);
        self.number = number.map_err(|error| Failed::refused(format!("cannot roll back: {error}")))?;
        let number = self.number;
        self.good(&format!("generation {number} is in force after {took}, with the policies of generation {first}"))?;
        self.line("what the folder says counts again once somebody changes it")?;
        self.again(masked, MASKED).await?;
        self.good(&format!("the same request is {MASKED} again"))?;
        self.enough().await
    }

    /// The same request once more, and what should become of it.
    async fn again(&mut self, masked: &Request, expected: &str) -> Result<Decision, Cut> {
        let decision = self.callers.ask(masked.clone()).await;
        let (number, became) = (decision.generation().number, headline(&decision));
        if (number, became) == (self.number, expected) {
            return Ok(decision);
        }
        let message = format!("the same request is {became} by generation {number}; expected was {expected}");
        Err(Failed::refused(message).into())
    }

    /// Lets the generation in force answer for a while.
    async fn enough(&self) -> Result<(), Cut> {
        let answered = || self.callers.answered_by(self.number).filter(|answered| answered.number >= ENOUGH);
        self.until("answer", answered).await.map(drop)
    }

    /// Waits for a refusal, and says why it came.
    async fn refused(&self, what: &str, is: impl Fn(&Report) -> bool) -> Result<(), Cut> {
        let report = self.until(what, || self.runtime.refused().filter(|report| is(report))).await?;
        let folder = format!("{}/", self.operator.folder().display());
        let text = report.to_string().replace(&folder, "");
        let mut lines = text.lines();
        let first = format!("{} {}", self.stage.paint.red("refused:"), lines.next().unwrap_or_default());
        self.line(&first)?;
        lines.try_for_each(|line| self.line(line))
    }

    /// After a refusal everything is as it was.
    fn stays(&self) -> Result<(), Cut> {
        let number = self.runtime.generation().id().number;
        if number != self.number {
            let message = format!("generation {number} is in force, and it should be {}", self.number);
            return Err(Failed::refused(message).into());
        }
        self.good(&format!("generation {number} stays in force"))
    }

    /// Waits until something is there.
    async fn until<T>(&self, what: &str, there: impl Fn() -> Option<T>) -> Result<T, Cut> {
        let started = Instant::now();
        loop {
            self.go_on()?;
            if let Some(found) = there() {
                return Ok(found);
            }
            if started.elapsed() > LONGEST {
                return Err(self.late(what).into());
            }
            self.stage.news(|| {
                let number = self.runtime.generation().id().number;
                format!("generation {number}, {} so far", counted(self.callers.asked(), "request"))
            });
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What can be said about something that did not come.
    fn late(&self, what: &str) -> Failed {
        let refused = self.runtime.refused().map(|report| format!("refused: {report}"));
        let watch = self.runtime.following().map(|following| format!("watch: {:?}", following.watch));
        let details: Vec<String> = refused.into_iter().chain(watch).collect();
        let message = format!("the host did not {what} within {} s", LONGEST.as_secs());
        Failed::environment(anyhow::anyhow!(message)).details(details.join("\n"))
    }

    fn go_on(&self) -> Result<(), Cut> {
        if self.interrupt.exit().is_some() { Err(Cut::Interrupted) } else { Ok(()) }
    }

    /// Something new happens; where somebody reads along they have a moment for what was before.
    async fn step(&self, name: &str, what: &str) -> Result<(), Cut> {
        let (paced, now) = (self.stage.paced, Instant::now());
        self.until("go on", || (!paced || now.elapsed() > READING).then_some(())).await?;
        self.stage.gap()?;
        Ok(self.stage.line(&format!("{}  {what}", self.stage.paint.bold(format!("{name:<8}"))))?)
    }

    fn good(&self, text: &str) -> Result<(), Cut> {
        self.line(&self.stage.paint.green(text))
    }

    fn line(&self, text: &str) -> Result<(), Cut> {
        Ok(self.stage.line(&format!("          {text}"))?)
    }

    fn show(&self, decision: &Decision) -> Result<(), Cut> {
        Ok(self.stage.show(&Card { decision, request: &asked(decision), headline: headline(decision) })?)
    }
}

const MASKED: &str = "masked";
const DENIED: &str = "denied";

fn headline(decision: &Decision) -> &'static str {
    match decision.effect() {
        Effect::Allow if decision.edits().is_empty() => "allowed",
        Effect::Allow => MASKED,
        Effect::Review => "review",
        Effect::Deny => DENIED,
    }
}

/// Whether a report is about a policy.
fn names(report: &Report, policy: &str) -> bool {
    report.load.iter().any(|error| error.policy == policy)
}
