//! The core ABI: a request goes in as JSON bytes, a verdict comes out as JSON bytes, through the guest's own memory.
//!
//! Exports `memory`, `weir_abi_1`, `weir_alloc(len) -> ptr`, `weir_evaluate(ptr, len) -> ptr << 32 | len`, and optionally
//! `weir_configure(ptr, len) -> 0 or an error text`. What a guest says about its memory is believed once: lengths are
//! checked before anything is copied, an answer is copied once, and no address outlives the call it came from.

use std::collections::BTreeSet;

use wasmtime::{
    Instance, InstancePre, Linker, Memory, Module, ModuleExport, Store, TypedFunc, Val, WasmParams, WasmResults,
};

use super::{Problem, bad_output, not_granted, refused_config, too_long};
use crate::engine::Running;
use crate::hostcalls::{self, Beside, HOST_FUNCTIONS, HostSide, MODULE};
use crate::inspect::{Abi, Inspection, Item, function_text};
use crate::rego;
use crate::set::Grant;
use crate::text::quoted;
use crate::wasi;

const MEMORY: &str = "memory";
const VERSION: &str = "weir_abi_1";
const ALLOC: &str = "weir_alloc";
const EVALUATE: &str = "weir_evaluate";
const CONFIGURE: &str = "weir_configure";

/// What a module lacks to be run under this ABI, all at once, each with a way out where there is one.
pub(super) fn check(module: &Inspection, granted: &impl Fn(Grant) -> bool) -> Vec<Problem> {
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
    problems.extend(import_problems(module, granted));
    problems
}

fn wrong_export(name: &str, export: &Item, wanted: &str) -> String {
    format!("export `{name}` is {}, expected {wanted}", export.of)
}

/// A module can have ten thousand wrong imports: some examples are enough.
fn import_problems(module: &Inspection, granted: &impl Fn(Grant) -> bool) -> Vec<Problem> {
    const EXAMPLES: usize = 20;
    let own = |import: &&Item| module.abi != Abi::Rego || !rego::is_import(&import.name, &import.of);
    let mut problems: Vec<_> =
        module.imports.iter().filter(own).filter_map(|import| import_problem(import, granted)).collect();
    let more = problems.len().saturating_sub(EXAMPLES);
    if more > 0 {
        problems.truncate(EXAMPLES);
        problems.push((format!("and {more} more imports that a policy may not have"), None));
    }
    problems
}

fn import_problem(import: &Item, granted: &impl Fn(Grant) -> bool) -> Option<Problem> {
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
    (!granted(function.grant)).then(|| not_granted(&import.name, function.grant))
}

/// A module that is linked, and where its exports are, resolved once.
pub(crate) struct Linked {
    pre: InstancePre<HostSide>,
    exports: Exports,
    beside: Beside,
}

struct Exports {
    memory: ModuleExport,
    alloc: ModuleExport,
    evaluate: ModuleExport,
    configure: Option<ModuleExport>,
}

impl Linked {
    /// Links a module that has passed [`check`].
    pub(super) fn new(
        engine: &wasmtime::Engine,
        module: &Module,
        grants: &BTreeSet<Grant>,
    ) -> wasmtime::Result<Linked> {
        let mut linker = Linker::new(engine);
        let beside = Linked::beside(module);
        hostcalls::link(&mut linker, grants, beside)?;
        let index = |name| module.get_export_index(name);
        let checked = |name| index(name).expect("the exports were checked before compiling");
        let exports = Exports {
            memory: checked(MEMORY),
            alloc: checked(ALLOC),
            evaluate: checked(EVALUATE),
            configure: index(CONFIGURE),
        };
        Ok(Linked { pre: linker.instantiate_pre(module)?, exports, beside })
    }

    pub(super) fn module(&self) -> &Module {
        self.pre.module()
    }

    /// Whether it can ask for the time.
    pub(super) fn has_clock(&self) -> bool {
        self.beside != Beside::Nothing
    }

    fn beside(module: &Module) -> Beside {
        if module.imports().any(|import| import.module() == wasi::MODULE) {
            Beside::Wasi
        } else if module.get_export_index(rego::BUILTINS).is_some() {
            Beside::Rego
        } else {
            Beside::Nothing
        }
    }

    /// Instantiates the module, which runs its start function.
    pub(super) async fn start(&self, store: &mut Store<HostSide>, running: Running) -> wasmtime::Result<Calls> {
        let instance = match running {
            Running::Inline => self.pre.instantiate(&mut *store)?,
            Running::Fiber => self.pre.instantiate_async(&mut *store).await?,
        };
        let memory = instance.get_module_export(&mut *store, &self.exports.memory);
        let memory = memory.and_then(|export| export.into_memory());
        let memory = memory.expect("the exports were checked before compiling");
        let alloc = function(store, &instance, &self.exports.alloc);
        let evaluate = function(store, &instance, &self.exports.evaluate);
        Ok(Calls { instance, memory, alloc, evaluate, is_rego: self.beside == Beside::Rego })
    }

