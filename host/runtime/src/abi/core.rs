//! The core ABI: a request goes in as JSON bytes, a verdict comes out as JSON bytes, through the guest's own memory.
//!
//! Exports `memory`, `weir_abi_1`, `weir_alloc(len) -> ptr`, `weir_evaluate(ptr, len) -> ptr << 32 | len`, and optionally
//! `weir_configure(ptr, len) -> 0 or an error text`. What a guest says about its memory is believed once: lengths are
//! checked before anything is copied, an answer is copied once, and no address outlives the call it came from.

use wasmtime::{Instance, InstancePre, Memory, Module, ModuleExport, Store, TypedFunc, Val, WasmParams, WasmResults};

use crate::engine::Running;
use crate::hostcalls::{HOST_FUNCTIONS, HostSide, MODULE};
use crate::inspect::{Inspection, Item, function_text};
use crate::set::Grant;
use crate::text::quoted;
use crate::verdict::{Failure, FailureKind};
use crate::wasi;

const MEMORY: &str = "memory";
const VERSION: &str = "weir_abi_1";
const ALLOC: &str = "weir_alloc";
const EVALUATE: &str = "weir_evaluate";
const CONFIGURE: &str = "weir_configure";

/// Name of this ABI in manifests.
pub(crate) const NAME: &str = "core-1";

/// What a module lacks to be run under this ABI, all at once, each with a way out where there is one.
pub(crate) fn check(module: &Inspection, granted: impl Fn(Grant) -> bool) -> Vec<(String, Option<String>)> {
    let mut problems = Vec::new();
    let required = [
        (MEMORY, "memory".to_owned()),
        (VERSION, function_text::<&str>(&[], &[])),
        (ALLOC, function_text(&["i32"], &["i32"])),
        (EVALUATE, function_text(&["i32", "i32"], &["i64"])),
    ];
    for (name, wanted) in required {
        match module.exports.iter().find(|export| export.name == name) {
            Some(export) if export.of == wanted => {}
            Some(export) => problems.push((wrong_export(name, export, &wanted), None)),
            None => problems.push((format!("export `{name}` is missing, expected {wanted}"), None)),
        }
    }
    let wanted = function_text(&["i32", "i32"], &["i64"]);
    let optional = module.exports.iter().filter(|export| export.name == CONFIGURE && export.of != wanted);
    problems.extend(optional.map(|export| (wrong_export(CONFIGURE, export, &wanted), None)));
    problems.extend(import_problems(module, &granted));
    if let Some(abi) = module.manifest.as_ref().and_then(|manifest| manifest.abi.as_ref()).filter(|abi| *abi != NAME)
    {
        problems.push((format!("the manifest names the ABI {}, this version runs `{NAME}`", quoted(abi)), None));
    }
    problems
}

fn wrong_export(name: &str, export: &Item, wanted: &str) -> String {
    format!("export `{name}` is {}, expected {wanted}", export.of)
}

/// A module can have ten thousand wrong imports: some examples are enough.
fn import_problems(module: &Inspection, granted: &impl Fn(Grant) -> bool) -> Vec<(String, Option<String>)> {
    const EXAMPLES: usize = 20;
    let mut problems: Vec<_> = module.imports.iter().filter_map(|import| import_problem(import, granted)).collect();
    let more = problems.len().saturating_sub(EXAMPLES);
    if more > 0 {
        problems.truncate(EXAMPLES);
        problems.push((format!("and {more} more imports that a policy may not have"), None));
    }
    problems
}

fn import_problem(import: &Item, granted: &impl Fn(Grant) -> bool) -> Option<(String, Option<String>)> {
    let own = wasi::HOST.map(|(name, ..)| format!("{}.{name}", wasi::MODULE));
    if own.contains(&import.name) {
        // Put there by the host's own stand-in; one that is not of its type does not link.
        return None;
    }
    if wasi::is_of(&import.name) {
        return wasi::why_not(&import.name, &import.of).map(|why| (why, None));
    }
    let name = import.name.strip_prefix(MODULE).and_then(|name| name.strip_prefix('.'));
    let Some(function) = HOST_FUNCTIONS.iter().find(|function| Some(function.name) == name) else {
        let known = HOST_FUNCTIONS.map(|function| format!("`{MODULE}.{}`", function.name)).join(", ");
        return Some((
            format!("unknown import {} ({}), a policy may import {known}", quoted(&import.name), import.of),
            None,
        ));
    };
    let wanted = function_text(function.parameters, function.results);
    if import.of != wanted {
        return Some((format!("import `{}` is {}, expected {wanted}", import.name, import.of), None));
    }
    let grant = function.grant.as_str();
    let help = || Some(format!("if the policy may use it, add grants = [\"{grant}\"]"));
    (!granted(function.grant)).then(|| (format!("import `{}` is not granted", import.name), help()))
}

