//! `weir build`: the module of a policy's folder, by the toolchain of its language.

use std::path::PathBuf;
use std::time::Instant;

use crate::exit::{Exit, Failed, OrFail};
use crate::inspect::{self, read_policy};
use crate::language::Language;
use crate::terminal::{say, size};

/// Build a policy
///
/// Finds out the language of a folder, runs its toolchain, and leaves the module in build/policy.wasm, or what OPA makes
/// of Rego in build/bundle.tar.gz. A toolchain that is not there is named, with the command that installs it. A
/// manifest.json beside the policy is put into the module.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir build no-secrets
  cd no-secrets && weir build

Exit codes: 0 built, 1 the policy does not compile or its module is not fit to be one, 2 usage or input error,
4 a toolchain is missing, or the environment failed."
)]
pub(crate) struct Args {
    /// The policy's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Keep the lines of its source (DWARF), for a trap to name: Rust, C and Zig, in a much larger module
    #[arg(long)]
    debug: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let language = Language::of(&args.folder)?;
    let started = Instant::now();
    let module = language.build(&args.folder, args.debug)?;
    let (_, inspection) = read_policy(&module).inspect_err(|_| _ = std::fs::remove_file(&module))?;
    let bytes = std::fs::metadata(&module).or_environment("read", module.display())?.len();
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("weir: built `{}` from {}, {}, in {seconds:.1} s", module.display(), language.name(), size(bytes)));
    inspect::world(&inspection, Some(language)).iter().for_each(|world| say(&format!("  {world}")));
    Ok(Exit::Done)
}