    /// Hands the policy its configuration.
    pub(super) async fn configure(
        &self,
        (store, calls): (&mut Store<HostSide>, &Calls),
        running: Running,
        config: &[u8],
    ) -> wasmtime::Result<()> {
        let Some(export) = &self.exports.configure else { return Ok(()) };
        let configure = function::<(i32, i32), i64>(store, &calls.instance, export);
        if let Some(entry) = calls.instance.get_global(&mut *store, rego::ENTRY).filter(|_| calls.is_rego) {
            let number = store.data().rego.entry;
            entry.set(&mut *store, Val::I32(number))?;
        }
        let length = input_length(config)?;
        let pointer = call(running, store, &calls.alloc, length).await?;
        calls.write(store, Input { pointer, length }, config)?;
        let answer = call(running, store, &configure, (pointer, length)).await?;
        if answer == 0 {
            return Ok(());
        }
        /// A reason is one sentence.
        const LONGEST_REASON: u64 = 4096;
        let text = calls.take(store, answer, LONGEST_REASON)?;
        Err(refused_config(&String::from_utf8_lossy(&text)))
    }
}

/// The ways to call a live instance. Every call consumes nothing but may end the guest: after an error it must not be
/// called again.
pub(crate) struct Calls {
    instance: Instance,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    evaluate: TypedFunc<(i32, i32), i64>,
    /// Whether it answers documents of Rego.
    is_rego: bool,
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

impl Calls {
    /// Asks for a verdict on the calling stack; where `takes` does not let the input be written where the guest wants it, the
    /// answer is that place.
    #[inline]
    pub(super) fn judge(
        &self,
        store: &mut Store<HostSide>,
        request: &[u8],
        longest: u64,
        takes: impl Fn(Input) -> bool,
    ) -> wasmtime::Result<Result<Vec<u8>, Input>> {
        let length = input_length(request)?;
        let input = Input { pointer: self.alloc.call(&mut *store, length)?, length };
        if !takes(input) {
            return Ok(Err(input));
        }
        self.write(store, input, request)?;
        let answer = self.evaluate.call(&mut *store, (input.pointer, length))?;
        self.said(store, answer, longest).map(Ok)
    }

    /// As [`Calls::judge`], on a stack of its own. Kept apart from it: a future costs as much as a small guest.
    pub(super) async fn judge_on_fiber(
        &self,
        store: &mut Store<HostSide>,
        request: &[u8],
        longest: u64,
        takes: impl Fn(Input) -> bool,
    ) -> wasmtime::Result<Result<Vec<u8>, Input>> {
        let length = input_length(request)?;
        let input = Input { pointer: self.alloc.call_async(&mut *store, length).await?, length };
        if !takes(input) {
            return Ok(Err(input));
        }
        self.write(store, input, request)?;
        let answer = self.evaluate.call_async(&mut *store, (input.pointer, length)).await?;
        self.said(store, answer, longest).map(Ok)
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The value of an exported global.
    pub(super) fn global(&self, store: &mut Store<HostSide>, name: &str) -> Option<Val> {
        let global = self.instance.get_global(&mut *store, name)?;
        Some(global.get(store))
    }

    /// Copies an input to where the guest wants it.
    #[inline]
    fn write(&self, store: &mut Store<HostSide>, input: Input, bytes: &[u8]) -> wasmtime::Result<()> {
        let written = self.memory.write(&mut *store, input.pointer as u32 as usize, bytes);
        written.map_err(|_| {
            let (size, Input { pointer, length }) = (self.memory.data_size(store), input);
            bad_output(&format!(
                "`{ALLOC}({length})` answered {}, which does not fit into {size} bytes",
                pointer as u32
            ))
        })
    }

    /// The verdict that an answer is, or means.
    #[inline]
    fn said(&self, store: &Store<HostSide>, answer: i64, longest: u64) -> wasmtime::Result<Vec<u8>> {
        let answer = self.take(store, answer, longest)?;
        if self.is_rego { super::rego::verdict(&answer) } else { Ok(answer) }
    }

    /// What a module of OPA's tells of itself.
    pub(super) async fn told(
        &self,
        store: &mut Store<HostSide>,
        running: Running,
        export: &str,
    ) -> wasmtime::Result<Vec<u8>> {
        /// A module can have a thousand entry points.
        const LONGEST: u64 = 1 << 20;
        let tells = self.instance.get_typed_func::<(), i64>(&mut *store, export)?;
        let answer = call(running, store, &tells, ()).await?;
        self.take(store, answer, LONGEST)
    }

    /// Copies out what an answer of `pointer << 32 | length` names, checked against the memory as it is now.
    #[inline]
    fn take(&self, store: &Store<HostSide>, answer: i64, longest: u64) -> wasmtime::Result<Vec<u8>> {
        let memory = self.memory.data(store);
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
        return Err(too_long(length, longest));
    }
    // Two 32-bit numbers cannot overflow a 64-bit sum.
    let end = pointer + length;
    if end > memory_bytes {
        return Err(format!("an answer at {pointer} to {end}, outside the memory of {memory_bytes} bytes"));
    }
    Ok(pointer as usize..end as usize)
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
