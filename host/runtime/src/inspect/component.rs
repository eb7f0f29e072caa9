//! What a component is made of: its modules, and the interfaces it imports and exports.

mod state;

use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload};

use self::state::State;

use super::{Abi, Inspection, Item, MODULES, MOST_ITEMS, module};
use crate::manifest::SECTION;

/// Most functions of all modules together: CPython with its library has 17,000.
pub(super) const MOST_FUNCTIONS: u32 = 60_000;
/// Deepest nesting of components.
const DEEPEST: usize = 8;

/// What a component is made of, what keeps it from being compiled, and the bytes of its manifest.
pub(super) fn survey(wasm: &[u8]) -> wasmparser::Result<(Inspection, Option<&[u8]>)> {
    let mut survey = Survey { found: Inspection::of(Abi::Component), manifest: None, nested: Vec::new() };
    let mut state = State::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        state.see(&payload);
        survey.see(wasm, payload)?;
    }
    let Survey { mut found, manifest, .. } = survey;
    found.plain = state.unreadable(found.modules);
    let (modules, functions) = (found.modules, found.functions);
    for (what, count, most) in [("modules", modules, MODULES), ("functions", functions, MOST_FUNCTIONS)] {
        if count > most {
            found.problems.push(format!("the component has {count} {what}, the most is {most}"));
        }
    }
    Ok((found, manifest))
}

struct Survey<'a> {
    found: Inspection,
    manifest: Option<&'a [u8]>,
    /// What is being read inside of the component, outermost first.
    nested: Vec<Encoding>,
}

impl<'a> Survey<'a> {
    fn see(&mut self, wasm: &'a [u8], payload: Payload<'a>) -> wasmparser::Result<()> {
        let outermost = self.nested.is_empty();
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.nested.push(Encoding::Module);
                // A range beyond the end is found by the parser, which comes there next.
                self.module(wasm.get(unchecked_range).unwrap_or_default())?;
            }
            Payload::ComponentSection { .. } => {
                self.nested.push(Encoding::Component);
                if self.nested.len() > DEEPEST {
                    self.problem(format!("components are nested deeper than {DEEPEST}"));
                }
            }
            Payload::End(_) => _ = self.nested.pop(),
            Payload::ComponentStartSection { .. } => self.found.has_start = true,
            Payload::ComponentImportSection(imports) if outermost => {
                self.at_most("imports", imports.count());
                for import in imports.into_iter().take(MOST_ITEMS as usize) {
                    let import = import?;
                    let of = match import.ty {
                        ComponentTypeRef::Instance(_) => "interface",
                        ComponentTypeRef::Func(_) => "function",
                        ComponentTypeRef::Type(_) => "type",
                        ComponentTypeRef::Component(_) => "component",
                        ComponentTypeRef::Module(_) => "module",
                        ComponentTypeRef::Value(_) => "value",
                    };
                    self.found.imports.push(Item { name: import.name.name.to_owned(), of: of.to_owned() });
                }
            }
            Payload::ComponentExportSection(exports) if outermost => {
                self.at_most("exports", exports.count());
                for export in exports.into_iter().take(MOST_ITEMS as usize) {
                    let export = export?;
                    let of = match export.kind {
                        ComponentExternalKind::Instance => "interface",
                        ComponentExternalKind::Func => "function",
                        ComponentExternalKind::Type => "type",
                        ComponentExternalKind::Component => "component",
                        ComponentExternalKind::Module => "module",
                        ComponentExternalKind::Value => "value",
                    };
                    self.found.exports.push(Item { name: export.name.name.to_owned(), of: of.to_owned() });
                }
            }
            Payload::CustomSection(section)
                if outermost && section.name() == SECTION && self.manifest.replace(section.data()).is_some() =>
            {
                self.problem(format!("more than one section `{SECTION}`"));
            }
            _ => {}
        }
        Ok(())
    }

    fn module(&mut self, wasm: &[u8]) -> wasmparser::Result<()> {
        let (inner, _) = module(wasm)?;
        let found = &mut self.found;
        found.modules += 1;
        found.functions = found.functions.saturating_add(inner.functions);
        found.memory_bytes = found.memory_bytes.saturating_add(inner.memory_bytes);
        found.has_start |= inner.has_start;
        found.has_lines |= inner.has_lines;
        let number = found.modules;
        inner.problems.into_iter().for_each(|problem| self.problem(format!("module {number}: {problem}")));
        Ok(())
    }

    fn at_most(&mut self, what: &str, count: u32) {
        if count > MOST_ITEMS {
            self.problem(format!("the component has {count} {what}, the most is {MOST_ITEMS}"));
        }
    }

    /// A hostile component can break a bound everywhere: some examples are enough.
    fn problem(&mut self, problem: String) {
        const EXAMPLES: usize = 20;
        if self.found.problems.len() < EXAMPLES {
            self.found.problems.push(problem);
        }
    }
}
