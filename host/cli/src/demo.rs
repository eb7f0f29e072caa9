//! `weir demo`: a day of several companies in a few seconds, with the shipped policies, a hostile one, and changes of
//! policies while everybody keeps asking.
//!
//! [`traffic`] makes the requests, [`cards`] shows single ones, [`agent`] is about a model that is misled, [`hostile`] brings
//! in policies that never answer.
//! [`swap`] is about changes: [`operator`] makes them, with a [`bomb`] among them, [`callers`] ask meanwhile, and
//! [`evidence`] compares what they were told with the records. [`records`] reads back what was recorded: the numbers at
//! the end are its, not the runtime's.

mod agent;
mod bomb;
mod callers;
mod cards;
mod evidence;
mod hostile;
mod operator;
mod records;
mod stage;
mod swap;
mod templates;
mod traffic;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tempfile::TempDir;
use weir::{Builder, Decision, Request, Runtime, Source};

use crate::eval::executor;
use crate::exit::{Exit, Failed};
use crate::interrupt::Interrupt;
use crate::set;
use crate::summary::{effects_line, policy_table};
use crate::terminal::{count, counted};
use callers::Shared;
use cards::{Card, Scenes};
use evidence::Evidence;
use records::Records;
use stage::Stage;
use swap::{Cut, Left, Swap};
use traffic::Traffic;

/// See Weir at work: made-up requests, the shipped policies, hostile ones, swaps
///
/// Plays requests of five teams in two companies through the shipped policies: prompts, answers, tool
/// calls, releases of models, and a week's numbers. Then come an agent that a mail misleads, a policy
/// that never ends, and changes of the policies while callers keep asking: a good one, a mistake, a
/// module that chokes compilers, half a file, and the way back. No network; the texts and people are made up. The summary at the
/// end is read back from the records.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir demo
  weir demo --requests 20000 --seed 7
  weir demo --audit demo-records        keep the records, one JSON line a decision

The same seed plays the same requests; how many are asked while policies change depends on how long
that takes. On a terminal they come at a pace that can be read, otherwise at full speed.
Exit codes: 0 done, 1 a swap did not hold what it should, 2 usage error, 4 the environment failed,
130 interrupted."
)]
pub(crate) struct Args {
    /// How many requests the first act plays; the others add theirs
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    requests: u64,
    /// Which requests to play
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keep the records in this folder; otherwise they are removed at the end
    #[arg(long, value_name = "DIR")]
    audit: Option<PathBuf>,
    /// Only the summary
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let folder = Folder::new(args.audit.as_deref())?;
    let executor = executor(None)?;
    executor.block_on(async {
        let interrupt = Interrupt::listen()?;
        let mut play = Play::new(args, interrupt.clone());
        play.opening(&folder)?;
        play.first_act(&folder).await?;
        if interrupt.exit().is_none() {
            play.agent_act(&folder).await?;
        }
        if interrupt.exit().is_none() {
            play.hostile_act(&folder).await?;
        }
        if interrupt.exit().is_none() {
            play.swap_act(&folder).await?;
        }
        play.closing(&folder)?;
        play.outcome()
    })
}

/// Where the files of the demo are.
struct Folder {
    /// Everything that is not kept; removed when it is dropped.
    workshop: TempDir,
    records: PathBuf,
    /// Whether the records stay.
    kept: bool,
}

impl Folder {
    fn new(audit: Option<&Path>) -> Result<Folder, Failed> {
        let made = tempfile::Builder::new().prefix("weir-demo-").tempdir();
        let context = |error| anyhow::Error::new(error).context("cannot make a temporary folder");
        let workshop = made.map_err(|error| Failed::environment(context(error)))?;
        let records = audit.map_or_else(|| workshop.path().join("records"), Path::to_owned);
        Ok(Folder { workshop, records, kept: audit.is_some() })
    }

    /// Hosts that compile a module once for all acts.
    fn builder(&self) -> Builder {
        Runtime::builder().store(self.workshop.path().join("machine-code"))
    }
}

/// The demo as it goes on.
struct Play {
    requests: u64,
    seed: u64,
    traffic: Shared,
    stage: Stage,
    interrupt: Interrupt,
    /// Decisions that were answered.
    answered: u64,
    /// Number of the first record; a folder may hold those of a former demo.
    first_record: Option<u64>,
    /// What came of the last act, once it has been played.
    evidence: Option<Evidence>,
}

impl Play {
    fn new(args: &Args, interrupt: Interrupt) -> Play {
        let Args { requests, seed, quiet, .. } = *args;
        let (traffic, stage) = (Shared::new(Traffic::new(seed)), Stage::new(quiet));
        Play { requests, seed, traffic, stage, interrupt, answered: 0, first_record: None, evidence: None }
    }

