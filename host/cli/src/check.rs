//! `weir check`: is this set good, and what would it run?

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use weir::{OpenError, Plan, PlannedPolicy, Report, Source};

use crate::exit::{Exit, Failed, printed};
use crate::set;
use crate::table::Table;
use crate::terminal::{Paint, count, counted};

/// Check a policy set without running it for anybody
///
/// Reads the set, inspects and compiles its modules, checks every configuration, and lets each policy
/// judge the samples of its module. All errors are shown at once, each with file, line and column.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir check policies/
  weir check policies/ --json | jq .report

Exit codes: 0 the set is good, 1 it is refused, 2 there is no such folder, 4 the environment failed.
`--json` prints {\"plan\": …} for a good set and {\"report\": …} for a refused one."
)]
pub(crate) struct Args {
    /// Folder with `weir.toml` and the modules it names
    set: PathBuf,
    /// Print the plan or the report as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer<'a> {
    Plan(&'a Plan),
    Report(&'a Report),
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let checked = weir::check(&Source::dir(set::folder(&args.set)?), set::telling_compiler());
    let mut stdout = io::stdout().lock();
    match checked {
        Ok(plan) if args.json => printed(print(&mut stdout, &Answer::Plan(&plan)), Exit::Done),
        Err(OpenError::Set(report)) if args.json => {
            printed(print(&mut stdout, &Answer::Report(&report)), Exit::Denied)
        }
        Ok(plan) => {
            let paint = Paint::for_stream(&stdout);
            printed(show(&mut stdout, paint, &plan), Exit::Done)
        }
        Err(error) => Err(set::failed(error)),
    }
}

fn print(out: &mut impl Write, answer: &Answer<'_>) -> io::Result<()> {
    let text = serde_json::to_string(answer).expect("plans and reports always serialise");
    writeln!(out, "{text}")
}

fn show(out: &mut impl Write, paint: Paint, plan: &Plan) -> io::Result<()> {
    let policies = counted(plan.policies.len() as u64, "policy");
    writeln!(out, "{}: {}, {policies}", paint.bold(&plan.set), paint.green("good"))?;
    writeln!(out, "{}\n", paint.faint(plan.digest))?;
    let mut table = Table::new(&[
        "policy",
        "mode",
        "checkpoints",
        "module",
        ">samples",
        ">sample fuel",
        ">fuel limit",
        "isolation",
        "reads",
    ]);
    plan.policies.iter().for_each(|policy| table.row(row(policy)));
    table.painted(paint).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    if plan.cases > 0 {
        writeln!(out, "\n{} judged as they say", counted(plan.cases as u64, "test case"))?;
    }
    plan.warnings.iter().try_for_each(|warning| writeln!(out, "{} {warning}", paint.yellow("warning:")))
}

fn row(policy: &PlannedPolicy) -> [String; 9] {
    let reads = if policy.reads.is_empty() { "everything".to_owned() } else { policy.reads.join(" ") };
    let sample_fuel = if policy.samples == 0 { "-".to_owned() } else { format!("<= {}", count(policy.sample_fuel)) };
    [
        policy.name.clone(),
        policy.mode.to_owned(),
        policy.checkpoints.join(" "),
        policy.module.clone(),
        count(policy.samples as u64),
        sample_fuel,
        count(policy.limits.fuel),
        policy.isolation.to_string(),
        reads,
    ]
}
