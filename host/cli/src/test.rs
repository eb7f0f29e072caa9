//! `weir test`: the cases beside a policy, judged as a host judges them.

mod cases;
mod outcome;
mod report;
mod watch;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use weir::{Inspection, OpenError, Report, Request, Runtime, Source};

use crate::ad_hoc::{self, AdHoc, Binding, failed, trap_with_lines};
use crate::exit::{Exit, Failed, printed};
use crate::inspect::{self, read_policy};
use crate::language::Language;
use crate::terminal::Paint;
use cases::{Case, Cases, Coverage};
use outcome::Outcome;

/// Try a policy on its test cases
///
/// Builds the policy of a folder, or takes a module, and judges each request of cases.toml by it, in a sandbox as
/// everywhere:
///
///   config = { words = ["zebra"] }             # of all cases, unless one has its own
///   codes  = ["words.found"]                   # every code it can find: one that no case meets is a failure
///   input  = "/payload"                        # for Rego, as in a set, and so is `entrypoint`
///
///   [[case]]
///   name     = "a forbidden word is masked"
///   request  = { checkpoint = "inference.input", content = [{ text = "a zebra" }] }
///   effect   = "allow"                         # or "review", "deny"
///   findings = ["words.found"]                 # the codes, all of them; left out: not looked at
///   edits    = [{ at = "/content/0/text", start = 2, end = 7, replacement = "***" }]
///   failure  = "guest_error"                   # for a policy that is expected to fail
///   fuel     = 50_000                          # the most it may take
///
/// All cases share what the policy takes of budgets; a request with another `tenant` begins anew.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir test no-secrets
  weir test no-secrets --watch
  weir test --module policy.wasm --cases cases.toml --junit report.xml

Exit codes: 0 all cases pass, 1 one does not, or the policy does not compile, 2 usage or input error, 4 a toolchain is
missing, or the environment failed."
)]
pub(crate) struct Args {
    /// The policy's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// A module to try instead of building one
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The cases, instead of FOLDER/cases.toml
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Write a report that CI systems read, as JUnit's XML: a test for each case and for each of `codes`, or the error that
    /// kept the policy from being tried
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Build it with the lines of its source, for a trap to name (Rust, C and Zig)
    #[arg(long)]
    debug: bool,
    /// Try again whenever a file of the folder changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    binding: Binding,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    if !args.watch {
        return once(args);
    }
    loop {
        let before = watch::stamps(&args.folder);
        match once(args) {
            Ok(_) => {}
            Err(failed) => drop(failed.report()),
        }
        watch::change(&args.folder, &before);
    }
}

/// What was tried.
struct Tried {
    outcomes: Vec<Outcome>,
    coverage: Vec<Coverage>,
}

impl Tried {
    fn passes(&self) -> bool {
        self.coverage.iter().all(|coverage| coverage.met)
            && self.outcomes.iter().all(|outcome| outcome.wrong.is_empty())
    }
}

fn once(args: &Args) -> Result<Exit, Failed> {
    let tried = tried(args);
    let suite = args.module.as_ref().unwrap_or(&args.folder);
    let reported =
        args.junit.iter().try_for_each(|junit| report::junit(junit, suite, tried.as_ref().map(|(tried, _)| tried)));
    let (tried, notes) = tried?;
    reported?;
    let mut stdout = io::stdout().lock();
    let paint = Paint::for_stream(&stdout);
    let notes = notes.iter().map(|note| paint.faint(note).to_string());
    let mut lines = report::lines(&tried, paint).into_iter().chain(notes);
    let written = lines.try_for_each(|line| writeln!(stdout, "{line}"));
    printed(written, if tried.passes() { Exit::Done } else { Exit::Denied })
}

