//! Writes the shipped policy set, `weir.toml` and its modules, into a folder: a set to try and to copy from.
//!
//! `cargo run -p weir-plugins --example write_set -- FOLDER [agent]`: the default set, or that of an agent with tools.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (folder, set) = match &arguments[..] {
        [folder] => (PathBuf::from(folder), weir_plugins::SET),
        [folder, which] if which == "agent" => (PathBuf::from(folder), weir_plugins::AGENT_SET),
        _ => {
            eprintln!("usage: write_set FOLDER [agent]");
            return ExitCode::from(2);
        }
    };
    match write(&folder, set) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write to `{}`: {error}", folder.display());
            ExitCode::from(4)
        }
    }
}

fn write(folder: &std::path::Path, set: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("weir.toml"), set)?;
    weir_plugins::modules().iter().try_for_each(|module| std::fs::write(folder.join(module.name), module.wasm))
}