/// Where a module's exports are, resolved once.
#[derive(Clone)]
pub(crate) struct Exports {
    memory: ModuleExport,
    alloc: ModuleExport,
    evaluate: ModuleExport,
    configure: Option<ModuleExport>,
}

impl Exports {
    /// Resolves the exports of a module that has passed [`check`].
    pub(crate) fn of(module: &Module) -> Exports {
        let index = |name| module.get_export_index(name);
        let checked = |name| index(name).expect("the exports were checked before compiling");
        Exports {
            memory: checked(MEMORY),
            alloc: checked(ALLOC),
            evaluate: checked(EVALUATE),
            configure: index(CONFIGURE),
        }
    }
}

/// A live instance and the way to call it. Every call consumes nothing but may end the guest: after an error it must
/// not be called again.
pub(crate) struct Guest {
    pub(crate) store: Store<HostSide>,
    instance: Instance,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    evaluate: TypedFunc<(i32, i32), i64>,
}

/// Where the host may put a guest's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    pointer: i32,
    length: i32,
}

impl Input {
    /// The bytes it takes of the guest's memory.
    pub(crate) fn span(self) -> std::ops::Range<usize> {
        let start = self.pointer as u32 as usize;
        start..start + self.length as usize
    }
}

impl Guest {
    /// Instantiates the module, which runs its start function.
    pub(crate) async fn start(
        mut store: Store<HostSide>,
        running: Running,
        pre: &InstancePre<HostSide>,
        exports: &Exports,
    ) -> Result<Guest, (Store<HostSide>, wasmtime::Error)> {
        let instance = match running {
            Running::Inline => pre.instantiate(&mut store),
            Running::Fiber => pre.instantiate_async(&mut store).await,
        };
        let instance = match instance {
            Ok(instance) => instance,
            Err(error) => return Err((store, error)),
        };
        let memory = instance.get_module_export(&mut store, &exports.memory).and_then(|export| export.into_memory());
        let memory = memory.expect("the exports were checked before compiling");
        let alloc = function(&mut store, &instance, &exports.alloc);
        let evaluate = function(&mut store, &instance, &exports.evaluate);
        Ok(Guest { store, instance, memory, alloc, evaluate })
    }

    /// Hands the policy its configuration.
    pub(crate) async fn configure(
        &mut self,
        running: Running,
        exports: &Exports,
        config: &[u8],
    ) -> wasmtime::Result<()> {
        let Some(export) = &exports.configure else { return Ok(()) };
        let configure = function::<(i32, i32), i64>(&mut self.store, &self.instance, export);
        let length = input_length(config)?;
        let pointer = call(running, &mut self.store, &self.alloc, length).await?;
        self.write(Input { pointer, length }, config)?;
        let answer = call(running, &mut self.store, &configure, (pointer, length)).await?;
        if answer == 0 {
            return Ok(());
        }
        /// A reason is one sentence.
        const LONGEST_REASON: u64 = 4096;
        let text = self.take(answer, LONGEST_REASON)?;
        let why = format!("the configuration was refused: {}", String::from_utf8_lossy(&text));
        Err(wasmtime::Error::new(Failure::new(FailureKind::GuestError, why)))
    }

