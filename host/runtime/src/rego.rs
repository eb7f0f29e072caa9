//! Turns a module of `opa build -t wasm` into one that is called as every other core module: same exports, own memory, and so
//! the same snapshots, pools and bounds.
//!
//! ```text
//! import env.memory       ->  a memory of its own, of the same size
//! import env.opa_builtinN ->  a function of its own: writes the arguments as texts, asks the host, which reads them there,
//!                             and stores the answer eight bytes at a time: the host writes nothing into protected pages
//! weir_configure          ->  parses the data document, and notes where the heap ends
//! weir_alloc              ->  opa_heap_ptr_set(that end), opa_malloc(length)
//! weir_evaluate           ->  opa_eval(0, entry point, data, input, length, opa_heap_ptr_get(), value), and measures the text
//! weir_rego_builtins, weir_rego_entrypoints  ->  what the module says of itself, as JSON
//! weir_rego_entry         ->  the number of the entry point, set before it is configured
//! ```
//!
//! The ABI of those modules: "WebAssembly" in OPA's documentation, versions 1.2 and later.

pub(crate) mod bundle;
mod asked;
mod functions;
mod listed;

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use weir_rego::Builtin;

pub(crate) use self::asked::{builtins, entry, why_not};
pub use self::listed::RegoModule;
pub(crate) use self::listed::listed;
use crate::replace::Functions;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection, GlobalType,
    ImportSection, MemorySection, MemoryType, Module, SectionId, TypeSection, ValType,
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// The module name of what such a module imports.
pub(crate) const MODULE: &str = "env";
/// The module name of what the functions that are put into it ask of the host.
pub(crate) const HOST_MODULE: &str = "weir:rego";
/// The export that tells what it asks of its host: an object of names and numbers.
pub(crate) const BUILTINS: &str = "weir_rego_builtins";
/// The export that tells what can be asked of it, alike.
pub(crate) const ENTRY_POINTS: &str = "weir_rego_entrypoints";
/// The global that says which entry point is asked.
pub(crate) const ENTRY: &str = "weir_rego_entry";
/// Goes up whenever the rewritten module changes: stored machine code of before is another one.
pub(crate) const VERSION: u32 = 2;
/// The export that tells such a module apart; it came with version 1.2 of its ABI.
const EVAL: &str = "opa_eval";
const MEMORY: &str = "memory";
/// What is called of such a module.
const CALLED: [&str; 11] = [
    EVAL,
    "opa_malloc",
    "opa_free",
    "opa_json_parse",
    "opa_json_dump",
    "opa_value_parse",
    "opa_value_dump",
    "opa_heap_ptr_get",
    "opa_heap_ptr_set",
    "builtins",
    "entrypoints",
];
/// Makes the heap forget what was freed before, where the module has it (version 1.3).
const STASH: &str = "opa_heap_blocks_stash";
/// What a module imports to call a function of its host's, without the number of arguments.
const CALLS: &str = "opa_builtin";
/// Most arguments of such a function.
pub(crate) const MOST_ARGUMENTS: usize = 4;
/// Types that are added.
const TYPES: [(&[ValType], &[ValType]); 6] = [
    (&[], &[]),
    (&[ValType::I32], &[ValType::I32]),
    (&[ValType::I32; 2], &[ValType::I64]),
    (&[], &[ValType::I64]),
    (&[ValType::I32; 1 + MOST_ARGUMENTS], &[ValType::I64]),
    (&[ValType::I32], &[ValType::I64]),
];
/// What is asked of the host, with the place of its type among those that are added: a function by its number and the addresses
/// of its arguments, which answers the length of its result, or -1 where it has none; and eight bytes of the result.
const HOST: [(&str, u32); 2] = [("call", 4), ("result", 5)];
/// Functions that are added, alike.
const ADDED: [(&str, u32); 6] = [
    ("weir_abi_1", 0),
    ("weir_alloc", 1),
    ("weir_configure", 2),
    ("weir_evaluate", 2),
    (BUILTINS, 3),
    (ENTRY_POINTS, 3),
];

type Error = reencode::Error<Infallible>;

/// What a host has to know of such a module to call it, beside its code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// The number of its entry point.
    pub(crate) entry: i32,
    /// The functions it asks of its host, by number.
    pub(crate) builtins: BTreeMap<i32, String>,
}

/// The same, looked up.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) entry: i32,
    pub(crate) builtins: BTreeMap<i32, &'static Builtin>,
}

impl Calls {
    /// The functions themselves; those that this host does not have are left out.
    pub(crate) fn known(&self) -> Known {
        let known = |(id, name): (&i32, &String)| Some((*id, weir_rego::find(name)?));
        Known { entry: self.entry, builtins: self.builtins.iter().filter_map(known).collect() }
    }
}

/// Whether a module with these exports is one of OPA's.
pub(crate) fn is_one<'a>(mut exports: impl Iterator<Item = &'a str>) -> bool {
    exports.any(|name| name == EVAL)
}

/// Whether an import, as `module.name` and its type as text, is one that such a module has once it is adapted.
pub(crate) fn is_import(import: &str, of: &str) -> bool {
    let of_type = match import.split_once('.') {
        Some((MODULE, "opa_abort" | "opa_println")) => "func (i32)",
        Some((HOST_MODULE, "call")) => "func (i32, i32, i32, i32, i32) -> i64",
        Some((HOST_MODULE, "result")) => "func (i32) -> i64",
        _ => return false,
    };
    of == of_type
}

