//! `weir rollback`: back to policies that were in force before.

use std::io::{self, Write};

use crate::control::client::Target;
use crate::control::message::{Command, RolledBack};
use crate::exit::{Exit, Failed, printed};
use crate::terminal::say;

/// Bring former policies back into force
///
/// Takes effect at once, for every request that is judged from then on, under a new and higher number.
/// The files stay as they are, and once one of them changes, they count again.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir rollback policies/              to the policies that were in force before
  weir rollback policies/ 2            to those of generation 2
  weir generations policies/           which ones can be brought back

Exit codes: 0 done, 1 refused: not loaded any more, or in force already, 2 there is no such folder,
4 no host follows the set."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The generation to go back to; default: the one before the one in force
    #[arg(value_name = "N")]
    to: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let answer = args.target.ask(&Command::Rollback { to: args.to })?;
    if args.target.json {
        return answer.print();
    }
    let RolledBack { generation, restores, .. } = answer.read()?;
    let line = format!("generation {generation} is in force, the policies of generation {restores}");
    let written = writeln!(io::stdout().lock(), "{line}");
    let set = args.target.set().display();
    say(&format!("weir: the files in `{set}` are as they were; once one of them changes, they count again"));
    printed(written, Exit::Done)
}
