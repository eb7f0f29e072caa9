//! `weir inspect`: what a module is made of and says about itself, without running any of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use weir::{Abi, Inspection, Item, Manifest, RegoModule};

use crate::exit::{Exit, Failed, OrFail, printed};
use crate::language::Language;
use crate::terminal::{Paint, count, counted, fact, plain, shortened, size, wrapped};

/// Show what is in a module, without running it
///
/// Its imports and exports, its manifest with the parameters it can be configured by, and whatever
/// keeps it from being a policy.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir inspect policies/pii_secrets.wasm
  weir inspect policies/pii_secrets.wasm --json | jq .manifest.config

Exit codes: 0 it can be a policy, 1 it cannot, 2 there is no such file.
`--json` prints the facts, or {\"problems\": […]} for a file that is no module this host would compile."
)]
pub(crate) struct Args {
    /// A Wasm module
    module: PathBuf,
    /// Print all facts as JSON, the whole schema and the samples included
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let wasm = read_module(&args.module)?;
    let inspected = weir::inspect(&wasm);
    let mut stdout = io::stdout().lock();
    let written = match &inspected {
        Ok(inspection) if args.json => write_json(&mut stdout, inspection),
        Ok(inspection) => show(&mut stdout, &args.module, inspection),
        Err(problems) if args.json => write_json(&mut stdout, &serde_json::json!({ "problems": problems })),
        Err(_) => Ok(()),
    };
    let problems = match &inspected {
        Ok(inspection) => &inspection.problems,
        Err(problems) => problems,
    };
    if problems.is_empty() {
        return printed(written, Exit::Done);
    }
    printed(written, Exit::Denied)?;
    if args.json { Ok(Exit::Denied) } else { Err(cannot_be_a_policy(&args.module, problems)) }
}

/// The error for a module with problems, one a line.
fn cannot_be_a_policy(module: &Path, problems: &[String]) -> Failed {
    let name = module.display();
    match problems {
        [problem] => Failed::refused(format!("`{name}` cannot be a policy: {problem}")),
        problems => {
            let list = problems.iter().map(|problem| format!("{name}: {problem}")).collect::<Vec<_>>().join("\n");
            let many = counted(problems.len() as u64, "problem");
            Failed::refused(format!("`{name}` cannot be a policy: {many}")).details(list)
        }
    }
}

/// Reads a module that can be a policy, and what is known of it.
pub(crate) fn read_policy(path: &Path) -> Result<(Vec<u8>, Inspection), Failed> {
    let wasm = read_module(path)?;
    let inspection = weir::inspect(&wasm).map_err(|problems| cannot_be_a_policy(path, &problems))?;
    match inspection.problems.is_empty() {
        true => Ok((wasm, inspection)),
        false => Err(cannot_be_a_policy(path, &inspection.problems)),
    }
}

/// Reads a module of a size that could be one.
pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>, Failed> {
    if path.is_dir() && !path.join("policy.wasm").exists() {
        return Err(Failed::input(format!("`{}` is a folder", path.display()))
            .help("name a module in it or a folder with a `policy.wasm`, or use `weir check` for a whole set"));
    }
    weir::read_module(path).or_input("read", path.display())
}

fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).expect("facts of a module always serialise");
    writeln!(out, "{text}")
}

fn show(out: &mut impl Write, path: &Path, inspection: &Inspection) -> io::Result<()> {
    let paint = Paint::for_stream(&io::stdout());
    let manifest = inspection.manifest.as_ref();
    let name = manifest.and_then(|manifest| manifest.name.clone());
    let version = manifest.and_then(|manifest| manifest.version.clone()).unwrap_or_default();
    let title = name.unwrap_or_else(|| path.display().to_string());
    writeln!(out, "{} {}", paint.bold(plain(&title)), plain(&version))?;
    if let Some(description) = manifest.and_then(|manifest| manifest.description.as_ref()) {
        paragraph(out, "", &plain(description))?;
    }
    writeln!(out)?;
    let functions = counted(inspection.functions.into(), "function");
    let (what, parts) = match inspection.abi {
        Abi::Core | Abi::Rego => ("module", functions),
        Abi::Component => ("component", format!("{} with {functions}", counted(inspection.modules.into(), "module"))),
    };
    fact(out, paint, what, &format!("{}, {parts}", size(inspection.bytes as u64)))?;
    fact(out, paint, "abi", &inspection.abi.to_string())?;
    fact(out, paint, "digest", &inspection.digest.to_string())?;
    fact(out, paint, "memory", &format!("starts with {}", size(inspection.memory_bytes)))?;
    if inspection.has_start {
        fact(out, paint, "start", "runs a function of its own when it is instantiated")?;
    }
    match &inspection.plain {
        Some(why) => {
            fact(out, paint, "snapshot", &format!("none, so it is configured for each evaluation: {}", plain(why)))?;
        }
        None => fact(out, paint, "snapshot", "made once it is configured")?,
    }
    fact(out, paint, "isolation", isolation(inspection))?;
    if let Some(world) = world(inspection, None) {
        fact(out, paint, "world", &world)?;
    }
    if inspection.has_lines {
        fact(out, paint, "lines", "a trap names lines of its source")?;
    }
    if let Some(RegoModule { entry_points, builtins }) = &inspection.rego {
        names(out, paint, "asked for", entry_points)?;
        names(out, paint, "asks for", builtins)?;
    }
    items(out, paint, "imports", &inspection.imports)?;
    items(out, paint, "exports", &inspection.exports)?;
    match manifest {
        Some(manifest) => show_manifest(out, paint, manifest),
        None => fact(out, paint, "manifest", "none: it is given whole requests, at the checkpoints the set says"),
    }
}

