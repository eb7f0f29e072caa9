//! The policies that ship with Weir, as the host finds them: built modules and the set that binds them.
//!
//! `build.rs` compiles the guest crates beside this one; [`SET`] is the `weir.toml` to start from, [`AGENT_SET`] the one for an
//! agent with tools, and both name nothing but [`modules`]. [`endless_loop`] ships apart from them: it is hostile on purpose.

/// One built policy.
#[derive(Clone, Copy)]
pub struct Module {
    /// Its file name, as [`SET`] names it, such as `pii_secrets.wasm`.
    pub name: &'static str,
    /// Its bytes: a core module with its manifest inside.
    pub wasm: &'static [u8],
}

impl std::fmt::Debug for Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Module({}, {} bytes)", self.name, self.wasm.len())
    }
}

macro_rules! built {
    ($name:literal) => {
        Module { name: $name, wasm: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

/// The policies that ship.
pub fn modules() -> &'static [Module] {
    static MODULES: [Module; 4] = [
        built!("pii_secrets.wasm"),
        built!("fairness_gate.wasm"),
        built!("token_budget.wasm"),
        built!("tool_guard.wasm"),
    ];
    &MODULES
}

/// The default policy set: the text of its `weir.toml`.
pub const SET: &str = include_str!("../default/weir.toml");

/// The set of an agent with mail, a calendar, payments and a shell: the text of its `weir.toml`.
pub const AGENT_SET: &str = include_str!("../agent/weir.toml");

/// A policy that never answers, for showing that it does no harm.
pub fn endless_loop() -> &'static [u8] {
    built!("endless_loop.wasm").wasm
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use toml::de::{DeTable, DeValue};
    use wasmparser::{ExternalKind, Parser, Payload, Validator};

    use super::*;

    /// What a module shows to the outside.
    #[derive(Default)]
    struct Outside<'w> {
        exports: BTreeMap<&'w str, ExternalKind>,
        imports: Vec<&'w str>,
        manifest: Option<&'w [u8]>,
    }

    fn outside(wasm: &[u8]) -> Outside<'_> {
        let mut outside = Outside::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::ExportSection(exports) => {
                    let exports = exports.into_iter().map(|export| export.unwrap());
                    outside.exports.extend(exports.map(|export| (export.name, export.kind)));
                }
                Payload::ImportSection(imports) => {
                    outside.imports.extend(imports.into_imports().map(|import| import.unwrap().module));
                }
                Payload::CustomSection(section) if section.name() == "weir:manifest" => {
                    outside.manifest = Some(section.data());
                }
                _ => {}
            }
        }
        outside
    }

    #[test]
    fn every_module_speaks_the_core_abi() {
        let hostile = Module { name: "endless_loop.wasm", wasm: endless_loop() };
        for module in modules().iter().chain([&hostile]) {
            assert!(module.wasm.starts_with(b"\0asm\x01\0\0\0"), "{module:?}");
            Validator::new().validate_all(module.wasm).unwrap_or_else(|error| panic!("{module:?}: {error}"));
            let Outside { exports, imports, .. } = outside(module.wasm);
            assert_eq!(exports.get("memory"), Some(&ExternalKind::Memory), "{module:?}");
            for function in ["weir_abi_1", "weir_alloc", "weir_evaluate"] {
                assert_eq!(exports.get(function), Some(&ExternalKind::Func), "{module:?} {function}");
            }
            assert!(imports.iter().all(|from| *from == "weir"), "{module:?} imports from {imports:?}");
        }
    }

    #[test]
    fn shipped_modules_carry_their_manifest() {
        for module in modules() {
            let manifest = outside(module.wasm).manifest.unwrap_or_else(|| panic!("{module:?} has no manifest"));
            let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
            let name = manifest["name"].as_str().unwrap();
            assert_eq!(module.name, name.replace('-', "_") + ".wasm");
        }
        assert!(outside(endless_loop()).manifest.is_none());
    }

    #[test]
    fn modules_do_not_know_where_they_were_built() {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        for module in modules() {
            let strings = String::from_utf8_lossy(module.wasm);
            assert!(!strings.contains(workspace), "{module:?}");
            // The registry's sources lie in cargo's home, wherever that is: `build.rs` calls it `cargo`.
            let registry = strings.match_indices("/registry/src/").map(|(at, _)| &strings[..at]);
            registry.for_each(|home| assert!(home.ends_with("cargo") && !home.ends_with("/.cargo"), "{module:?}"));
        }
    }

    #[test]
    fn the_sets_name_exactly_the_modules() {
        let mut used = Vec::new();
        for set in [SET, AGENT_SET] {
            let set = DeTable::parse(set).unwrap();
            let DeValue::Table(policies) = set.get_ref().get("policies").unwrap().get_ref() else { panic!() };
            let module = |policy: &DeValue<'_>| policy.get("module").unwrap().get_ref().as_str().unwrap().to_owned();
            used.extend(policies.values().map(|policy| module(policy.get_ref())));
        }
        used.sort();
        used.dedup();
        let mut embedded: Vec<&str> = modules().iter().map(|module| module.name).collect();
        embedded.sort();
        assert_eq!(used, embedded);
    }
}
