//! What modules of `opa build -t wasm` ask of the host, once they are adapted: a last word before they end, printing, and
//! built-in functions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::{AsContextMut, Caller, Linker, Trap};
use weir_rego::{Answer, Builtin, Context, Error, Value};

use super::{HostSide, admit, guest_memory, refused};
use crate::rego::{HOST_MODULE, MODULE, MOST_ARGUMENTS};
use crate::verdict::{Failure, FailureKind};

/// Longest text that is read of what such a module says.
const LONGEST: usize = 4 << 10;
/// Longest argument, and longest result.
const LONGEST_VALUE: usize = 1 << 20;
/// The length of the result of a function that has none.
const UNDEFINED: i64 = -1;
/// How many bytes of a result are told at once.
const STEP: usize = 8;

pub(super) fn link(linker: &mut Linker<HostSide>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "opa_abort", |mut caller: Caller<'_, HostSide>, text: i32| {
        let said = String::from_utf8_lossy(text_at(&mut caller, text, LONGEST)?).into_owned();
        let failure = match &caller.data().growth_refused {
            Some(limit) => Failure::new(FailureKind::Memory, format!("{limit}, then {said}")),
            None => Failure::new(FailureKind::GuestError, said),
        };
        Err::<(), _>(wasmtime::Error::new(failure))
    })?;
    linker.func_wrap(MODULE, "opa_println", |mut caller: Caller<'_, HostSide>, text: i32| {
        let said = text_at(&mut caller, text, LONGEST)?.to_vec();
        admit(&mut caller, said.len())?;
        caller.data_mut().print(super::wasi::STDOUT, &said);
        Ok(())
    })?;
    linker.func_wrap(
        HOST_MODULE,
        "call",
        |caller: Caller<'_, HostSide>, id: i32, a: i32, b: i32, c: i32, d: i32| call(caller, id, [a, b, c, d]),
    )?;
    linker.func_wrap(HOST_MODULE, "result", |caller: Caller<'_, HostSide>, at: i32| {
        let rest = caller.data().result.get(at as u32 as usize..).unwrap_or_default();
        let mut step = [0; STEP];
        let count = rest.len().min(STEP);
        step[..count].copy_from_slice(&rest[..count]);
        i64::from_le_bytes(step)
    })?;
    Ok(())
}

/// Calls a function whose arguments are texts in the guest's memory. Its work is paid for in fuel, a unit for a unit.
fn call(mut caller: Caller<'_, HostSide>, id: i32, arguments: [i32; MOST_ARGUMENTS]) -> wasmtime::Result<i64> {
    let known = caller.data().rego.builtins.get(&id).copied();
    let Some(builtin) = known else { return Err(refused(&format!("the built-in function {id} is not to be had"))) };
    let mut values = Vec::with_capacity(builtin.arguments);
    let mut bytes = 0;
    for address in &arguments[..builtin.arguments.min(MOST_ARGUMENTS)] {
        let text = text_at(&mut caller, *address, LONGEST_VALUE)?;
        bytes += text.len();
        if text.len() == LONGEST_VALUE {
            return Err(wrong(builtin, &format!("an argument of {LONGEST_VALUE} bytes or more")));
        }
        let text = std::str::from_utf8(text).map_err(|_| wrong(builtin, "an argument is no text"))?;
        values.push(Value::parse(text).map_err(|why| wrong(builtin, &why))?);
    }
    admit(&mut caller, bytes)?;
    let fuel = caller.get_fuel()?;
    let world = &caller.data().world;
    let until = caller.data().began + caller.data().deadline;
    let context = Context::new(world.nanos(), world.seed(), fuel).until(until);
    let answer = called(builtin, &context, &values)?;
    caller.as_context_mut().set_fuel(context.left())?;
    let is_late = context.is_late();
    context.printed().iter().for_each(|line| caller.data_mut().print(super::wasi::STDOUT, line.as_bytes()));
    match answer {
        Ok(value) => give(caller, &value),
        // Nothing interrupts a function as the clock does a guest, so it looks at the clock itself.
        Err(Error::Exhausted) if is_late => Err(Trap::Interrupt.into()),
        Err(Error::Exhausted) => Err(Trap::OutOfFuel.into()),
        // As with OPA: where a function has no value, the expression is undefined. Why is for whoever looks for it.
        Err(Error::Undefined(why)) => {
            caller.data_mut().note(&format!("{} is undefined: {why}", builtin.name));
            Ok(UNDEFINED)
        }
    }
}

/// The answer of a function. A panic in one of many libraries ends the evaluation and not the host.
fn called(builtin: &Builtin, context: &Context, values: &[Value]) -> wasmtime::Result<Answer> {
    let answer = catch_unwind(AssertUnwindSafe(|| builtin.call(context, values)));
    answer.map_err(|_| wrong(builtin, "it failed"))
}

/// Keeps a result for the guest to fetch, which pays for it here.
fn give(mut caller: Caller<'_, HostSide>, value: &Value) -> wasmtime::Result<i64> {
    let text = value.to_string();
    if text.len() > LONGEST_VALUE {
        return Err(refused(&format!("a result of {} bytes, the most is {LONGEST_VALUE}", text.len())));
    }
    let Some(left) = caller.get_fuel()?.checked_sub(text.len() as u64) else { return Err(Trap::OutOfFuel.into()) };
    caller.set_fuel(left)?;
    let length = text.len() as i64;
    caller.data_mut().result = text.into_bytes();
    Ok(length)
}

fn wrong(builtin: &Builtin, why: &str) -> wasmtime::Error {
    refused(&format!("built-in function `{}`: {why}", builtin.name))
}

/// A text that a zero ends, or its first bytes.
fn text_at<'c>(caller: &'c mut Caller<'_, HostSide>, address: i32, longest: usize) -> wasmtime::Result<&'c [u8]> {
    let (data, _) = guest_memory(caller)?;
    let rest = data.get(address as u32 as usize..).unwrap_or_default();
    let rest = &rest[..rest.len().min(longest)];
    Ok(rest.split(|byte| *byte == 0).next().unwrap_or_default())
}
