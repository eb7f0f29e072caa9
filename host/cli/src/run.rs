//! `weir run`: one module, one request, no set: what an author does all day.

mod show;

use std::io::{self, Write};
use std::path::PathBuf;

use weir::{Request, RequestError, Runtime};

use crate::ad_hoc::{self, AdHoc, Binding, failed, trap_with_lines};
use crate::exit::{Exit, Failed, printed};
use crate::inspect::read_policy;
use crate::lines::read_whole;
use crate::terminal::{Paint, say};
use show::Shown;

/// Try one policy on one request
///
/// Makes a set of the one module, which applies at every checkpoint, and shows what it answers: effect,
/// findings, edits, what it logged, what it used, and for a trap the functions on the way to it.
/// Nothing is kept but machine code, for the next time, in weir/code among the user's caches.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir run pii_secrets.wasm request.json
  weir run fairness_gate.wasm request.json --config strict.json
  echo '{\"checkpoint\":\"inference.input\",\"content\":[{\"text\":\"Call +49 30 23125 123\"}]}' \\
    | weir run pii_secrets.wasm -

The module is granted the capabilities it asks for, and stderr says which.

Exit codes: 0 allowed, 1 denied (a failure of the policy is a denial) or not fit to be a policy,
2 usage or input error, 3 review, 4 the environment failed."
)]
pub(crate) struct Args {
    /// A Wasm module
    module: PathBuf,
    /// A file with one request as JSON; `-` is stdin
    request: PathBuf,
    /// Configuration of the policy: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    binding: Binding,
    /// Print the decision as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    /// More than any limit allows, so that an error is about the request and not about memory.
    const MOST: u64 = 64 << 20;
    let (wasm, inspection) = read_policy(&args.module)?;
    let body = read_whole(&args.request, MOST)?;
    let request = Request::parse(&body).map_err(|error| no_request(args, &body, &error))?;
    let ad_hoc = AdHoc::new(&args.module, args.config.as_ref(), &args.binding, &inspection)?;
    ad_hoc.grants.iter().for_each(|grant| say(&format!("weir: granted `{grant}`, which the module asks for")));
    let opened = ad_hoc::open(Runtime::builder, ad_hoc.source(wasm.clone()))?;
    let runtime = opened.map_err(|error| failed(&args.module, error))?;
    let decision = runtime.evaluate_blocking(request.clone());
    let lines = trap_with_lines(&decision, &inspection, || ad_hoc.source(wasm), request);
    let record = runtime.recorder().lines().pop().unwrap_or_default();
    let shown = Shown::new(&decision, &body, &record, args.binding.fuel).with_trap(lines);
    let mut stdout = io::stdout().lock();
    let written = if args.json {
        let text = serde_json::to_string(&decision).expect("decisions always serialise");
        shown.log().iter().for_each(|line| say(line));
        writeln!(stdout, "{text}")
    } else {
        let paint = Paint::for_stream(&stdout);
        shown.lines(paint).iter().try_for_each(|line| writeln!(stdout, "{line}"))
    };
    printed(written, decision.effect().into())
}

fn no_request(args: &Args, body: &[u8], error: &RequestError) -> Failed {
    let failed = Failed::input(format!("{}: {error}", args.request.display()));
    let first_line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // Somebody else's habit: a file with a request on every line.
    if Request::parse(first_line).is_ok() {
        return failed.help("this command takes one request; `weir eval` takes a file with one on each line");
    }
    failed
}
