//! `weir pack`: puts a manifest into a module whose toolchain cannot.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::exit::{Exit, Failed, OrFail};
use crate::inspect::read_module;
use crate::terminal::say;

/// Put a manifest into a module
///
/// The manifest says what the policy is called, where it makes sense to bind it, which parts of a request it
/// reads, which capabilities it wants, the JSON Schema of its configuration, and samples. It is a custom
/// section, `weir:manifest`, which Rust policies have by themselves.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir pack policy.wasm --manifest manifest.json
  weir pack policy.wasm --manifest manifest.json --out packed.wasm

Exit codes: 0 done, 2 usage or input error, 4 the environment failed."
)]
pub(crate) struct Args {
    /// A Wasm module
    module: PathBuf,
    /// The manifest: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Where the packed module goes, instead of replacing MODULE
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let wasm = read_module(&args.module)?;
    let manifest = std::fs::read_to_string(&args.manifest).or_input("read", args.manifest.display())?;
    let packed = with_manifest(&wasm, &manifest)
        .map_err(|why| Failed::input(format!("cannot pack `{}`: {why}", args.module.display())))?;
    let out = args.out.as_ref().unwrap_or(&args.module);
    std::fs::write(out, packed).or_environment("write", out.display())?;
    say(&format!("weir: packed `{}`; `weir inspect` shows what is in it", out.display()));
    Ok(Exit::Done)
}

/// A module with a manifest, which it must not have yet.
pub(crate) fn with_manifest(wasm: &[u8], manifest: &str) -> Result<Vec<u8>, String> {
    const NAME: &[u8] = b"weir:manifest";
    let manifest: Map<String, Value> =
        serde_json::from_str(manifest).map_err(|error| format!("the manifest is no JSON object: {error}"))?;
    let inspected = weir::inspect(wasm).map_err(|problems| problems.join("; "))?;
    if inspected.manifest.is_some() {
        return Err("it has a manifest already".to_owned());
    }
    let body = Value::Object(manifest).to_string();
    let mut section = leb128(NAME.len());
    section.extend(NAME);
    section.extend(body.as_bytes());
    let mut packed = wasm.to_vec();
    // The number of custom sections.
    packed.push(0);
    packed.extend(leb128(section.len()));
    packed.extend(section);
    match weir::inspect(&packed) {
        Ok(_) => Ok(packed),
        Err(problems) => Err(format!("the manifest is not valid: {}", problems.join("; "))),
    }
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_gets_one_manifest() {
        let wasm = wat::parse_str("(module)").unwrap();
        let packed = with_manifest(&wasm, r#"{"name":"x","version":"1"}"#).unwrap();
        let manifest = weir::inspect(&packed).unwrap().manifest.unwrap();
        assert_eq!(manifest.name.as_deref(), Some("x"));
        assert!(with_manifest(&packed, "{}").unwrap_err().contains("already"));
        assert!(with_manifest(&wasm, "[]").unwrap_err().contains("no JSON object"));
        assert!(with_manifest(&wasm, r#"{"reads":7}"#).unwrap_err().contains("not valid"));
        assert_eq!((leb128(0x7f), leb128(0x80), leb128(16384)), (vec![0x7f], vec![0x80, 1], vec![0x80, 0x80, 1]));
    }
}