/// What became of the cases, and what else there is to know.
fn tried(args: &Args) -> Result<(Tried, Vec<String>), Failed> {
    let (module, language) = match &args.module {
        Some(module) => (module.clone(), None),
        None => {
            let language = Language::of(&args.folder)?;
            (language.build(&args.folder, args.debug)?, Some(language))
        }
    };
    let file = args.cases.clone().unwrap_or_else(|| args.folder.join("cases.toml"));
    let cases = Cases::read(&file)?;
    let (wasm, inspection) = read_policy(&module)?;
    let outcomes = judge(&module, wasm, &inspection, &cases, &cases.bound(&args.binding))?;
    let tried = Tried { coverage: cases.coverage(&outcomes), outcomes };
    // What surprises nobody is not told.
    let world = inspect::world(&inspection, language).filter(|_| !tried.passes());
    Ok((tried, inspect::fresh(&inspection).map(|why| format!("isolation: {why}")).into_iter().chain(world).collect()))
}

/// Judges every case, in the order of the file; each configuration is loaded once.
fn judge(
    module: &Path,
    wasm: Vec<u8>,
    inspection: &Inspection,
    cases: &Cases,
    binding: &Binding,
) -> Result<Vec<Outcome>, Failed> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, case) in cases.case.iter().enumerate() {
        let config = case.config.as_ref().unwrap_or(&cases.config);
        let text = serde_json::to_string(config).expect("JSON always serialises");
        groups.entry(text).or_default().push(place);
    }
    let mut outcomes: Vec<Option<Outcome>> = cases.case.iter().map(|_| None).collect();
    let mut host = None;
    for places in groups.into_values() {
        let group: Vec<&Case> = places.iter().map(|place| &cases.case[*place]).collect();
        let config = group[0].config.as_ref().unwrap_or(&cases.config);
        let ad_hoc = AdHoc::configured(module, config, binding, inspection)?;
        let loaded = match load(&mut host, ad_hoc.source(wasm.clone()))? {
            Ok(()) => Ok(()),
            // A case may expect that its configuration is refused.
            Err(report) if group.iter().any(|case| case.refused.is_some()) => Err(report.to_string()),
            Err(report) => return Err(failed(module, OpenError::Set(report))),
        };
        let judged = Judged { inspection, source: &|| ad_hoc.source(wasm.clone()) };
        for (place, case) in places.into_iter().zip(group) {
            let loaded = loaded.as_ref().map(|()| host.as_ref()).map_err(String::as_str);
            outcomes[place] = Some(judged.one(case, loaded));
        }
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Brings a set into force in a host that is opened for the first one: the module is compiled once.
fn load(host: &mut Option<Runtime>, source: Source) -> Result<Result<(), Report>, Failed> {
    if let Some(host) = host {
        return Ok(pollster::block_on(host.publish(source)).map(drop));
    }
    // A case is judged once: nothing is worth keeping.
    match ad_hoc::open(|| Runtime::builder().ready_instances(0), source)? {
        Ok(opened) => {
            *host = Some(opened);
            Ok(Ok(()))
        }
        Err(OpenError::Set(report)) => Ok(Err(report)),
        Err(error) => Err(Failed::environment(error)),
    }
}

/// What judges the cases.
struct Judged<'a> {
    inspection: &'a Inspection,
    source: &'a dyn Fn() -> Source,
}

impl Judged<'_> {
    fn one(&self, case: &Case, loaded: Result<Option<&Runtime>, &str>) -> Outcome {
        let host = match (loaded, &case.refused) {
            (Ok(host), None) => host.expect("what is in force has a host"),
            (Ok(_), Some(_)) => {
                return Outcome::failed(case, "the configuration was expected to be refused".to_owned());
            }
            (Err(why), Some(part)) if why.contains(part.as_str()) => return Outcome::passed(case),
            (Err(why), _) => return Outcome::failed(case, format!("the configuration was refused: {why}")),
        };
        let request = match Request::parse(case.request.to_string().as_bytes()) {
            Ok(request) => request,
            Err(error) => return Outcome::failed(case, format!("`request` is no request: {error}")),
        };
        let decision = host.evaluate_blocking(request.clone());
        let mut outcome = Outcome::of(case, &decision);
        if !outcome.wrong.is_empty() {
            let lines = trap_with_lines(&decision, self.inspection, self.source, request);
            outcome.wrong.extend(lines.map(|lines| format!("with its lines: {lines}")));
        }
        outcome
    }
}
