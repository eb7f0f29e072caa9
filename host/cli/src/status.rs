//! `weir status`: how is the host that follows a set?

use std::io::{self, Write};

use serde_json::Value;
use weir::WatchState;

use crate::control::client::Target;
use crate::control::message::{Command, Status};
use crate::exit::{Exit, Failed, printed};
use crate::terminal::{Paint, count, counted, fact, moment, plain};

/// Show what the host of a set is doing
///
/// Asks the `weir eval SET --follow` that is running: which policies are in force and since when, whether
/// it hears of changes, what is wrong with the files if they are refused, and what it has done so far.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir status policies/
  weir status policies/ --json | jq .generation.number
  weir status policies/ --json | jq .refused        null, or why the files are not in force

Exit codes: 0 the host answered, 2 there is no such folder, 4 no host follows the set."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let answer = args.target.ask(&Command::Status {})?;
    if args.target.json {
        return answer.print();
    }
    let status: Status = answer.read()?;
    let mut stdout = io::stdout().lock();
    let paint = Paint::for_stream(&stdout);
    printed(show(&mut stdout, paint, status), Exit::Done)
}

fn show(out: &mut impl Write, paint: Paint, status: Status) -> io::Result<()> {
    let generation = &status.generation;
    writeln!(out, "{}  {}", paint.bold(plain(&status.set)), plain(&status.folder))?;
    let host = format!("process {}, weir {}, started {}", status.pid, plain(&status.version), moment(status.started));
    fact(out, paint, "host", &host)?;
    let restores = generation.restores.map(|number| format!(", the policies of generation {number}"));
    let number = paint.bold(format!("generation {}", generation.number));
    let since = format!("{number} since {}{}", moment(generation.since), restores.unwrap_or_default());
    fact(out, paint, "in force", &since)?;
    fact(out, paint, "digest", &plain(&generation.digest))?;
    fact(out, paint, "policies", &count(generation.policies as u64))?;
    let loaded: Vec<String> = status.generations.iter().map(u64::to_string).collect();
    fact(out, paint, "loaded", &format!("generation {}", loaded.join(", ")))?;
    fact(out, paint, "watch", &watch(paint, &status))?;
    if !status.reused.is_empty() {
        let names = paint.yellow(plain(&status.reused.join(", ")));
        fact(out, paint, "reused", &format!("{names}: an evaluation finds what others left behind"))?;
    }
    done(out, paint, &status)?;
    let Some(refused) = status.refused else { return differs(out, paint, &status) };
    let stays = format!("generation {} stays in force", status.generation.number);
    writeln!(out, "\n{}, {stays}:", paint.red("the files as they are now are refused"))?;
    writeln!(out, "{refused}")
}

/// After a rollback the files stay as they are until somebody changes them.
fn differs(out: &mut impl Write, paint: Paint, status: &Status) -> io::Result<()> {
    if status.files.is_none_or(|files| files.to_string() == status.generation.digest) {
        return Ok(());
    }
    let differ = paint.yellow("the files are another set than the one in force");
    writeln!(out, "\n{differ}; they count again once one of them changes")
}

fn watch(paint: Paint, status: &Status) -> String {
    match &status.watch {
        None => "the folder is not followed".to_owned(),
        Some(WatchState::Watching) => "watching".to_owned(),
        Some(WatchState::Degraded(why)) => format!("{}: {}", paint.yellow("degraded"), plain(why)),
    }
}

/// What the host has done so far.
fn done(out: &mut impl Write, paint: Paint, status: &Status) -> io::Result<()> {
    let number = |pointer: &str| status.metrics.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let [allowed, reviews, denied] = ["/allowed", "/reviews", "/denied"].map(number);
    let effects = format!("{} allow, {} review, {} deny", count(allowed), count(reviews), count(denied));
    fact(out, paint, "decisions", &format!("{}: {effects}", count(allowed + reviews + denied)))?;
    fact(out, paint, "failures", &failures(&status.metrics))?;
    let unwritten = match number("/record_failures") {
        0 => String::new(),
        failed => format!(", {}", paint.red(format!("{} could not be written", count(failed)))),
    };
    let records = format!("{} in {}{unwritten}", count(number("/records/written")), plain(&status.audit));
    fact(out, paint, "records", &records)?;
    let [ready, cold, repeated, dropped] =
        ["/instances/ready", "/instances/cold", "/instances/repeated", "/instances/dropped"].map(number);
    let told = format!("{} cold, {} repeated, {} dropped", count(cold), count(repeated), count(dropped));
    fact(out, paint, "instances", &format!("{} ready; {told}", count(ready)))?;
    let compiled = counted(number("/sets/compilations"), "module");
    fact(out, paint, "compiled", &format!("{compiled}, {} found compiled", count(number("/sets/stored_code_used"))))?;
    let [published, back, refused] = ["/sets/published", "/sets/rolled_back", "/sets/refused"].map(number);
    let sets = format!("{} published, {} rolled back, {} refused", count(published), count(back), count(refused));
    fact(out, paint, "sets", &sets)?;
    match number("/sets/state_faults") + number("/sets/store_faults") {
        0 => Ok(()),
        faults => {
            let faults = counted(faults, "time");
            let told = paint.yellow(format!("{faults} something could not be kept, or was not ours"));
            fact(out, paint, "state folder", &told)
        }
    }
}

/// `3 fuel, 1 trap`.
fn failures(metrics: &Value) -> String {
    let kinds = metrics["failures"].as_object().into_iter().flatten();
    let kinds = kinds.map(|(kind, number)| format!("{} {}", count(number.as_u64().unwrap_or_default()), plain(kind)));
    let kinds: Vec<String> = kinds.collect();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
}