    fn opening(&mut self, folder: &Folder) -> io::Result<()> {
        let paint = self.stage.paint;
        self.stage.title("Five teams of two companies use AI, and every step asks Weir first")?;
        self.stage.line(&format!("requests  {}, seed {}", count(self.requests), self.seed))?;
        let names: Vec<&str> = weir_plugins::modules().iter().map(|module| module.name).collect();
        self.stage.line(&format!("policies  the shipped ones: {}", names.join(", ")))?;
        self.stage.line(&format!("records   {}", paint.faint(folder.records.display())))
    }

    /// The shipped set and the traffic of a day.
    async fn first_act(&mut self, folder: &Folder) -> Result<(), Failed> {
        let opening = set::open(folder.builder(), shipped(), &folder.records);
        let Some(runtime) = self.opened(opening).await? else { return Ok(()) };
        let mut scenes = Scenes::default();
        let (requests, total) = (self.stream(self.requests), self.requests);
        let started = Instant::now();
        let mut decisions = Box::pin(runtime.evaluate_all(requests));
        while let Some(decision) = decisions.next().await {
            self.count(&decision);
            self.stage.progress(self.answered, total);
            if let Some(scene) = scenes.first_of_its_kind(&decision) {
                let card = Card { decision: &decision, request: &asked(&decision), headline: scene };
                self.stage.show(&card)?;
            }
        }
        let (wall, answered) = (started.elapsed(), counted(self.answered, "request"));
        let pace = if self.stage.paced { ", at a pace to read along" } else { "" };
        self.stage.gap()?;
        self.stage.line(&format!("{answered} in {:.2} s{pace}.", wall.as_secs_f64()))?;
        // A host waits for whoever may still ask it something.
        drop(decisions);
        runtime.shutdown(Duration::from_secs(5)).await;
        Ok(())
    }

    /// Calls of an agent that reads what strangers write.
    async fn agent_act(&mut self, folder: &Folder) -> Result<(), Failed> {
        self.stage.title(agent::TITLE)?;
        self.stage.lines(agent::CAPTION)?;
        let opening = set::open(folder.builder(), agent::set(), &folder.records);
        let Some(runtime) = self.opened(opening).await? else { return Ok(()) };
        for scene in agent::scenes() {
            let decision = runtime.evaluate(scene.request()).await;
            self.count(&decision);
            self.stage.lines(scene.lines(&decision, self.stage.paint))?;
        }
        runtime.shutdown(Duration::from_secs(5)).await;
        Ok(())
    }

