//! The command `weir`: one file per subcommand, and one exit code per way to end.
//!
//! `eval` and `demo` feed a [`Runtime`](weir::Runtime) and count what comes out in [`tally`], whose numbers [`summary`]
//! prints; `run`, `bench`, `check` and `inspect` answer about one module or one set; `new`, `build`, `test` and `pack` are for
//! authors, in each [`language`]. With `--follow` an `eval` is a host that
//! [`follow`]s its set, and so is a [`serve`] that answers over HTTP; `status`, `generations` and `rollback` ask it through its [`control`] socket. What a terminal shows
//! goes through [`terminal`] and [`table`]; how a process ends is in [`exit`].

mod ad_hoc;
mod bench;
mod build;
mod check;
mod completions;
mod control;
mod demo;
mod eval;
mod exit;
mod follow;
mod generations;
mod inspect;
mod interrupt;
mod key;
mod language;
mod lines;
mod lock;
mod new;
mod pack;
mod progress;
mod rollback;
mod run;
mod serve;
mod service_manager;
mod set;
mod state_folder;
mod status;
mod summary;
mod table;
mod tail;
mod tally;
mod task;
mod test;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Failed;

/// Runs AI governance policies as sandboxed Wasm modules.
///
/// A request says what an AI system is about to do: a prompt, an answer, a tool call, the release of
/// a model. The policies of a set judge it, each in a sandbox of its own. The answer is allow, review
/// or deny, and it is recorded before it is given.
#[derive(Debug, Parser)]
#[command(name = "weir", version, verbatim_doc_comment, arg_required_else_help = true, after_help = EXAMPLES)]
struct Weir {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  weir demo                                    see it at work, nothing to set up
  weir check policies/                         is this set of policies good?
  weir eval policies/ requests.jsonl           judge a file of requests
  weir run pii_secrets.wasm request.json       try one policy on one request
  weir inspect pii_secrets.wasm                what is in this module?
  weir bench pii_secrets.wasm request.json     what does an evaluation cost?
  weir new no-secrets --lang c                 a policy to start from, in one of nine languages
  weir test no-secrets                         build it, and try its cases
  weir lock policies/                          make a change of several files one change
  weir eval policies/ --follow                 judge stdin while the policies change
  weir serve policies/                         answer over HTTP while the policies change
  weir key new acme/claims                     a key for those who ask over HTTP
  weir tail                                    what is being decided?
  weir status policies/                        how is the host that follows them?
  weir generations policies/ --diff 2 3        what changed, and when?
  weir rollback policies/                      back to the policies before
  weir completions bash                        completions for your shell

Exit codes:
  0  allowed or done       2  usage or input error      4  the environment failed
  1  denied or refused     3  review                    130, 143  interrupted (Ctrl-C, SIGTERM)";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Eval(eval::Args),
    Run(run::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    New(new::Args),
    Build(build::Args),
    Test(test::Args),
    Pack(pack::Args),
    Lock(lock::Args),
    Serve(serve::Args),
    Key(key::Args),
    Tail(tail::Args),
    Status(status::Args),
    Generations(generations::Args),
    Rollback(rollback::Args),
    Completions(completions::Args),
    /// Compile a module for the host that asks on stdin
    #[command(hide = true, after_help = "For hosts: `weir compile-worker` reads limits and a module from stdin.")]
    CompileWorker,
}

fn main() -> ExitCode {
    let ended = match Weir::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Pack(args) => pack::run(&args),
        Command::Lock(args) => lock::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Key(args) => key::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Generations(args) => generations::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::CompileWorker => return weir::compile_worker(),
    };
    ended.unwrap_or_else(Failed::report).into()
}

/// The whole command line, for completions.
fn command() -> clap::Command {
    <Weir as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }

    #[test]
    fn every_subcommand_shows_an_example() {
        for command in super::command().get_subcommands() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("weir {}", command.get_name())), "{}: {after}", command.get_name());
        }
    }
}
