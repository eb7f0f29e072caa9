//! From the SET of a command line to a runtime, with errors of the right class.

use std::path::{Path, PathBuf};

use weir::{Builder, Compiler, Compiling, OpenError, Recorder, Report, Runtime, Source};

use crate::exit::Failed;
use crate::state_folder;
use crate::terminal::{counted, say, size};

/// The folder of a set: the argument, or the folder around it where it names the `weir.toml` itself.
pub(crate) fn folder(set: &Path) -> Result<PathBuf, Failed> {
    let inside = set.file_name().is_some_and(|name| name == "weir.toml") && set.is_file();
    let folder = if inside { set.parent().unwrap_or(set) } else { set };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let help = "a set is a folder with a `weir.toml` and the modules it names";
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(folder.to_owned()),
        Ok(_) => Err(Failed::input(format!("`{}` is not a folder", set.display())).help(help)),
        Err(error) => Err(Failed::input(format!("cannot read the set `{}`: {error}", set.display())).help(help)),
    }
}

/// Modules are compiled by children of this very program, whatever has become of its file since it was started.
pub(crate) fn compiler() -> Compiler {
    Compiler::child(if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::args_os().next().unwrap_or_default()
    })
}

/// The same for a command that somebody waits for, who is told.
pub(crate) fn telling_compiler() -> Compiler {
    compiler().on_compile(told)
}

/// Says what takes seconds: compiling a component that brings the engine of its language along.
fn told(compiling: Compiling) {
    const LARGE: usize = 1 << 20;
    match compiling {
        Compiling::Begun { bytes } if bytes >= LARGE => {
            say(&format!("weir: compiling {} of Wasm, which takes a while …", size(bytes as u64)));
        }
        Compiling::Ended { bytes, took } if bytes >= LARGE => {
            say(&format!("weir: compiled in {:.1} s", took.as_secs_f64()));
        }
        _ => {}
    }
}

/// Opens a runtime that records into a folder.
pub(crate) async fn open(builder: Builder, source: Source, audit: &Path) -> Result<Runtime, Failed> {
    let recorder = Recorder::jsonl(audit)
        .map_err(|error| Failed::environment(error).help("`--audit DIR` chooses another folder for the records"))?;
    builder.compiler(telling_compiler()).recorder(recorder).open(source).await.map_err(failed)
}

/// A refused set is the caller's, everything else the machine's.
pub(crate) fn failed(error: OpenError) -> Failed {
    match error {
        OpenError::Set(report) if report.is_transient() => {
            Failed::environment(anyhow::anyhow!("the set could not be loaded now")).details(report).help("try again")
        }
        OpenError::Set(report) => refused(&report),
        error @ OpenError::Store(_) => Failed::environment(error).help(state_folder::ANOTHER),
        error => Failed::environment(error),
    }
}

/// Prints a report as the library does; what remains to say is how much there was.
pub(crate) fn refused(report: &Report) -> Failed {
    let errors = (report.set.len() + report.load.len()) as u64;
    Failed::refused(format!("the set is refused: {}", counted(errors, "error"))).details(report)
}