    /// The shipped set with policies that never answer.
    async fn hostile_act(&mut self, folder: &Folder) -> Result<(), Failed> {
        self.stage.title("Then somebody ships a policy that never ends")?;
        self.stage.lines(hostile::CAPTION)?;
        let opening = set::open(folder.builder(), hostile::set(), &folder.records);
        let Some(runtime) = self.opened(opening).await?.map(Arc::new) else { return Ok(()) };
        let seen = self.callers(&runtime, hostile::requests(self.requests)).await?;
        self.stage.gap()?;
        self.stage.lines(seen.lines(self.stage.paint))?;
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown(Duration::from_secs(5)).await;
        }
        Ok(())
    }

    /// Waits for a host to open; none where Ctrl-C came first. A terminal sends it to those who compile, too, so that
    /// they end with an error that is none.
    async fn opened<T>(&self, opening: impl Future<Output = Result<T, Failed>>) -> Result<Option<T>, Failed> {
        tokio::select! {
            biased;
            () = self.interrupt.clone().wait() => Ok(None),
            opened = opening => match opened {
                Err(_) if self.interrupt.exit().is_some() => Ok(None),
                opened => opened.map(Some),
            }
        }
    }

    /// Callers that wait for their answers: a deadline is for them, while a bulk run gives a late policy more time.
    async fn callers(&mut self, runtime: &Arc<Runtime>, number: u64) -> Result<hostile::Seen, Failed> {
        /// How many wait at once.
        const AT_ONCE: usize = 8;
        let ask = |request| {
            let runtime = Arc::clone(runtime);
            tokio::spawn(async move { runtime.evaluate(request).await })
        };
        let answers = self.stream(number).map(ask).buffered(AT_ONCE);
        let mut decisions = std::pin::pin!(answers.filter_map(async |answer| answer.ok()));
        let mut seen = hostile::Seen::default();
        while let Some(decision) = decisions.next().await {
            self.count(&decision);
            self.stage.progress(self.answered, self.requests + number);
            if let Some(headline) = seen.add(&decision) {
                let card = Card { decision: &decision, request: &asked(&decision), headline };
                self.stage.show(&card)?;
            }
        }
        Ok(seen)
    }

    /// The policies change while callers keep asking.
    async fn swap_act(&mut self, folder: &Folder) -> Result<(), Failed> {
        self.stage.title(swap::TITLE)?;
        let (traffic, interrupt) = (self.traffic.clone(), self.interrupt.clone());
        let opening = Swap::open(&self.stage, interrupt, folder, traffic);
        let Some(mut swap) = self.opened(opening).await? else { return Ok(()) };
        let played = swap.play().await;
        let Left { told, generations } = swap.close().await?;
        let answers = || told.callers.iter().flatten();
        self.answered += answers().count() as u64;
        self.first_record = self.first_record.into_iter().chain(answers().filter_map(|answer| answer.record)).min();
        match played {
            Err(Cut::Failed(failed)) => return Err(failed),
            Err(Cut::Interrupted) => return Ok(()),
            Ok(()) => {}
        }
        let evidence = Evidence::gather(&folder.records, &told, &generations)?;
        self.stage.gap()?;
        self.stage.lines(evidence.table(self.stage.paint))?;
        self.stage.gap()?;
        self.stage.lines(evidence.lines(self.stage.paint))?;
        self.evidence = Some(evidence);
        Ok(())
    }

    /// How the demo ends.
    fn outcome(&self) -> Result<Exit, Failed> {
        match &self.evidence {
            Some(evidence) if !evidence.holds() => {
                let failed = Failed::refused("decisions were lost, late or mixed while the policies changed");
                Err(failed.help("where some are late and nothing else is wrong, this machine is too busy for it"))
            }
            _ => Ok(self.interrupt.exit().unwrap_or(Exit::Done)),
        }
    }

    /// What the records say.
    fn closing(&mut self, folder: &Folder) -> Result<(), Failed> {
        let paint = self.stage.paint;
        let records = Records::read(&folder.records, self.first_record)?;
        self.stage.loud();
        self.stage.title("What the records say")?;
        self.stage.line(&format!(
            "{}: {}",
            counted(records.decisions, "decision"),
            effects_line(&records.tally, paint)
        ))?;
        let answered = count(self.answered);
        let proof = match records.decisions == self.answered {
            true => paint.green(format!("each of the {answered} decisions that were answered is recorded")),
            false => paint.red(format!("{answered} decisions were answered")),
        };
        self.stage.line(&proof)?;
        if let Some(evidence) = &self.evidence {
            self.stage.lines(evidence.summary(paint))?;
        }
        for table in [records.checkpoint_table(paint), policy_table(&records.tally.policies, paint)] {
            self.stage.gap()?;
            self.stage.lines(table)?;
        }
        self.stage.gap()?;
        let kept = match folder.kept {
            true => format!("The records are in `{}`.", folder.records.display()),
            false => "The records are removed now; `weir demo --audit DIR` keeps them.".to_owned(),
        };
        self.stage.line(&kept)?;
        if self.interrupt.exit().is_some() {
            self.stage.line(&paint.yellow("Interrupted: the rest was not played."))?;
        }
        Ok(())
    }

    fn count(&mut self, decision: &Decision) {
        self.answered += 1;
        let number = decision.record().and_then(records::number);
        self.first_record = self.first_record.into_iter().chain(number).min();
    }

    /// The next requests, until Ctrl-C; a few at a time where somebody reads along.
    fn stream(&self, number: u64) -> Pin<Box<dyn Stream<Item = Request>>> {
        /// How long the first act takes on a terminal.
        const READING: Duration = Duration::from_secs(6);
        const TICK: Duration = Duration::from_millis(20);
        let traffic = self.traffic.clone();
        let requests = std::iter::repeat_with(move || traffic.draw()).take(number as usize);
        let interrupted = self.interrupt.clone().wait();
        if !self.stage.paced {
            return Box::pin(stream::iter(requests).take_until(interrupted));
        }
        let at_once = (self.requests * TICK.as_millis() as u64).div_ceil(READING.as_millis() as u64) as usize;
        let groups =
            stream::unfold((requests, tokio::time::interval(TICK)), move |(mut requests, mut ticks)| async move {
                ticks.tick().await;
                let group: Vec<Request> = requests.by_ref().take(at_once).collect();
                (!group.is_empty()).then(|| (stream::iter(group), (requests, ticks)))
            });
        Box::pin(groups.flatten().take_until(interrupted))
    }
}

/// The request behind a decision, as JSON.
fn asked(decision: &Decision) -> serde_json::Value {
    serde_json::from_str(decision.request().json()).unwrap_or_default()
}

/// The set that ships with this binary.
fn shipped() -> Source {
    Source::memory(weir_plugins::SET, weir_plugins::modules().iter().map(|module| (module.name, module.wasm)))
}

#[cfg(test)]
mod tests {
    use weir::{Recorder, Runtime};

    use super::*;

    /// The first act without a terminal: every scene comes, and nothing the traffic says is refused.
    #[test]
    fn every_scene_is_played() {
        let runtime = Runtime::builder().recorder(Recorder::discard());
        let executor = executor(Some(2)).unwrap();
        let runtime = executor.block_on(runtime.open(shipped())).unwrap();
        let mut scenes = Scenes::default();
        for line in Traffic::new(1).take(1_500) {
            let decision = runtime.evaluate_blocking(Request::parse(line.as_bytes()).unwrap());
            let failures = decision.policies().iter().filter_map(|report| report.outcome.as_ref().err());
            assert!(failures.into_iter().all(|failure| failure.kind.is_host_condition()), "{line}");
            scenes.first_of_its_kind(&decision);
        }
        assert_eq!(scenes.missing(), Vec::<&str>::new());
    }
}
