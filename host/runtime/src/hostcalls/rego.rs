//! What modules of `opa build -t wasm` import: a last word before they end, printing, and built-in functions of their host.

use wasmtime::{Caller, Linker};

use super::{HostSide, admit, guest_memory, refused};
use crate::rego::MODULE;
use crate::verdict::{Failure, FailureKind};

/// Longest text that is read of such a module.
const LONGEST: usize = 4 << 10;

pub(super) fn link(linker: &mut Linker<HostSide>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "opa_abort", |mut caller: Caller<'_, HostSide>, text: i32| {
        let said = text_at(&mut caller, text)?;
        Err::<(), _>(wasmtime::Error::new(Failure::new(FailureKind::GuestError, said)))
    })?;
    linker.func_wrap(MODULE, "opa_println", |mut caller: Caller<'_, HostSide>, text: i32| {
        let said = text_at(&mut caller, text)?;
        admit(&mut caller, said.len())?;
        caller.data_mut().print(super::wasi::STDOUT, said.as_bytes());
        Ok(())
    })?;
    // While a set is loaded it is refused for those it asks for: nothing of theirs is ever called.
    type Cx<'a> = Caller<'a, HostSide>;
    linker.func_wrap(MODULE, "opa_builtin0", |_: Cx<'_>, id: i32, _: i32| absent(id))?;
    linker.func_wrap(MODULE, "opa_builtin1", |_: Cx<'_>, id: i32, _: i32, _: i32| absent(id))?;
    linker.func_wrap(MODULE, "opa_builtin2", |_: Cx<'_>, id: i32, _: i32, _: i32, _: i32| absent(id))?;
    linker.func_wrap(MODULE, "opa_builtin3", |_: Cx<'_>, id: i32, _: i32, _: i32, _: i32, _: i32| absent(id))?;
    linker
        .func_wrap(MODULE, "opa_builtin4", |_: Cx<'_>, id: i32, _: i32, _: i32, _: i32, _: i32, _: i32| absent(id))?;
    Ok(())
}

fn absent(id: i32) -> wasmtime::Result<i32> {
    Err(refused(&format!("the built-in function {id} is not to be had")))
}

/// A text that a zero ends.
fn text_at(caller: &mut Caller<'_, HostSide>, address: i32) -> wasmtime::Result<String> {
    let (data, _) = guest_memory(caller)?;
    let rest = data.get(address as u32 as usize..).unwrap_or_default();
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(&text[..text.len().min(LONGEST)]).into_owned())
}
