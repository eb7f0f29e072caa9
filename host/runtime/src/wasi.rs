//! A stand-in for WASI preview 1, put into modules whose toolchains cannot do without: every import of it becomes a
//! function of the module's own, as far as those toolchains need one.
//!
//! ```text
//! clock    request.time, 1 us later at each reading; sleeping moves it on and returns at once
//! random   seeded by the request's id
//! stdout, stderr   lines for the log; the last of stderr says why a guest that then traps could not judge
//! arguments, environment, stdin   empty
//! files, sockets   refused while the set is loaded, by name
//! ```
//!
//! The functions live in the module and write its memory themselves, since the host writes nothing into a guest whose
//! pages may be protected; of the host they ask numbers, by imports of [`MODULE`]. A module with `_initialize` is started by it.

mod stubs;

use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, EntityType, FunctionSection, ImportSection, Module, SectionId, StartSection, TypeSection, ValType,
};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef};

use self::stubs::{Stub, stub};
use crate::replace::Functions;

/// The module name of what the stand-in asks of the host.
pub(crate) const MODULE: &str = "weir:wasi";
/// Goes up whenever the stand-in changes: stored machine code of before holds another one.
pub(crate) const VERSION: u32 = 1;
const PREVIEW_1: &str = "wasi_snapshot_preview1";
const INITIALIZE: &str = "_initialize";

/// What the stand-in asks of the host: name, parameters, results.
pub(crate) const HOST: [(&str, &[ValType], &[ValType]); 3] = [
    // Moves the clock on by so many nanoseconds, and by a microsecond at least; nanoseconds since 1970.
    ("clock", &[ValType::I64], &[ValType::I64]),
    ("random", &[], &[ValType::I64]),
    // File descriptor, address, length.
    ("write", &[ValType::I32; 3], &[]),
];

/// Whether an import, as `module.name`, is one of WASI preview 1.
pub(crate) fn is_of(import: &str) -> bool {
    import.strip_prefix(PREVIEW_1).is_some_and(|rest| rest.starts_with('.'))
}

type Error = reencode::Error<Infallible>;

/// The module with the stand-in in it; none where it asks for nothing of WASI, or for something that [`why_not`] refuses.
pub(crate) fn adapted(wasm: &[u8]) -> Option<Vec<u8>> {
    let plan = Plan::of(wasm).ok().filter(|plan| !plan.stubs.is_empty() && !plan.is_missing)?;
    let mut module = Module::new();
    Adapter(&plan).parse_core_module(&mut module, Parser::new(0), wasm).ok()?;
    Some(module.finish())
}

/// Why an import of WASI, as `module.name` and its type as text, cannot be had.
pub(crate) fn why_not(import: &str, of: &str) -> Option<String> {
    let name = import.strip_prefix(PREVIEW_1)?.strip_prefix('.')?;
    let Some(stub) = stub(name) else {
        return Some(format!("import `{PREVIEW_1}.{name}` is not to be had: a policy has no files and no sockets"));
    };
    let words = |types: &[ValType]| {
        types.iter().map(|ty| if *ty == ValType::I64 { "i64" } else { "i32" }).collect::<Vec<_>>()
    };
    let result = words(stub.results()).first().map_or_else(String::new, |result| format!(" -> {result}"));
    let wanted = format!("func ({}){result}", words(&stub.parameters).join(", "));
    (of != wanted).then(|| format!("import `{PREVIEW_1}.{name}` is {of}, expected {wanted}"))
}

/// What has to be changed in a module.
#[derive(Default)]
struct Plan {
    types: Vec<FuncType>,
    functions: Functions,
    /// What takes the place of imports.
    stubs: Vec<Stub>,
    /// The function it is started by, which it only exports.
    initialize: Option<u32>,
    started: bool,
    /// Whether it asks for something that is not to be had.
    is_missing: bool,
}

impl Plan {
    fn of(wasm: &[u8]) -> wasmparser::Result<Plan> {
        let functions = Functions { host: HOST.len() as u32, ..Functions::default() };
        let mut plan = Plan { functions, ..Plan::default() };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(types) => {
                    for ty in types.into_iter_err_on_gc_types() {
                        plan.types.push(ty?);
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        plan.import(&import?);
                    }
                }
                Payload::FunctionSection(functions) => plan.functions.own = functions.count(),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.name == INITIALIZE && export.kind == ExternalKind::Func {
                            plan.initialize = Some(export.index);
                        }
                    }
                }
                Payload::StartSection { .. } => plan.started = true,
                _ => {}
            }
        }
        Ok(plan)
    }

    fn import(&mut self, import: &wasmparser::Import<'_>) {
        let TypeRef::Func(ty) = import.ty else { return };
        if import.module != PREVIEW_1 {
            self.functions.replaced.push(false);
            return;
        }
        match (stub(import.name), self.types.get(ty as usize)) {
            (Some(stub), Some(ty)) if stub.is_of(ty) => {
                self.functions.replaced.push(true);
                self.stubs.push(stub);
            }
            _ => self.is_missing = true,
        }
    }

    /// Where the host's functions are: clock, random, write.
    fn host(&self) -> [u32; 3] {
        [0, 1, 2].map(|place| self.functions.kept() + place)
    }

    fn start(&self) -> Option<u32> {
        self.initialize.filter(|_| !self.started).map(|function| self.functions.place_of(function))
    }
}

