//! What a component is made of: its modules, and the interfaces it imports and exports.

mod state;
mod steps;

use wasmparser::{ComponentExternalKind, ComponentTypeRef, Parser, Payload};

use self::state::State;
pub(super) use self::steps::MOST_STEPS;
use self::steps::Steps;

use super::{Abi, Inspection, Item, MODULES, MOST_ITEMS, Trust};
use crate::manifest::SECTION;

/// Most functions of all modules together: CPython with its library has 17,000.
pub(super) const MOST_FUNCTIONS: u32 = 60_000;
/// Deepest nesting of components.
const DEEPEST: usize = 8;

/// What a component is made of, what keeps it from being compiled, and the bytes of its manifest.
pub(super) fn survey(wasm: &[u8], trust: Trust) -> wasmparser::Result<(Inspection, Option<&[u8]>)> {
    let found = Inspection::of(Abi::Component);
    let mut survey = Survey { found, trust, manifest: None, nested: 0, imports: 0, exports: 0 };
    let (mut state, mut steps) = (State::default(), Steps::default());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        state.see(&payload);
        steps.see(&payload)?;
        survey.see(wasm, payload)?;
    }
    let Survey { mut found, manifest, imports, exports, .. } = survey;
    found.plain = state.unreadable(found.modules);
    found.problems.extend(steps.problem());
    let counts = [
        ("modules", found.modules, MODULES),
        ("functions", found.functions, MOST_FUNCTIONS),
        ("imports", imports, MOST_ITEMS),
        ("exports", exports, MOST_ITEMS),
    ];
    for (what, count, most) in counts {
        if count > most {
            found.problems.push(format!("the component has {count} {what}, the most is {most}"));
        }
    }
    Ok((found, manifest))
}

struct Survey<'a> {
    found: Inspection,
    trust: Trust,
    manifest: Option<&'a [u8]>,
    /// How many modules and components in it are being read, one in another.
    nested: usize,
    /// Of the component as a whole, in as many sections as it likes.
    imports: u32,
    exports: u32,
}

impl<'a> Survey<'a> {
    fn see(&mut self, wasm: &'a [u8], payload: Payload<'a>) -> wasmparser::Result<()> {
        let outermost = self.nested == 0;
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.nested += 1;
                // A range beyond the end is found by the parser, which comes there next.
                self.module(wasm.get(unchecked_range).unwrap_or_default())?;
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                self.nested += 1;
                if unchecked_range.end > wasm.len() {
                    self.problem("a component in it is cut off".to_owned());
                }
                if self.nested > DEEPEST {
                    self.problem(format!("components are nested deeper than {DEEPEST}"));
                }
            }
            // The end of all comes last.
            Payload::End(_) => self.nested = self.nested.saturating_sub(1),
            Payload::ComponentStartSection { .. } => self.found.has_start = true,
            Payload::ComponentImportSection(imports) if outermost => {
                self.imports = self.imports.saturating_add(imports.count());
                for import in imports.into_iter().take(room(&self.found.imports)) {
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
                self.exports = self.exports.saturating_add(exports.count());
                for export in exports.into_iter().take(room(&self.found.exports)) {
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
        // Its imports and exports are nobody's business outside of the component.
        let mut inner = super::Survey::default();
        inner.walk(wasm, self.trust)?;
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

    /// A hostile component can break a bound everywhere: some examples are enough.
    fn problem(&mut self, problem: String) {
        const EXAMPLES: usize = 20;
        if self.found.problems.len() < EXAMPLES {
            self.found.problems.push(problem);
        }
    }
}

/// How many more of them are worth keeping.
fn room(items: &[Item]) -> usize {
    (MOST_ITEMS as usize).saturating_sub(items.len())
}