/// How evaluations will be kept apart, and why.
fn isolation(inspection: &Inspection) -> &'static str {
    fresh(inspection).unwrap_or("kept instances, put back after each call, where it writes little of its memory")
}

/// Why each evaluation has an instance of its own, whatever a set asks for; none where instances can be kept.
pub(crate) fn fresh(inspection: &Inspection) -> Option<&'static str> {
    match (inspection.abi, &inspection.plain) {
        (Abi::Component, _) => {
            Some("a fresh instance each time: a component does not show its memory, to be put back")
        }
        (Abi::Core | Abi::Rego, Some(_)) => {
            Some("a fresh instance each time: there is no snapshot to put one back to")
        }
        (Abi::Core | Abi::Rego, None) => None,
    }
}

/// What a policy does not have of clock and random numbers, where its language has them, since its manifest does not read them.
pub(crate) fn world(inspection: &Inspection, language: Option<Language>) -> Option<String> {
    const ASKED: [&str; 4] =
        ["wasi:clocks/", "wasi:random/", "wasi_snapshot_preview1.clock_", "wasi_snapshot_preview1.random_"];
    let asks = |import: &Item| ASKED.iter().any(|name| import.name.starts_with(name));
    if !language.is_some_and(Language::has_clock) && !inspection.imports.iter().any(asks) {
        return None;
    }
    let reads = inspection.manifest.as_ref()?.reads();
    let lacks = |pointer: &str| !reads.is_empty() && !reads.iter().any(|read| read == pointer || read.is_empty());
    let time = lacks("/time").then_some("its clock stands at 1970, since `reads` in its manifest lacks `/time`");
    let id = lacks("/id").then_some("its random numbers are the same for every request, since `reads` lacks `/id`");
    let parts: Vec<&str> = time.into_iter().chain(id).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn show_manifest(out: &mut impl Write, paint: Paint, manifest: &Manifest) -> io::Result<()> {
    let list = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { plain(&list.join(", ")) };
    let checkpoints = manifest.checkpoints.as_deref().unwrap_or_default();
    fact(out, paint, "meant for", &list(checkpoints, "every checkpoint"))?;
    fact(out, paint, "reads", &list(manifest.reads(), "the whole request"))?;
    fact(out, paint, "asks for", &list(&manifest.grants, "no capability"))?;
    fact(out, paint, "samples", &count(manifest.samples.len() as u64))?;
    match manifest.config.as_ref().and_then(|schema| schema.get("properties")).and_then(Value::as_object) {
        Some(properties) => {
            writeln!(out, "\n{}", paint.bold("configuration"))?;
            properties.iter().try_for_each(|(name, schema)| parameter(out, paint, name, schema))
        }
        None => fact(out, paint, "configuration", "none described"),
    }
}

/// Name, type and default of one parameter, and its description below.
fn parameter(out: &mut impl Write, paint: Paint, name: &str, schema: &Value) -> io::Result<()> {
    let mut line = format!("  {}  {}", paint.cyan(plain(name)), plain(&kind(schema)));
    if let Some(default) = schema.get("default") {
        line.push_str(&format!(", default {}", plain(&shortened(&default.to_string(), 60))));
    }
    writeln!(out, "{line}")?;
    match schema.get("description").and_then(Value::as_str) {
        Some(description) => paragraph(out, "      ", &plain(description)),
        None => Ok(()),
    }
}

/// `number from 0 to 1`, `one of "mask", "review"`, `array`.
fn kind(schema: &Value) -> String {
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().map(Value::to_string).collect();
        return format!("one of {}", shortened(&options.join(", "), 60));
    }
    let of = schema.get("type").and_then(Value::as_str).unwrap_or("value");
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!("{of} from {least} to {most}"),
        (Some(least), None) => format!("{of} from {least}"),
        (None, Some(most)) => format!("{of} up to {most}"),
        (None, None) => of.to_owned(),
    }
}

/// Entry points, or built-in functions of the host, of a module of OPA's.
fn names(out: &mut impl Write, paint: Paint, name: &str, names: &[String]) -> io::Result<()> {
    if names.is_empty() {
        return fact(out, paint, name, "nothing");
    }
    for (number, text) in names.iter().enumerate() {
        fact(out, paint, if number == 0 { name } else { "" }, &plain(text))?;
    }
    Ok(())
}

fn items(out: &mut impl Write, paint: Paint, name: &str, items: &[Item]) -> io::Result<()> {
    if items.is_empty() {
        return fact(out, paint, name, "nothing");
    }
    for (number, item) in items.iter().enumerate() {
        let text = format!("{}  {}", plain(&item.name), paint.faint(plain(&item.of)));
        fact(out, paint, if number == 0 { name } else { "" }, &text)?;
    }
    Ok(())
}

fn paragraph(out: &mut impl Write, indent: &str, text: &str) -> io::Result<()> {
    wrapped(text, 100 - indent.len()).iter().try_for_each(|line| writeln!(out, "{indent}{line}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_described_in_words() {
        assert_eq!(kind(&json!({"type": "number", "minimum": 0, "maximum": 1})), "number from 0 to 1");
        assert_eq!(kind(&json!({"enum": ["mask", "deny"]})), r#"one of "mask", "deny""#);
        assert_eq!(kind(&json!({})), "value");
    }
}
