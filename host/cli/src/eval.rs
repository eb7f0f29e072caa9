//! `weir eval`: requests in, decisions out, in their order, on all cores.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use weir::{Decision, Generation, Runtime, Source};

use crate::exit::{Exit, Failed, OrFail};
use crate::follow::{Following, Place};
use crate::interrupt::Interrupt;
use crate::lines::{Inputs, Progressed};
use crate::progress::Progress;
use crate::set;
use crate::state_folder::StateFolder;
use crate::summary::Summary;
use crate::tally::Tally;
use crate::terminal::{Paint, count, counted, say, say_at_the_end};

/// Judge requests by a policy set
///
/// Reads requests as JSON lines and writes decisions as JSON lines, in the order of the requests,
/// and a record of each. Everything else (progress, bad lines, a summary) goes to stderr.
///
/// With --follow the set may change meanwhile: once its files do, requests that come from then on are
/// judged by the new policies. A set with a mistake in it changes nothing, and stderr says what it is.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir eval policies/ requests.jsonl > decisions.jsonl
  tail -f requests.jsonl | weir eval policies/
  weir eval policies/ nightly/*.jsonl --gate --out decisions.jsonl --summary summary.json
  tail -f requests.jsonl | weir eval policies/ --follow     change policies/ while it runs

A request needs a checkpoint; `id`, `time` and the rest may be set:
  {\"checkpoint\":\"inference.input\",\"content\":[{\"role\":\"user\",\"origin\":\"user\",\"text\":\"Hello\"}]}

A line that is no request is named on stderr with its place; the others are judged, and the exit
code is 2. Empty lines are skipped. Ctrl-C stops reading, finishes what has begun, and prints the
summary; a second one ends at once.

A host that follows its set keeps compiled policies and a socket in SET/.weir, for its owner alone.
Through the socket it is asked: `weir status SET`, `weir generations SET`, `weir rollback SET`.

Exit codes:
  0  everything was judged
  1  with --gate: something is denied; or the set is refused
  2  a bad line, a missing file; with --gate also: no request at all
  3  with --gate: nothing is denied, something waits for review
  4  the environment failed, such as the folder of the records or, with --gate, a closed stdout;
     or another host follows the set already
  130, 143  interrupted (Ctrl-C, SIGTERM)"
)]
pub(crate) struct Args {
    /// Folder with `weir.toml` and the modules it names
    set: PathBuf,
    /// Files of requests, one JSON object a line; `-` or none is stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the records; made if it is missing, continued if it is there
    #[arg(long, value_name = "DIR", default_value = "audit")]
    audit: PathBuf,
    /// Where decisions go instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the summary as JSON, too
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Let the exit code say what was decided: 1 denied, 3 review
    #[arg(long)]
    gate: bool,
    /// Stop at the first bad line
    #[arg(long)]
    strict: bool,
    /// Threads that judge; default: one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// No progress bar, no summary, no word about changes of the set
    #[arg(short, long)]
    quiet: bool,
    /// Follow the set: bring what its files say into force whenever they change
    #[arg(long)]
    follow: bool,
    /// Folder for compiled policies and the socket, instead of SET/.weir; made if it is missing. Needed
    /// where the set's folder cannot be written, is a link, or is replaced as a whole
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    state: Option<PathBuf>,
    /// With --follow: how often to look at the files although nothing was heard of them
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "follow")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    rescan: u32,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let folder = set::folder(&args.set)?;
    let inputs = Inputs::new(&args.files)?;
    if args.files.is_empty() && io::stdin().is_terminal() {
        say("weir: reads requests from this terminal, one JSON object a line; Ctrl-D ends");
    }
    distinct(args)?;
    let state = StateFolder::of(&folder, args.state.as_deref());
    executor(args.threads)?.block_on(async {
        let interrupt = Interrupt::listen()?;
        // Before any file of a host that follows the set already is emptied.
        let place = if args.follow { Some(Place::take(&state, &folder, &args.audit).await?) } else { None };
        let (output, summary) =
            (Output::open(args.out.as_deref())?, args.summary.as_deref().map(create).transpose()?);
        // A compiler that is at work ends with this process.
        let opened = tokio::select! {
            opened = open(args, folder, &state) => opened?,
            () = interrupt.clone().wait() => return Ok(interrupt.exit().unwrap_or(Exit::Done)),
        };
        let runtime = Arc::new(opened);
        let progress = Progress::of_bytes(inputs.length, !args.quiet && !output.is_terminal);
        let say = (!args.quiet).then(|| progress.clone()).map(|progress| move |line: &str| progress.say(line));
        let following = place.map(|place| Following::start(place, &runtime, say));
        let judged = judge(args, &runtime, inputs, output, &progress, &interrupt).await;
        if let Some(following) = following {
            following.end().await;
        }
        let (generation, record_failures) = (runtime.generation(), runtime.metrics().record_failures);
        // Dropping it flushes the records, too, should a client of the socket still hold it.
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown(Duration::from_secs(5)).await;
        }
        let mut judged = judged?;
        judged.tally.name(generation.policies());
        judged.summarise(args, &generation, summary)?;
        Ok(judged.exit(args.gate, record_failures))
    })
}

/// Opens the set, with the machine code of a state folder that is wanted or there.
async fn open(args: &Args, folder: PathBuf, state: &StateFolder) -> Result<Runtime, Failed> {
    let mut builder = Runtime::builder().rescan(Duration::from_secs(args.rescan.into()));
    if args.state.is_some() {
        state.make()?;
    }
    if state.is_usable() {
        builder = builder.store(state.code());
    }
    if args.follow {
        builder = builder.state(state.in_force());
    }
    let runtime = set::open(builder, Source::dir(folder), &args.audit).await?;
    if let Some(report) = runtime.refused() {
        let stays = runtime.generation().id().number;
        say(&format!("{report}\nweir: the set is refused; generation {stays}, the last good one, is in force again"));
    }
    Ok(runtime)
}

/// Refuses to write over what is read, or twice to one file: opening it would empty it.
fn distinct(args: &Args) -> Result<(), Failed> {
    let same = |a: &Path, b: &Path| match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    let outputs: Vec<&Path> = [&args.out, &args.summary].into_iter().flatten().map(PathBuf::as_path).collect();
    let read = |output: &&Path| args.files.iter().any(|file| same(file, output));
    if let Some(output) = outputs.iter().copied().find(|output| read(output)) {
        return Err(Failed::input(format!("`{}` is read and written at once", output.display()))
            .help("name another file for --out or --summary"));
    }
    match outputs[..] {
        [out, summary] if same(out, summary) => {
            Err(Failed::input(format!("decisions and summary cannot both go to `{}`", out.display())))
        }
        _ => Ok(()),
    }
}

/// The threads that judge.
pub(crate) fn executor(threads: Option<u16>) -> Result<tokio::runtime::Runtime, Failed> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads.into());
    }
    builder
        .enable_all()
        .build()
        .map_err(|error| Failed::environment(anyhow::Error::new(error).context("cannot start threads")))
}

fn create(path: &Path) -> Result<(PathBuf, File), Failed> {
    Ok((path.to_owned(), File::create(path).or_environment("write", path.display())?))
}

/// What came of an input.
struct Judged {
    tally: Tally,
    progressed: Arc<Progressed>,
    /// Whoever reads the decisions wanted no more of them.
    closed: bool,
    /// The signal that ended it.
    interrupted: Option<Exit>,
    wall: Duration,
}

async fn judge(
    args: &Args,
    runtime: &Runtime,
    inputs: Inputs,
    mut output: Output,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Judged, Failed> {
    let started = Instant::now();
    let (progressed, requests) = inputs.read(args.strict, progress.clone());
    let requests = Box::pin(requests.take_until(interrupt.clone().wait()));
    let mut tally = Tally::of(runtime.generation().policies());
    let show = |tally: &Tally| {
        let judged = tally.effects.sum();
        let rate = (judged as f64 / started.elapsed().as_secs_f64()) as u64;
        let message = || format!("{} requests, {}/s", count(judged), count(rate));
        progress.update(progressed.bytes.load(Relaxed), message);
    };
    let written = write_all(runtime.evaluate_all(requests), &mut output.writer, &mut tally, show).await;
    progress.finish();
    let closed = matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
    if !closed {
        written.or_environment("write", &output.name)?;
    }
    Ok(Judged { tally, progressed, closed, interrupted: interrupt.exit(), wall: started.elapsed() })
}

/// Writes decisions as they come, a group at a time: a lone one goes out at once.
async fn write_all(
    decisions: impl Stream<Item = Decision>,
    output: &mut impl Write,
    tally: &mut Tally,
    show: impl Fn(&Tally),
) -> io::Result<()> {
    /// Decisions that are written before the output is flushed, when there are so many at once.
    const GROUP: usize = 256;
    let mut groups = std::pin::pin!(decisions.ready_chunks(GROUP));
    while let Some(group) = groups.next().await {
        for decision in group {
            tally.add(&decision);
            output.write_all(&decision.to_json())?;
            output.write_all(b"\n")?;
        }
        output.flush()?;
        show(tally);
    }
    Ok(())
}

impl Judged {
    fn bad_lines(&self) -> u64 {
        self.progressed.bad_lines.load(Relaxed)
    }

    /// Whether everything that could be judged was.
    fn complete(&self, strict: bool) -> bool {
        let stopped = strict && self.bad_lines() > 0;
        !stopped && !self.closed && self.interrupted.is_none() && !self.progressed.failed.load(Relaxed)
    }

    /// Writes the summary where it is wanted.
    fn summarise(&self, args: &Args, generation: &Generation, file: Option<(PathBuf, File)>) -> Result<(), Failed> {
        let summary = Summary {
            set: generation.name(),
            generation: generation.id(),
            audit: args.audit.display().to_string(),
            tally: &self.tally,
            bad_lines: self.bad_lines(),
            complete: self.complete(args.strict),
            wall: self.wall,
        };
        if let Some((path, mut file)) = file {
            file.write_all(summary.json().as_bytes()).or_environment("write", path.display())?;
        }
        if !args.quiet {
            say_at_the_end(&summary.lines(Paint::for_stream(&io::stderr())).join("\n"));
        }
        Ok(())
    }

    /// How to end; what the summary does not say about it is said here.
    fn exit(&self, gate: bool, record_failures: u64) -> Exit {
        if let Some(interrupted) = self.interrupted {
            say_at_the_end(
                "weir: interrupted: what had begun is finished and recorded, the rest of the input is not judged",
            );
            return interrupted;
        }
        if record_failures > 0 {
            let decisions = counted(record_failures, "decision");
            say_at_the_end(&format!(
                "weir: {decisions} could not be recorded: look at the disk and the folder of the records"
            ));
            return Exit::Environment;
        }
        if self.bad_lines() > 0 || self.progressed.failed.load(Relaxed) {
            return Exit::Input;
        }
        if gate { self.gate() } else { Exit::Done }
    }

    /// The gate opens only for an input that was judged as a whole.
    fn gate(&self) -> Exit {
        let effects = self.tally.effects;
        if self.closed {
            say_at_the_end("weir: stdout was closed before everything was judged: the gate stays shut");
            return Exit::Environment;
        }
        match (effects.sum(), effects.deny, effects.review) {
            (0, _, _) => {
                say_at_the_end("weir: there was no request: the gate stays shut");
                Exit::Input
            }
            (_, 0, 0) => Exit::Done,
            (_, 0, _) => Exit::Review,
            _ => Exit::Denied,
        }
    }
}

/// Where decisions go.
struct Output {
    writer: BufWriter<Box<dyn Write>>,
    /// For errors.
    name: String,
    is_terminal: bool,
}

impl Output {
    /// A file, or stdout.
    fn open(file: Option<&Path>) -> Result<Output, Failed> {
        let (writer, name, is_terminal): (Box<dyn Write>, _, _) = match file {
            Some(path) => {
                let (path, file) = create(path)?;
                (Box::new(file), path.display().to_string(), false)
            }
            None => (Box::new(io::stdout()), "stdout".to_owned(), io::stdout().is_terminal()),
        };
        Ok(Output { writer: BufWriter::with_capacity(1 << 16, writer), name, is_terminal })
    }
}
