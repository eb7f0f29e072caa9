//! Turns a module of `opa build -t wasm` into one that is called as every other core module: same exports, own memory, and so
//! the same snapshots, pools and bounds.
//!
//! ```text
//! import env.memory   ->  a memory of its own, of the same size
//! weir_configure      ->  parses the data document, and notes where the heap ends
//! weir_alloc          ->  opa_heap_ptr_set(that end), opa_malloc(length)
//! weir_evaluate       ->  opa_eval(0, entry point, data, input, length, opa_heap_ptr_get(), JSON), and measures the text
//! weir_rego_builtins, weir_rego_entrypoints  ->  what the module says of itself, as JSON
//! ```
//!
//! The ABI of those modules: "WebAssembly" in OPA's documentation, versions 1.2 and later.

pub(crate) mod bundle;

use std::collections::BTreeMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, Instruction, MemArg, MemorySection, MemoryType, Module, SectionId, TypeSection,
    ValType,
};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// The module name of what such a module imports.
pub(crate) const MODULE: &str = "env";
/// The export that tells what it asks of its host: an object of names and numbers.
pub(crate) const BUILTINS: &str = "weir_rego_builtins";
/// The export that tells what can be asked of it, alike.
pub(crate) const ENTRY_POINTS: &str = "weir_rego_entrypoints";
/// Goes up whenever the rewritten module changes: stored machine code of before is another one.
pub(crate) const VERSION: u32 = 1;
/// The export that tells such a module apart; it came with version 1.2 of its ABI.
const EVAL: &str = "opa_eval";
const MEMORY: &str = "memory";
/// What is called of such a module: name, parameters, whether there is a result.
const CALLED: [&str; 8] = [
    EVAL,
    "opa_malloc",
    "opa_json_parse",
    "opa_json_dump",
    "opa_heap_ptr_get",
    "opa_heap_ptr_set",
    "builtins",
    "entrypoints",
];
/// Makes the heap forget what was freed before, where the module has it (version 1.3).
const STASH: &str = "opa_heap_blocks_stash";
/// Functions that are added, by the place of their type among those that are added.
const ADDED: [(&str, u32); 6] = [
    ("weir_abi_1", 0),
    ("weir_alloc", 1),
    ("weir_configure", 2),
    ("weir_evaluate", 2),
    (BUILTINS, 3),
    (ENTRY_POINTS, 3),
];

type Error = reencode::Error<Infallible>;

/// Whether a module with these exports is one of OPA's.
pub(crate) fn is_one<'a>(mut exports: impl Iterator<Item = &'a str>) -> bool {
    exports.any(|name| name == EVAL)
}

/// Whether an import, as `module.name` and its type as text, is one that such a module has.
pub(crate) fn is_import(import: &str, of: &str) -> bool {
    let Some(name) = import.strip_prefix(MODULE).and_then(|name| name.strip_prefix('.')) else { return false };
    match name {
        "opa_abort" | "opa_println" => of == "func (i32)",
        _ => name.strip_prefix("opa_builtin").and_then(|count| count.parse().ok()).is_some_and(|count: usize| {
            count <= 4 && of == format!("func ({}) -> i32", vec!["i32"; count + 2].join(", "))
        }),
    }
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
    functions: u32,
    globals: u32,
    memory: Option<MemoryType>,
    /// Whether it has a section of this number.
    has_globals: bool,
    exports_memory: bool,
    called: BTreeMap<&'static str, u32>,
}

impl Plan {
    fn of(wasm: &[u8]) -> Result<Plan, String> {
        let mut plan = Plan::default();
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
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(_) => self.functions += 1,
                            TypeRef::Memory(memory) if import.module == MODULE => {
                                let most = memory.maximum;
                                self.memory = Some(MemoryType {
                                    minimum: memory.initial,
                                    maximum: most,
                                    memory64: false,
                                    shared: false,
                                    page_size_log2: None,
                                });
                            }
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => self.functions += functions.count(),
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

    fn call(&self, name: &str) -> Instruction<'static> {
        Instruction::Call(self.called[name])
    }

    /// Where the data document is.
    fn data(&self) -> u32 {
        self.globals
    }

    /// Where the heap begins behind it.
    fn heap(&self) -> u32 {
        self.globals + 1
    }

