//! Toolchains of other people's: found where they are, and run.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::exit::{Failed, OrFail};

/// A program of a toolchain.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// Programs with their first arguments, the best first; a path with `/` in it is one from the policy's folder.
    pub(super) ways: &'static [&'static [&'static str]],
    /// The argument that makes it say something and end well.
    pub(super) probe: &'static str,
    /// How it is installed.
    pub(super) install: &'static str,
}

impl Tool {
    /// The program, to be run in a policy's folder.
    pub(super) fn find(&self, folder: &Path) -> Result<Command, Failed> {
        let command = |way: &&[&str]| {
            let program = match way[0].contains('/') {
                true => std::path::absolute(folder.join(way[0])).unwrap_or_default(),
                false => way[0].into(),
            };
            let mut command = Command::new(program);
            command.args(&way[1..]).current_dir(folder).stdin(Stdio::null());
            command
        };
        let runs = |way: &&&[&str]| command(way).arg(self.probe).output().is_ok_and(|tried| tried.status.success());
        self.ways.iter().find(runs).map(command).ok_or_else(|| {
            let missing = anyhow::anyhow!("`{}` is not installed", self.name);
            Failed::environment(missing).help(format!("install it: {}", self.install))
        })
    }
}

/// Adds a target where the toolchain is rustup's; where it is not, cargo says what is missing.
pub(super) fn add_target(folder: &Path, target: &str) {
    let _ = Command::new("rustup").current_dir(folder).args(["target", "add", target]).output();
}

/// Runs a compiler, and shows what it says where the policy does not compile.
pub(super) fn compile(command: &mut Command) -> Result<Output, Failed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().or_environment("run", program)?;
    match output.status.success() {
        true => Ok(output),
        false => {
            let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
            Err(Failed::refused("the policy does not compile").details(String::from_utf8_lossy(said).trim_end()))
        }
    }
}
