//! `weir pack`: what a toolchain leaves undone: a module becomes a component, and gets its manifest.

use std::borrow::Cow;
use std::path::PathBuf;

use serde_json::{Map, Value};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::CustomSection;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::exit::{Exit, Failed, OrFail};
use crate::inspect::read_module;
use crate::terminal::say;

const MANIFEST: &str = "weir:manifest";

/// Finish a module: make a component of it, put a manifest in
///
/// A module that carries the types of a component's world, as wit-bindgen leaves them, becomes that component; what it
/// asks of WASI preview 1 is adapted to preview 2. The manifest says what the policy is called, where it makes sense to
/// bind it, which parts of a request it reads, which capabilities it wants, the JSON Schema of its configuration, and
/// samples. It is a custom section, `weir:manifest`, which Rust policies have by themselves.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir pack policy.wasm --manifest manifest.json
  weir pack core.wasm --out policy.wasm            a component of what wit-bindgen has left

Exit codes: 0 done, 2 usage or input error, 4 the environment failed."
)]
pub(crate) struct Args {
    /// A Wasm module or component
    module: PathBuf,
    /// The manifest: a file with a JSON object
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Where the packed module goes, instead of replacing MODULE
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let refused = |why: String| Failed::input(format!("cannot pack `{}`: {why}", args.module.display()));
    let mut wasm = read_module(&args.module)?;
    let becomes_component = is_for_component(&wasm);
    if becomes_component {
        wasm = component(&wasm).map_err(refused)?;
    }
    match &args.manifest {
        Some(manifest) => {
            let manifest = std::fs::read_to_string(manifest).or_input("read", manifest.display())?;
            wasm = with_manifest(&wasm, &manifest).map_err(refused)?;
        }
        None if becomes_component => {}
        None => {
            let why = "it carries no types of a component, and there is no --manifest: nothing to do";
            return Err(refused(why.to_owned()));
        }
    }
    let out = args.out.as_ref().unwrap_or(&args.module);
    std::fs::write(out, wasm).or_environment("write", out.display())?;
    say(&format!("weir: packed `{}`; `weir inspect` shows what is in it", out.display()));
    Ok(Exit::Done)
}

/// Whether a module carries the types of the component it is meant to become.
pub(crate) fn is_for_component(wasm: &[u8]) -> bool {
    custom_sections(wasm).any(|(name, _)| name.starts_with("component-type"))
}

/// The component that a module is meant to become. Its manifest stays with it.
pub(crate) fn component(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let whole = |error: anyhow::Error| format!("{error:#}");
    let encoder = ComponentEncoder::default().validate(true).module(wasm).map_err(whole)?;
    let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let mut encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter).map_err(whole)?;
    let mut component = encoder.encode().map_err(whole)?;
    if let Some((_, manifest)) = custom_sections(wasm).find(|(name, _)| *name == MANIFEST) {
        append(&mut component, manifest);
    }
    Ok(component)
}

/// The custom sections of a module, or of a component itself.
fn custom_sections(wasm: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut depth = 0_u32;
    Parser::new(0).parse_all(wasm).map_while(Result::ok).filter_map(move |payload| {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 => return Some((section.name(), section.data())),
            _ => {}
        }
        None
    })
}

fn append(wasm: &mut Vec<u8>, manifest: &[u8]) {
    use wasm_encoder::Section;
    CustomSection { name: Cow::Borrowed(MANIFEST), data: Cow::Borrowed(manifest) }.append_to(wasm);
}

/// A module with a manifest, which it must not have yet.
pub(crate) fn with_manifest(wasm: &[u8], manifest: &str) -> Result<Vec<u8>, String> {
    let manifest: Map<String, Value> =
        serde_json::from_str(manifest).map_err(|error| format!("the manifest is no JSON object: {error}"))?;
    let inspected = weir::inspect(wasm).map_err(|problems| problems.join("; "))?;
    if inspected.manifest.is_some() {
        return Err("it has a manifest already".to_owned());
    }
    let body = Value::Object(manifest).to_string();
    let mut packed = wasm.to_vec();
    append(&mut packed, body.as_bytes());
    match weir::inspect(&packed) {
        Ok(_) => Ok(packed),
        Err(problems) => Err(format!("the manifest is not valid: {}", problems.join("; "))),
    }
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
    }
}
