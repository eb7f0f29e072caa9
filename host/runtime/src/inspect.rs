//! What a module is made of, found without compiling or running it, and the bounds it has to keep before anybody does.
//!
//! Compiling is the hole in the sandbox: a few hundred kilobytes of Wasm can cost a compiler many seconds and hundreds of
//! megabytes. So counts come first, then validation, and only then the compiler. A component is its modules: each keeps the
//! bounds of a module, and all together keep some of their own.

mod component;

use std::fmt;
use std::hash::Hash;

use serde::Serialize;
use wasmparser::{
    Chunk, CompositeInnerType, ExternalKind, FuncType, FunctionBody, MemoryType, Parser, Payload, SubType, TypeRef,
    Validator, WasmFeatures,
};

use crate::digest::Digest;
use crate::manifest::{Manifest, SECTION};
use crate::rego::{self, RegoModule};

/// Proposals a guest may use: what today's compilers emit. Everything else is attack surface; `externref` is, too, since
/// the engine runs without a garbage collector.
const FEATURES: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .difference(WasmFeatures::GC_TYPES);

/// Largest file of a module, in bytes.
const LARGEST_MODULE: u64 = 8 << 20;
/// Largest file of a policy, in bytes: components bring the engine of their language along.
pub(crate) const LARGEST_POLICY: u64 = 32 << 20;
/// Largest snapshot of a configured module, in bytes: a memory of megabytes that is not zero makes a module of megabytes.
pub(crate) const LARGEST_SNAPSHOT: u64 = 64 << 20;
/// Most functions, defined and imported.
const MOST_FUNCTIONS: u32 = 20_000;
/// Largest body of one function, in bytes.
const LARGEST_BODY: usize = 512 << 10;
/// Most locals of one function: nested loops over many locals are what register allocation is slowest at.
const MOST_LOCALS: u64 = 2_000;
/// Most data segments: Go's linker begins another one at every few zeros.
const MOST_DATA: u32 = 100_000;
/// Most element segments, globals, imports or exports each.
const MOST_ITEMS: u32 = 10_000;

/// Instances of modules in an instance of a component, and modules in its file.
pub(crate) const MODULES: u32 = 128;

/// The section of DWARF that tells lines.
const LINES: &str = ".debug_line";

/// Names the rules of this file: a module that kept them once keeps them as long as the name is the same.
pub(crate) fn rules() -> impl Hash {
    let bounds = [
        LARGEST_MODULE,
        LARGEST_POLICY,
        MOST_FUNCTIONS.into(),
        component::MOST_FUNCTIONS.into(),
        component::MOST_STEPS,
        LARGEST_BODY as u64,
        MOST_LOCALS,
        MOST_DATA.into(),
        MOST_ITEMS.into(),
    ];
    (env!("CARGO_PKG_VERSION"), format!("{FEATURES:?}"), bounds, crate::wasi::VERSION, rego::VERSION)
}

/// Who vouches for a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Nobody,
    /// It passed here before, under the same rules: its facts are read, but not the bodies of its functions, and it is not
    /// validated again.
    Validated,
}

/// The name of an ABI, as manifests write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Abi {
    /// A core module: JSON in and out, through its own memory.
    #[serde(rename = "core-1")]
    Core,
    /// A component: typed requests and verdicts.
    #[serde(rename = "component-1")]
    Component,
    /// A module of `opa build -t wasm`: the request as `input`, a document as the verdict.
    #[serde(rename = "rego-1")]
    Rego,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Abi::Core => "core-1",
            Abi::Component => "component-1",
            Abi::Rego => "rego-1",
        })
    }
}

/// An import or export: its name and type, as text for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `module.name` for imports, `name` for exports.
    pub name: String,
    /// Such as `func (i32, i32) -> i64`, or `memory`.
    #[serde(rename = "type")]
    pub of: String,
}