/// The module of the core ABI.
///
/// # Errors
/// What it lacks to be one of OPA's.
pub(crate) fn adapted(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let plan = Plan::of(wasm)?;
    let mut module = Module::new();
    let adapted = Adapter(&plan).parse_core_module(&mut module, Parser::new(0), wasm);
    adapted.map_err(|error| format!("its module cannot be adapted: {error}"))?;
    Ok(module.finish())
}

#[derive(Default)]
struct Plan {
    types: u32,
    functions: Functions,
    /// How many arguments the functions of the host's take that imports call, of those that are replaced.
    arguments: Vec<usize>,
    globals: u32,
    memory: Option<MemoryType>,
    /// Whether it has a section of this number.
    has_globals: bool,
    exports_memory: bool,
    called: BTreeMap<&'static str, u32>,
}

impl Plan {
    fn of(wasm: &[u8]) -> Result<Plan, String> {
        let functions = Functions { host: HOST.len() as u32, ..Functions::default() };
        let mut plan = Plan { functions, ..Plan::default() };
        plan.read(wasm).map_err(|error| error.message().to_owned())?;
        let missing = CALLED.iter().find(|name| !plan.called.contains_key(*name));
        if let Some(name) = missing {
            return Err(format!(
                "a module of OPA's exports `{name}`, this one does not: it has to be of ABI 1.2 or later"
            ));
        }
        if plan.memory.is_none() || !plan.has_globals {
            return Err("a module of OPA's imports `env.memory` and has globals, this one does not".to_owned());
        }
        Ok(plan)
    }

    fn read(&mut self, wasm: &[u8]) -> wasmparser::Result<()> {
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(types) => self.types = types.count(),
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        self.import(&import?);
                    }
                }
                Payload::FunctionSection(functions) => self.functions.own = functions.count(),
                Payload::GlobalSection(globals) => (self.globals, self.has_globals) = (globals.count(), true),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        self.exports_memory |= export.name == MEMORY;
                        let called = CALLED.iter().chain([&STASH]).find(|name| **name == export.name);
                        if let Some(name) = called.filter(|_| export.kind == ExternalKind::Func) {
                            self.called.insert(name, export.index);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn import(&mut self, import: &wasmparser::Import<'_>) {
        match import.ty {
            TypeRef::Func(_) => {
                let arguments = arguments(import.module, import.name);
                self.functions.replaced.push(arguments.is_some());
                self.arguments.extend(arguments);
            }
            TypeRef::Memory(memory) if import.module == MODULE => {
                self.memory = Some(MemoryType {
                    minimum: memory.initial,
                    maximum: memory.maximum,
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                });
            }
            _ => {}
        }
    }

    /// Where a function of the host is.
    fn host(&self, place: u32) -> u32 {
        self.functions.kept() + place
    }

    /// The global that holds the data document; behind it where the heap ends, and the entry point.
    fn data(&self) -> u32 {
        self.globals
    }

    fn heap(&self) -> u32 {
        self.globals + 1
    }

    fn entry(&self) -> u32 {
        self.globals + 2
    }
}

/// How many arguments the function of the host's takes that an import calls.
fn arguments(module: &str, name: &str) -> Option<usize> {
    let count = name.strip_prefix(CALLS).filter(|_| module == MODULE)?.parse().ok();
    count.filter(|count| *count <= MOST_ARGUMENTS)
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
        for (parameters, results) in TYPES {
            types.ty().function(parameters.iter().copied(), results.iter().copied());
        }
        for count in 0..=MOST_ARGUMENTS {
            types.ty().function(vec![ValType::I32; 2 + count], [ValType::I32]);
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
            let stays = !matches!(import.ty, TypeRef::Memory(_)) && arguments(import.module, import.name).is_none();
            if stays {
                imports.import(import.module, import.name, self.entity_type(import.ty)?);
            }
        }
        for (name, ty) in HOST {
            imports.import(HOST_MODULE, name, EntityType::Function(self.0.types + ty));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
        let by_count = self.0.types + TYPES.len() as u32;
        self.0.arguments.iter().for_each(|count| _ = functions.function(by_count + *count as u32));
        ADDED.iter().for_each(|(_, ty)| _ = functions.function(self.0.types + ty));
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_global_section(self, globals, section)?;
        let number = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        (0..3).for_each(|_| _ = globals.global(number, &ConstExpr::i32_const(0)));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_export_section(self, exports, section)?;
        for (place, (name, _)) in ADDED.iter().enumerate() {
            exports.export(name, ExportKind::Func, self.0.functions.first_added() + place as u32);
        }
        exports.export(ENTRY, ExportKind::Global, self.0.entry());
        if !self.0.exports_memory {
            exports.export(MEMORY, ExportKind::Memory, 0);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_code_section(self, code, section)?;
        self.0.arguments.iter().for_each(|count| _ = code.function(&self.0.asking(*count)));
        ADDED.iter().for_each(|(name, _)| _ = code.function(&self.0.function(name)));
        Ok(())
    }

    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), Error> {
        // The place of a memory section: behind tables, before globals. Such modules have globals.
        let early = |id: Option<SectionId>| {
            matches!(
                id,
                None | Some(
                    SectionId::Custom | SectionId::Type | SectionId::Import | SectionId::Function | SectionId::Table
                )
            )
        };
        if early(after) && before == Some(SectionId::Global) {
            let mut memories = MemorySection::new();
            memories.memory(self.0.memory.expect("the plan has one"));
            module.section(&memories);
        }
        Ok(())
    }
}
