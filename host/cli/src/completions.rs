//! `weir completions`: what a shell needs to complete the command line.

use std::io::Write;

use clap_complete::Shell;

use crate::exit::{Exit, Failed};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  weir completions bash > ~/.local/share/bash-completion/completions/weir
  weir completions zsh > ~/.zfunc/_weir
  weir completions fish > ~/.config/fish/completions/weir.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "weir", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}