/// The facts of one module, found without running it.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// What it is run as.
    pub abi: Abi,
    /// Digest of the file.
    pub digest: Digest,
    /// Its length.
    pub bytes: usize,
    /// Modules in it; 1 for what is one itself.
    pub modules: u32,
    /// Functions, those that a module imports included.
    pub functions: u32,
    /// Bytes of memory it starts with.
    pub memory_bytes: u64,
    /// Whether it runs something when it is instantiated.
    pub has_start: bool,
    /// Whether it tells the lines of its source (DWARF), so that a trap can name them.
    pub has_lines: bool,
    /// What it wants from the host.
    pub imports: Vec<Item>,
    /// What it offers.
    pub exports: Vec<Item>,
    /// Why it cannot be a policy; empty where it can. Capabilities are the set's to grant.
    pub problems: Vec<String>,
    /// Why there can be no snapshot of it once it is configured, so that it is configured for each evaluation; none where there
    /// can be one.
    pub plain: Option<String>,
    /// What a module of OPA's lists; none for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rego: Option<RegoModule>,
    /// Its own description; none where it has no section `weir:manifest`.
    pub manifest: Option<Manifest>,
}

/// Whether the bytes begin as those of a component do.
pub(crate) fn is_component(wasm: &[u8]) -> bool {
    wasm.starts_with(b"\0asm\x0d\0\x01\0")
}

/// Reads and checks a module or component, its ABI aside. All that can be said of it at once is said.
pub(crate) fn survey(wasm: &[u8], digest: Digest, trust: Trust) -> Result<Inspection, Vec<String>> {
    if !wasm.starts_with(b"\0asm") {
        return Err(vec!["not a Wasm module (it does not start with `\\0asm`)".to_owned()]);
    }
    let is_component = is_component(wasm);
    let (what, most) = if is_component { ("component", LARGEST_POLICY) } else { ("module", LARGEST_MODULE) };
    if wasm.len() as u64 > most {
        return Err(vec![format!("the {what} has {} bytes, the most is {most}", wasm.len())]);
    }
    let malformed = |error: wasmparser::BinaryReaderError| vec![format!("malformed {what}: {}", error.message())];
    let (found, manifest) = match is_component {
        true => component::survey(wasm, trust).map_err(malformed)?,
        false => module(wasm, trust).map_err(malformed)?,
    };
    if !found.problems.is_empty() {
        return Err(found.problems);
    }
    if trust == Trust::Nobody {
        validate(wasm).map_err(|error| vec![error])?;
    }
    let manifest = manifest.map(Manifest::parse).transpose().map_err(|error| vec![error])?;
    Ok(Inspection { digest, bytes: wasm.len(), manifest, ..found })
}

/// What a module is made of, what keeps it from being compiled, and the bytes of its manifest.
fn module(wasm: &[u8], trust: Trust) -> wasmparser::Result<(Inspection, Option<&[u8]>)> {
    let mut survey = Survey::default();
    survey.walk(wasm, trust)?;
    let imports = survey.imports.iter().map(|(name, ty)| Item { name: name.clone(), of: survey.imported(ty) });
    let exports = survey.exports.iter().map(|(name, kind, index)| survey.exported(name, *kind, *index));
    let is_rego = rego::is_one(survey.exports.iter().map(|(name, ..)| name.as_str()));
    let abi = if is_rego { Abi::Rego } else { Abi::Core };
    let found = Inspection {
        modules: 1,
        functions: survey.functions,
        memory_bytes: survey.memory_bytes,
        has_start: survey.has_start,
        has_lines: survey.has_lines,
        imports: imports.collect(),
        exports: exports.collect(),
        problems: survey.problems,
        ..Inspection::of(abi)
    };
    Ok((found, survey.manifest))
}

