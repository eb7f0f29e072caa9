//! `weir bench`: what an evaluation of one policy costs here, and against another one.

mod measure;
mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use weir::{Request, Trial, TrialOptions};

use crate::ad_hoc::{AdHoc, Binding, failed};
use crate::exit::{Exit, Failed, printed};
use crate::inspect::read_policy;
use crate::lines::read_whole;
use crate::set;
use crate::terminal::{Paint, say};
use measure::Measured;

/// Measure what an evaluation of one policy costs
///
/// Calls it with each request in turn, in four ways: as a host does; in a fresh instance each time;
/// in one instance that is never put back, which is the floor; and without a snapshot, configured
/// each time. All ways take turns in short batches, so that a busy machine slows all of them alike:
/// trust the ratios.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir bench pii_secrets.wasm request.json
  weir bench mine.wasm requests.jsonl --config strict.json --json
  weir bench new.wasm requests.jsonl --against old.wasm

Requests are files with one request as JSON, or with one on each line; `-` is stdin.

Exit codes: 0 measured, 1 the module cannot be a policy or does not answer one of the requests,
2 usage or input error, 4 the environment failed."
)]
pub(crate) struct Args {
    /// A Wasm module
    module: PathBuf,
    /// Files of requests
    #[arg(required = true)]
    requests: Vec<PathBuf>,
    /// Configuration of the policy: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another module, measured on the same requests in the same run
    #[arg(long, value_name = "MODULE")]
    against: Option<PathBuf>,
    /// Configuration of the other module
    #[arg(long, value_name = "FILE", requires = "against")]
    against_config: Option<PathBuf>,
    /// Calls of each kind
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    calls: u32,
    #[command(flatten)]
    binding: Binding,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// A policy that is loaded to be measured.
struct Subject {
    name: String,
    /// The same policy three times: as a host runs it, fresh, and reused.
    trial: Trial,
    /// The same without a snapshot.
    plain: Trial,
    load_ms: f64,
    /// What it is given of each request.
    given: Vec<Vec<u8>>,
}

/// The places of the policies of [`Subject::trial`].
const ISOLATIONS: [&str; 3] = ["restore", "fresh", "reuse"];

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    if cfg!(debug_assertions) {
        say("weir: warning: this is a debug build, whose figures mean little");
    }
    let requests = read_requests(&args.requests)?;
    let mut subjects = vec![subject(&args.module, args.config.as_ref(), args, &requests)?];
    if let Some(against) = &args.against {
        subjects.push(subject(against, args.against_config.as_ref(), args, &requests)?);
    }
    let measured = subjects.iter().map(|subject| Measured::first(subject, &requests));
    let measured = measured.collect::<Result<Vec<_>, _>>()?;
    let measured = measure::measure(&subjects, measured, args.calls as usize);
    let mut stdout = io::stdout().lock();
    let paint = Paint::for_stream(&stdout);
    let written = if args.json {
        writeln!(stdout, "{}", show::json(&measured, requests.len(), args.calls))
    } else {
        show::lines(&measured, requests.len(), paint).iter().try_for_each(|line| writeln!(stdout, "{line}"))
    };
    printed(written, Exit::Done)
}

/// Loads a module the ways it is to be measured.
fn subject(module: &Path, config: Option<&PathBuf>, args: &Args, requests: &[Request]) -> Result<Subject, Failed> {
    let (wasm, inspection) = read_policy(module)?;
    let ad_hoc = AdHoc::new(module, config, &args.binding, &inspection)?;
    let open = |snapshots: bool, isolations: &[&'static str]| {
        let options = TrialOptions { compiler: set::telling_compiler(), snapshots, ..TrialOptions::default() };
        Trial::open(&ad_hoc.in_each(isolations, wasm.clone()), options).map_err(|error| failed(module, error))
    };
    let before = Instant::now();
    let trial = open(true, &ISOLATIONS)?;
    let load_ms = before.elapsed().as_secs_f64() * 1e3;
    let plain = open(false, &["fresh"])?;
    let given = requests.iter().map(|request| trial.given(0, request)).collect();
    Ok(Subject { name: ad_hoc.name, trial, plain, load_ms, given })
}

/// All requests of all files.
fn read_requests(files: &[PathBuf]) -> Result<Vec<Request>, Failed> {
    let mut requests = Vec::new();
    for file in files {
        let bytes = read_whole(file, u64::MAX)?;
        match Request::parse(&bytes) {
            Ok(request) => requests.push(request),
            Err(whole) => requests.extend(read_lines(file, &bytes, &whole.to_string())?),
        }
    }
    match requests.is_empty() {
        true => {
            let names: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
            Err(Failed::input(format!("there is no request in {}", names.join(", "))))
        }
        false => Ok(requests),
    }
}

/// A file with a request on each line; `whole` is what is wrong with it as one request.
fn read_lines(file: &Path, bytes: &[u8], whole: &str) -> Result<Vec<Request>, Failed> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let filled = lines.enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let parsed: Vec<_> = filled.map(|(number, line)| (number + 1, Request::parse(line))).collect();
    let alone = parsed.len() < 2 || parsed.iter().all(|(_, request)| request.is_err());
    let request = |(number, request): (usize, Result<Request, _>)| match request {
        Ok(request) => Ok(request),
        Err(_) if alone => Err(Failed::input(format!("{}: {whole}", file.display()))),
        Err(error) => Err(Failed::input(format!("{}:{number}: {error}", file.display()))),
    };
    parsed.into_iter().map(request).collect()
}
