//! `weir new`: a policy that builds and passes its test, to start from.

use std::fs;
use std::path::PathBuf;

use crate::exit::{Exit, Failed, OrFail};
use crate::language::Language;
use crate::terminal::say;

/// Make a policy to start from
///
/// Makes a folder with a policy that finds words of its configuration and masks them, its test cases, and the SDK it
/// needs. Rust's template takes serde from its registry; those of AssemblyScript, JavaScript and TypeScript their
/// toolchain.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir new no-secrets                  in Rust
  weir new no-secrets --lang zig
  weir test no-secrets                 builds it and tries its cases

Exit codes: 0 done, 2 usage error or the folder is there already, 4 the environment failed."
)]
pub(crate) struct Args {
    /// The folder to make; its last part names the policy
    folder: PathBuf,
    /// The language to write it in
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: Language,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let Args { folder, lang } = args;
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) || name.len() > 64 {
        let wrong =
            format!("`{name}` cannot name a policy: a letter, then letters, digits and `-`, all of them small");
        return Err(Failed::input(wrong));
    }
    if folder.exists() {
        return Err(Failed::input(format!("`{}` is there already", folder.display())));
    }
    for (path, text) in lang.template(name) {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).or_environment("make", parent.display())?;
        fs::write(&path, text).or_environment("write", path.display())?;
    }
    let shown = folder.display();
    say(&format!("weir: made `{shown}`, a policy in {}", lang.name()));
    if let Some(setup) = lang.setup() {
        say(&format!("  (cd {shown} && {setup})      brings its toolchain, unless that is installed already"));
    }
    say(&format!("  weir test {shown}      builds it and tries the cases in cases.toml"));
    say(&format!("  weir run {shown}/{} request.json", lang.module()));
    Ok(Exit::Done)
}