impl Inspection {
    /// Nothing is found yet.
    fn of(abi: Abi) -> Inspection {
        Inspection {
            abi,
            digest: Digest::of(b""),
            bytes: 0,
            modules: 0,
            functions: 0,
            memory_bytes: 0,
            has_start: false,
            has_lines: false,
            imports: Vec::new(),
            exports: Vec::new(),
            problems: Vec::new(),
            plain: None,
            rego: None,
            manifest: None,
        }
    }
}

/// Whether a module or component keeps the rules of Wasm and uses only what a guest may use.
fn validate(wasm: &[u8]) -> Result<(), String> {
    let features = if is_component(wasm) { FEATURES.union(WasmFeatures::COMPONENT_MODEL) } else { FEATURES };
    let mut validator = Validator::new_with_features(features);
    let what = if is_component(wasm) { "component" } else { "module" };
    validator.validate_all(wasm).map(|_| ()).map_err(|error| format!("invalid {what}: {}", error.message()))
}

/// What one walk over the sections collects.
#[derive(Default)]
struct Survey<'a> {
    /// The function types of the type section; none at the place of another kind of type.
    types: Vec<Option<FuncType>>,
    /// Functions, by the place of their type, imported ones first.
    types_of_functions: Vec<u32>,
    functions: u32,
    memory_bytes: u64,
    has_start: bool,
    has_lines: bool,
    imports: Vec<(String, TypeRef)>,
    exports: Vec<(String, ExternalKind, u32)>,
    manifest: Option<&'a [u8]>,
    problems: Vec<String>,
}