    /// Asks for a verdict on the calling stack; where `takes` does not let the input be written where the guest wants it, the
    /// answer is that place.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        request: &[u8],
        longest: u64,
        takes: impl Fn(Input) -> bool,
    ) -> wasmtime::Result<Result<Vec<u8>, Input>> {
        let length = input_length(request)?;
        let input = Input { pointer: self.alloc.call(&mut self.store, length)?, length };
        if !takes(input) {
            return Ok(Err(input));
        }
        self.write(input, request)?;
        let answer = self.evaluate.call(&mut self.store, (input.pointer, length))?;
        self.take(answer, longest).map(Ok)
    }

    /// As [`Guest::judge`], on a stack of its own. Kept apart from it: a future costs as much as a small guest.
    pub(crate) async fn judge_on_fiber(
        &mut self,
        request: &[u8],
        longest: u64,
        takes: impl Fn(Input) -> bool,
    ) -> wasmtime::Result<Result<Vec<u8>, Input>> {
        let length = input_length(request)?;
        let input = Input { pointer: self.alloc.call_async(&mut self.store, length).await?, length };
        if !takes(input) {
            return Ok(Err(input));
        }
        self.write(input, request)?;
        let answer = self.evaluate.call_async(&mut self.store, (input.pointer, length)).await?;
        self.take(answer, longest).map(Ok)
    }

    /// Bytes of linear memory the guest has grown to.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.data_size(&self.store) as u64
    }

    /// The guest's memory as it is now.
    pub(crate) fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// The guest's memory, to be changed where its pages can be written.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    /// The value of an exported global.
    pub(crate) fn global(&mut self, name: &str) -> Option<Val> {
        let global = self.instance.get_global(&mut self.store, name)?;
        Some(global.get(&mut self.store))
    }

    /// Copies an input to where the guest wants it.
    #[inline]
    fn write(&mut self, input: Input, bytes: &[u8]) -> wasmtime::Result<()> {
        let written = self.memory.write(&mut self.store, input.pointer as u32 as usize, bytes);
        written.map_err(|_| {
            let (size, Input { pointer, length }) = (self.memory.data_size(&self.store), input);
            bad_output(&format!(
                "`{ALLOC}({length})` answered {}, which does not fit into {size} bytes",
                pointer as u32
            ))
        })
    }

    /// Copies out what an answer of `pointer << 32 | length` names, checked against the memory as it is now.
    #[inline]
    fn take(&self, answer: i64, longest: u64) -> wasmtime::Result<Vec<u8>> {
        let memory = self.memory.data(&self.store);
        let span = answer_span(answer, memory.len() as u64, longest).map_err(|why| bad_output(&why))?;
        Ok(memory[span].to_vec())
    }
}

/// Calls a function, by reference: copies of one share a count with all threads.
async fn call<P, R>(
    running: Running,
    store: &mut Store<HostSide>,
    function: &TypedFunc<P, R>,
    parameters: P,
) -> wasmtime::Result<R>
where
    P: WasmParams + Sync,
    R: WasmResults + Sync,
{
    match running {
        Running::Inline => function.call(store, parameters),
        Running::Fiber => function.call_async(store, parameters).await,
    }
}

fn function<P: WasmParams, R: WasmResults>(
    store: &mut Store<HostSide>,
    instance: &Instance,
    export: &ModuleExport,
) -> TypedFunc<P, R> {
    let function = instance.get_module_export(&mut *store, export).and_then(|export| export.into_func());
    let typed = function.map(|function| function.typed(&*store));
    typed.and_then(Result::ok).expect("the exports' types were checked before compiling")
}

fn input_length(input: &[u8]) -> wasmtime::Result<i32> {
    i32::try_from(input.len()).map_err(|_| bad_output("the input is longer than 2 GiB"))
}

/// The bytes an answer names, or why it names none.
fn answer_span(answer: i64, memory_bytes: u64, longest: u64) -> Result<std::ops::Range<usize>, String> {
    let (pointer, length) = ((answer as u64) >> 32, answer as u64 & 0xffff_ffff);
    if length > longest {
        return Err(format!("an answer of {length} bytes, the limit is {longest} (limit `output`)"));
    }
    // Two 32-bit numbers cannot overflow a 64-bit sum.
    let end = pointer + length;
    if end > memory_bytes {
        return Err(format!("an answer at {pointer} to {end}, outside the memory of {memory_bytes} bytes"));
    }
    Ok(pointer as usize..end as usize)
}

fn bad_output(why: &str) -> wasmtime::Error {
    wasmtime::Error::new(Failure::new(FailureKind::BadOutput, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_span_is_inside_the_memory_and_the_limit_or_refused(answer in any::<i64>(), memory in 0u64..=1 << 32, longest in any::<u64>()) {
            if let Ok(span) = answer_span(answer, memory, longest) {
                prop_assert!(span.start <= span.end && span.end as u64 <= memory && span.len() as u64 <= longest);
                prop_assert_eq!(span.start as u64, (answer as u64) >> 32);
                prop_assert_eq!(span.len() as u64, answer as u64 & 0xffff_ffff);
            } else {
                let (pointer, length) = ((answer as u64) >> 32, answer as u64 & 0xffff_ffff);
                prop_assert!(length > longest || pointer + length > memory);
            }
        }
    }

    #[test]
    fn the_borders_of_a_span() {
        assert_eq!(answer_span(0, 0, 0), Ok(0..0));
        assert_eq!(answer_span(4 << 32 | 6, 10, 6), Ok(4..10));
        assert!(answer_span(4 << 32 | 7, 10, 7).is_err());
        assert!(answer_span(4 << 32 | 7, 100, 6).is_err());
        assert!(answer_span(-1, 1 << 32, u64::MAX).is_err());
    }
}
