//! Turns the state of a configured, trained instance into a module that starts there.
//!
//! Module, [`instrument`], compile, start, configure, train, [`Instrumented::snapshot`], compile: what ran once while a
//! set was loaded never runs again.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::component::{Instance, Lift, ResourceDynamic, WasmList};
use wasmtime::{Store, Trap, Val};
use wasmtime_wizer::{
    ComponentContext, ComponentInstanceState, InstanceState, ModuleContext, SnapshotVal, ValType, Wizer,
};

use crate::abi::Guest;
use crate::hostcalls::HostSide;
use crate::inspect::{Abi, Inspection, LARGEST_SNAPSHOT};

/// How the exports begin that show what an instance has become.
const RESERVED: [&str; 2] = ["__wizer_", "wasmtime:wizer/"];

/// Largest component that becomes a snapshot, in bytes. Larger ones bring the engine of a language along, which takes many
/// seconds to be compiled once more, while its instances start from a snapshot of their own already.
const LARGEST_COMPONENT: usize = 4 << 20;

/// A module or component that shows its memory and globals.
pub(crate) struct Instrumented<'a> {
    context: Context<'a>,
    /// What is to be compiled and started.
    pub(crate) wasm: Vec<u8>,
}

enum Context<'a> {
    Module(ModuleContext<'a>),
    Component(ComponentContext<'a>),
}

/// Prepares what has been validated to be snapshotted.
///
/// # Errors
/// Why there can be no snapshot of it, in words for its author: it runs as it is.
pub(crate) fn instrument<'a>(wasm: &'a [u8], facts: &Inspection) -> Result<Instrumented<'a>, String> {
    for reserved in RESERVED {
        if let Some(export) = facts.exports.iter().find(|export| export.name.starts_with(reserved)) {
            return Err(format!("its export `{}` begins with `{reserved}`", export.name.escape_debug()));
        }
    }
    if let Some(why) = &facts.plain {
        return Err(why.clone());
    }
    let why = |error: wasmtime::Error| format!("{error:#}");
    match facts.abi {
        Abi::Core | Abi::Rego => {
            let (context, wasm) = Wizer::new().instrument(wasm).map_err(why)?;
            Ok(Instrumented { context: Context::Module(context), wasm })
        }
        Abi::Component if wasm.len() > LARGEST_COMPONENT => {
            Err(format!("it is larger than {} MiB", LARGEST_COMPONENT >> 20))
        }
        Abi::Component => {
            let (context, wasm) = contained(|| Wizer::new().instrument_component(wasm))?.map_err(why)?;
            Ok(Instrumented { context: Context::Component(context), wasm })
        }
    }
}

impl Instrumented<'_> {
    /// What starts as this instance is now.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn snapshot(&self, guest: &mut Guest) -> Result<Vec<u8>, String> {
        let wizer = Wizer::new();
        let snapshot = match &self.context {
            Context::Module(context) => pollster::block_on(wizer.snapshot(context, &mut State(guest))),
            Context::Component(context) => {
                let (store, calls) = guest.component().expect("an instance of a component");
                // Reading it out is no evaluation of anybody's.
                store.set_fuel(u64::MAX).expect("the engine meters fuel");
                store.set_epoch_deadline(u64::from(u32::MAX));
                store.set_hostcall_fuel(usize::MAX);
                if holds_resources(store) {
                    return Err("it holds on to resources once it is configured".to_owned());
                }
                let instance = calls.instance;
                let mut state = ComponentState { store, instance, memories: HashMap::new(), unread: None };
                let snapshot = contained(|| pollster::block_on(wizer.snapshot_component(context, &mut state)))?;
                match state.unread {
                    Some(why) => return Err(format!("its state cannot be read: {why}")),
                    None => snapshot,
                }
            }
        };
        let wasm = snapshot.map_err(|error| error.to_string())?;
        if wasm.len() as u64 > LARGEST_SNAPSHOT {
            return Err(format!("its memory holds more than {} MiB once it is configured", LARGEST_SNAPSHOT >> 20));
        }
        Ok(wasm)
    }
}

/// An instance of an instrumented module, as `wasmtime-wizer` looks at it.
struct State<'a>(&'a mut Guest);

impl InstanceState for State<'_> {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        match self.0.global(name).expect("instrumenting exports every mutable global") {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(bits) => SnapshotVal::F32(bits),
            Val::F64(bits) => SnapshotVal::F64(bits),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            other => unreachable!("instrumenting refuses mutable globals such as {other:?}"),
        }
    }

    async fn memory_contents(&mut self, _: &str, contents: impl FnOnce(&[u8]) + Send) {
        // The one memory a policy has is the one it exports.
        contents(self.0.memory());
    }
}

/// Whether an instance has handles, whose table is the host's and in no snapshot.
fn holds_resources(store: &mut Store<HostSide>) -> bool {
    let most = store.max_component_handles();
    store.set_max_component_handles(1);
    // One can be made only where there is none.
    let first = ResourceDynamic::new_own(0, 0).try_into_resource_any(&mut *store);
    store.set_max_component_handles(most);
    first.is_err()
}

/// What `wasmtime-wizer` says of a component. It was written for those of whoever runs it, and asserts what others need not
/// keep: the known cases do not come here, and no other ends the thread that loads sets.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| "it is made in a way that snapshots do not know".to_owned())
}

/// An instance of an instrumented component: it answers by functions, which were put in for it.
struct ComponentState<'a> {
    store: &'a mut Store<HostSide>,
    instance: Instance,
    /// By function: each is asked twice, and each time the memory has to grow by a page for the answer.
    memories: HashMap<String, Vec<u8>>,
    /// Why something could not be read: what is made without it is no snapshot.
    unread: Option<String>,
}

impl ComponentState<'_> {
    /// What a function answers, or nothing at all once one could not.
    async fn call<R: Lift + Default + Send + Sync + 'static>(&mut self, instance: &str, function: &str) -> R {
        match self.try_call::<R>(instance, function).await {
            Ok(answer) => answer,
            Err(error) => {
                self.unread.get_or_insert(format!("{:#}", error.root_cause()));
                R::default()
            }
        }
    }

    async fn try_call<R: Lift + Send + Sync + 'static>(
        &mut self,
        instance: &str,
        function: &str,
    ) -> wasmtime::Result<R> {
        let export = self.instance.get_export_index(&mut *self.store, None, instance);
        let export = export.and_then(|of| self.instance.get_export_index(&mut *self.store, Some(&of), function));
        let export = export.ok_or_else(|| wasmtime::Error::msg("nothing shows it"))?;
        let typed = self.instance.get_typed_func::<(), (R,)>(&mut *self.store, export)?;
        Ok(typed.call_async(&mut *self.store, ()).await?.0)
    }

    async fn memory(&mut self, instance: &str, function: &str) -> wasmtime::Result<Vec<u8>> {
        let list =
            self.try_call::<WasmList<u8>>(instance, function).await.map_err(|error| match error.is::<Trap>() {
                true => wasmtime::Error::msg("a memory cannot grow by the page that this takes"),
                false => error,
            })?;
        Ok(list.as_le_slice(&*self.store).to_vec())
    }
}

impl ComponentInstanceState for ComponentState<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        if !self.memories.contains_key(func) {
            let memory = self.memory(instance, func).await.unwrap_or_else(|error| {
                self.unread.get_or_insert(error.root_cause().to_string());
                Vec::new()
            });
            self.memories.insert(func.to_owned(), memory);
        }
        contents(&self.memories[func]);
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call::<f32>(instance, func).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call::<f64>(instance, func).await.to_bits()
    }
}