impl<'a> Survey<'a> {
    fn walk(&mut self, wasm: &'a [u8], trust: Trust) -> wasmparser::Result<()> {
        let mut bodies = 0;
        for payload in payloads(wasm, trust) {
            match payload? {
                Payload::TypeSection(types) => {
                    self.at_most("types", types.count(), MOST_FUNCTIONS);
                    for group in types.into_iter().take(MOST_FUNCTIONS as usize) {
                        let function = |ty: &SubType| match &ty.composite_type.inner {
                            CompositeInnerType::Func(function) => Some(function.clone()),
                            _ => None,
                        };
                        self.types.extend(group?.types().map(function));
                    }
                }
                Payload::ImportSection(imports) => {
                    self.at_most("imports", imports.count(), MOST_ITEMS);
                    for import in imports.into_imports().take(MOST_ITEMS as usize) {
                        let import = import?;
                        if let TypeRef::Func(ty) = import.ty {
                            self.functions += 1;
                            self.types_of_functions.push(ty);
                        }
                        self.imports.push((format!("{}.{}", import.module, import.name), import.ty));
                    }
                }
                Payload::FunctionSection(functions) => {
                    self.functions = self.functions.saturating_add(functions.count());
                    self.at_most("functions", self.functions, MOST_FUNCTIONS);
                    for ty in functions.into_iter().take(MOST_FUNCTIONS as usize) {
                        self.types_of_functions.push(ty?);
                    }
                }
                Payload::TableSection(tables) => self.at_most("tables", tables.count(), 4),
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        self.memory_bytes = self.memory_bytes.saturating_add(start_bytes(&memory?));
                    }
                }
                Payload::GlobalSection(globals) => self.at_most("globals", globals.count(), MOST_ITEMS),
                Payload::ExportSection(exports) => {
                    self.at_most("exports", exports.count(), MOST_ITEMS);
                    for export in exports.into_iter().take(MOST_ITEMS as usize) {
                        let export = export?;
                        self.exports.push((export.name.to_owned(), export.kind, export.index));
                    }
                }
                Payload::StartSection { .. } => self.has_start = true,
                Payload::ElementSection(elements) => self.at_most("element segments", elements.count(), MOST_ITEMS),
                Payload::DataSection(data) => self.at_most("data segments", data.count(), MOST_DATA),
                Payload::CodeSectionEntry(body) => {
                    self.body(bodies, &body)?;
                    bodies += 1;
                }
                Payload::CustomSection(section) if section.name() == SECTION => self.manifest(section.data()),
                Payload::CustomSection(section) if section.name() == LINES => self.has_lines = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn imported(&self, ty: &TypeRef) -> String {
        match ty {
            TypeRef::Func(ty) => self.function(Some(*ty)),
            TypeRef::Table(_) => "table".to_owned(),
            TypeRef::Memory(_) => "memory".to_owned(),
            TypeRef::Global(_) => "global".to_owned(),
            _ => "another kind".to_owned(),
        }
    }

    fn exported(&self, name: &str, kind: ExternalKind, index: u32) -> Item {
        let of = match kind {
            ExternalKind::Func => self.function(self.types_of_functions.get(index as usize).copied()),
            ExternalKind::Table => "table".to_owned(),
            ExternalKind::Memory => "memory".to_owned(),
            ExternalKind::Global => "global".to_owned(),
            _ => "another kind".to_owned(),
        };
        Item { name: name.to_owned(), of }
    }

    /// The function type at a place of the type section.
    fn function(&self, ty: Option<u32>) -> String {
        let function = ty.and_then(|ty| self.types.get(ty as usize)).and_then(Option::as_ref);
        function.map_or_else(|| "another kind".to_owned(), signature)
    }

    fn manifest(&mut self, data: &'a [u8]) {
        if self.manifest.replace(data).is_some() {
            self.problems.push(format!("more than one section `{SECTION}`"));
        }
    }

    fn body(&mut self, index: u32, body: &FunctionBody<'_>) -> wasmparser::Result<()> {
        let bytes = body.range().len();
        if bytes > LARGEST_BODY {
            self.problem(format!("function body {index} has {bytes} bytes, the most is {LARGEST_BODY}"));
        }
        let mut locals = 0u64;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        if locals > MOST_LOCALS {
            self.problem(format!("function body {index} has {locals} locals, the most is {MOST_LOCALS}"));
        }
        Ok(())
    }

    fn at_most(&mut self, what: &str, count: u32, most: u32) {
        if count > most {
            self.problem(format!("the module has {count} {what}, the most is {most}"));
        }
    }

    /// A hostile module can break a bound in every function: some examples are enough.
    fn problem(&mut self, problem: String) {
        const EXAMPLES: usize = 20;
        if self.problems.len() < EXAMPLES {
            self.problems.push(problem);
        }
    }
}

/// The parts of a module; not the bodies of its functions where they have been looked at before.
fn payloads(wasm: &[u8], trust: Trust) -> impl Iterator<Item = wasmparser::Result<Payload<'_>>> {
    let (mut parser, mut rest) = (Parser::new(0), Some(wasm));
    std::iter::from_fn(move || {
        let wasm = rest.take()?;
        let (consumed, payload) = match parser.parse(wasm, true) {
            Ok(Chunk::Parsed { consumed, payload }) => (consumed, payload),
            Ok(Chunk::NeedMoreData(_)) => return None,
            Err(error) => return Some(Err(error)),
        };
        let behind = &wasm[consumed..];
        match payload {
            Payload::End(_) => {}
            Payload::CodeSectionStart { size, .. } if trust == Trust::Validated => {
                parser.skip_section();
                rest = behind.get(size as usize..);
            }
            _ => rest = Some(behind),
        }
        Some(Ok(payload))
    })
}

fn start_bytes(memory: &MemoryType) -> u64 {
    let page = 1u64 << memory.page_size_log2.unwrap_or(16);
    memory.initial.saturating_mul(page)
}

fn signature(function: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>();
    function_text(&list(function.params()), &list(function.results()))
}

/// `func (i32, i32) -> i64`.
pub(crate) fn function_text<T: AsRef<str>>(parameters: &[T], results: &[T]) -> String {
    let joined = |types: &[T]| types.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match results {
        [] => format!("func ({})", joined(parameters)),
        [one] => format!("func ({}) -> {}", joined(parameters), one.as_ref()),
        more => format!("func ({}) -> ({})", joined(parameters), joined(more)),
    }
}