    fn function(&self, name: &str) -> Function {
        match name {
            "weir_alloc" => self.alloc(),
            "weir_configure" => self.configure(),
            "weir_evaluate" => self.evaluate(),
            BUILTINS => self.told("builtins"),
            ENTRY_POINTS => self.told("entrypoints"),
            _ => of(&[], &[]),
        }
    }

    /// Room for an input: what the evaluation before has left is forgotten.
    fn alloc(&self) -> Function {
        of(
            &[],
            &[
                Instruction::GlobalGet(self.heap()),
                Instruction::If(BlockType::Empty),
                Instruction::GlobalGet(self.heap()),
                self.call("opa_heap_ptr_set"),
                Instruction::End,
                Instruction::LocalGet(0),
                self.call("opa_malloc"),
            ],
        )
    }

    fn configure(&self) -> Function {
        let mut body = vec![
            Instruction::LocalGet(0),
            Instruction::LocalGet(1),
            self.call("opa_json_parse"),
            Instruction::GlobalSet(self.data()),
        ];
        body.extend(self.called.get(STASH).map(|stash| Instruction::Call(*stash)));
        body.extend([self.call("opa_heap_ptr_get"), Instruction::GlobalSet(self.heap()), Instruction::I64Const(0)]);
        of(&[], &body)
    }

    fn evaluate(&self) -> Function {
        /// The only one.
        const ENTRY: i32 = 0;
        const JSON: i32 = 0;
        let mut body = vec![
            Instruction::I32Const(0),
            Instruction::I32Const(ENTRY),
            Instruction::GlobalGet(self.data()),
            Instruction::LocalGet(0),
            Instruction::LocalGet(1),
            self.call("opa_heap_ptr_get"),
            Instruction::I32Const(JSON),
            self.call(EVAL),
            Instruction::LocalSet(2),
        ];
        body.extend(text_at(2, 3));
        of(&[ValType::I32; 2], &body)
    }

    /// What a function tells, as JSON.
    fn told(&self, name: &str) -> Function {
        let mut body = vec![self.call(name), self.call("opa_json_dump"), Instruction::LocalSet(0)];
        body.extend(text_at(0, 1));
        of(&[ValType::I32; 2], &body)
    }
}

/// A function of these locals and instructions.
fn of(locals: &[ValType], body: &[Instruction<'_>]) -> Function {
    let mut function = Function::new_with_locals_types(locals.iter().copied());
    body.iter().for_each(|instruction| _ = function.instruction(instruction));
    function.instruction(&Instruction::End);
    function
}

/// The address in a local, and the length of the text there, which a zero ends: `address << 32 | length`.
fn text_at(address: u32, end: u32) -> Vec<Instruction<'static>> {
    let byte = MemArg { offset: 0, align: 0, memory_index: 0 };
    vec![
        Instruction::LocalGet(address),
        Instruction::LocalSet(end),
        Instruction::Block(BlockType::Empty),
        Instruction::Loop(BlockType::Empty),
        Instruction::LocalGet(end),
        Instruction::I32Load8U(byte),
        Instruction::I32Eqz,
        Instruction::BrIf(1),
        Instruction::LocalGet(end),
        Instruction::I32Const(1),
        Instruction::I32Add,
        Instruction::LocalSet(end),
        Instruction::Br(0),
        Instruction::End,
        Instruction::End,
        Instruction::LocalGet(address),
        Instruction::I64ExtendI32U,
        Instruction::I64Const(32),
        Instruction::I64Shl,
        Instruction::LocalGet(end),
        Instruction::LocalGet(address),
        Instruction::I32Sub,
        Instruction::I64ExtendI32U,
        Instruction::I64Or,
    ]
}

/// Copies a module and changes what is planned.
struct Adapter<'a>(&'a Plan);

impl Reencode for Adapter<'_> {
    type Error = Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        types.ty().function([ValType::I32; 2], [ValType::I64]);
        types.ty().function([], [ValType::I64]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error> {
        for import in section.into_imports() {
            let import = import?;
            if !matches!(import.ty, TypeRef::Memory(_)) {
                imports.import(import.module, import.name, self.entity_type(import.ty)?);
            }
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
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
        (0..2).for_each(|_| _ = globals.global(number, &ConstExpr::i32_const(0)));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_export_section(self, exports, section)?;
        for (place, (name, _)) in ADDED.iter().enumerate() {
            exports.export(name, ExportKind::Func, self.0.functions + place as u32);
        }
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
