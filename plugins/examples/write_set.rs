//! Writes the shipped policy set, `weir.toml` and its modules, into a folder: a set to try and to copy from.
//!
//! `cargo run -p weir-plugins --example write_set -- FOLDER`

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: write_set FOLDER");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write to `{}`: {error}", folder.display());
            ExitCode::from(4)
        }
    }
}

fn write(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("weir.toml"), weir_plugins::SET)?;
    weir_plugins::modules().iter().try_for_each(|module| std::fs::write(folder.join(module.name), module.wasm))
}
