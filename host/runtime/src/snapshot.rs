//! Turns the state of a configured, trained instance into a module that starts there.
//!
//! Module, [`instrument`], compile, start, configure, train, [`Instrumented::snapshot`], compile: what ran once while a
//! set was loaded never runs again.

use wasmtime::Val;
use wasmtime_wizer::{InstanceState, ModuleContext, SnapshotVal, ValType, Wizer};

use crate::abi::core::Guest;
use crate::inspect::{Inspection, LARGEST_SNAPSHOT};

/// How the exports begin that show what an instance has become.
const RESERVED: &str = "__wizer_";

/// A module that shows its memory and globals.
pub(crate) struct Instrumented<'a> {
    context: ModuleContext<'a>,
    /// What is to be compiled and started.
    pub(crate) wasm: Vec<u8>,
}

/// Prepares a validated module to be snapshotted.
///
/// # Errors
/// Why there can be no snapshot of this module, in words for its author: it runs as it is.
pub(crate) fn instrument<'a>(wasm: &'a [u8], facts: &Inspection) -> Result<Instrumented<'a>, String> {
    if let Some(export) = facts.exports.iter().find(|export| export.name.starts_with(RESERVED)) {
        return Err(format!("its export `{}` begins with `{RESERVED}`", export.name.escape_debug()));
    }
    let (context, wasm) = Wizer::new().instrument(wasm).map_err(|error| error.to_string())?;
    Ok(Instrumented { context, wasm })
}

impl Instrumented<'_> {
    /// The module that starts as this instance is now.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn snapshot(&self, guest: &mut Guest) -> Result<Vec<u8>, String> {
        let snapshot = pollster::block_on(Wizer::new().snapshot(&self.context, &mut State(guest)));
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