/// Copies a module and changes what is planned.
struct Adapter<'a>(&'a Plan);

impl Reencode for Adapter<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(self.0.functions.place_of(function))
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_type_section(self, types, section)?;
        for (_, parameters, results) in HOST {
            types.ty().function(parameters.iter().copied(), results.iter().copied());
        }
        for stub in &self.0.stubs {
            types.ty().function(stub.parameters.iter().copied(), stub.results().iter().copied());
        }
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error> {
        for import in section.into_imports() {
            let import = import?;
            if import.module != PREVIEW_1 {
                imports.import(import.module, import.name, self.entity_type(import.ty)?);
            }
        }
        let first = self.0.types.len() as u32;
        for (place, (name, ..)) in HOST.iter().enumerate() {
            imports.import(MODULE, name, EntityType::Function(first + place as u32));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
        let first = (self.0.types.len() + HOST.len()) as u32;
        (0..self.0.stubs.len()).for_each(|place| _ = functions.function(first + place as u32));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_code_section(self, code, section)?;
        let host = self.0.host();
        self.0.stubs.iter().for_each(|stub| _ = code.function(&stub.function(host)));
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error> {
        // The place of a start section: behind exports, before what comes after it.
        let late = |id: Option<SectionId>| {
            matches!(id, Some(SectionId::Element | SectionId::DataCount | SectionId::Code | SectionId::Data))
        };
        if let Some(function_index) = self.0.start().filter(|_| !late(after) && late(before)) {
            module.section(&StartSection { function_index });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_module_without_wasi_stays_as_it_is() {
        assert_eq!(adapted(&wasm("(module (func))")), None);
        assert_eq!(adapted(b"no module"), None);
    }

    #[test]
    fn every_stub_makes_a_valid_module_and_functions_keep_their_meaning() {
        let imports: String = stubs::NAMES
            .iter()
            .map(|name| {
                let stub = stub(name).unwrap();
                let words = |types: &[ValType]| {
                    types.iter().map(|ty| if *ty == ValType::I64 { "i64 " } else { "i32 " }).collect::<String>()
                };
                let (parameters, results) = (words(&stub.parameters), words(stub.results()));
                format!("(import \"{PREVIEW_1}\" \"{name}\" (func (param {parameters}) (result {results})))\n")
            })
            .collect();
        let text = format!(
            r#"(module (import "weir" "log" (func $log (param i32 i32 i32))) {imports}
               (import "weir" "state_resets_in_ms" (func $last (result i64)))
               (memory (export "memory") 1) (table 2 funcref) (elem (i32.const 0) func $own $log)
               (func $own (export "own") (result i64) (call $log (i32.const 0) (i32.const 0) (i32.const 0)) (call $last))
               (func (export "_initialize") (drop (call $own))))"#
        );
        let adapted = adapted(&wasm(&text)).unwrap();
        wasmparser::Validator::new().validate_all(&adapted).unwrap();
        let (mut names, mut starts) = (Vec::new(), 0);
        for payload in Parser::new(0).parse_all(&adapted) {
            match payload.unwrap() {
                Payload::ImportSection(imports) => {
                    names = imports.into_imports().map(|import| import.unwrap().name.to_owned()).collect();
                }
                Payload::StartSection { func, .. } => {
                    starts += 1;
                    assert_eq!(
                        func,
                        2 + 3 + 1,
                        "two imports stay, three are the host's, and it is the second of its own"
                    );
                }
                _ => {}
            }
        }
        assert_eq!(
            (names, starts),
            (["log", "state_resets_in_ms", "clock", "random", "write"].map(str::to_owned).to_vec(), 1)
        );
    }

    #[test]
    fn what_it_cannot_have_is_named() {
        let text = format!(
            r#"(module (import "{PREVIEW_1}" "path_open" (func)) (import "{PREVIEW_1}" "sched_yield" (func (result i32))))"#
        );
        assert_eq!(adapted(&wasm(&text)), None);
        let why_not = |name: &str, of: &str| why_not(&format!("{PREVIEW_1}.{name}"), of).unwrap_or_default();
        assert!(why_not("path_open", "func ()").contains("no files and no sockets"));
        assert!(why_not("random_get", "func (i64)").ends_with("is func (i64), expected func (i32, i32) -> i32"));
        assert_eq!(why_not("random_get", "func (i32, i32) -> i32"), "");
        assert_eq!(why_not("proc_exit", "func (i32)"), "");
        assert_eq!(super::why_not("weir.log", "func ()"), None);
    }
}
