//! The capabilities as components import them: the interfaces `log` and `state` of `plugin-sdk/wit/policy.wit`.

use std::collections::BTreeSet;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use super::counters::{self, LONGEST};
use super::{HostSide, admit, refused};
use crate::set::Grant;
use crate::state::{Amount, Answer, StateError, WindowKind};

/// The interface of the capability `log`.
pub(crate) const LOG: &str = "weir:policy/log@1.0.0";
/// The interface of the capability `state`.
pub(crate) const STATE: &str = "weir:policy/state@1.0.0";
/// Bytes that one call of a component may carry to the host, whatever its limits: more than what libraries of languages print
/// at once takes in values of the engine.
pub(crate) const LARGEST_LIFTED: usize = 4 << 20;

/// Bytes that an answer may take in the host so that its JSON has at most `output`: the least there is in JSON are texts of a
/// letter, which take four bytes there and 25 here.
pub(crate) fn largest_answer(output: u64) -> usize {
    let bytes = usize::try_from(output.saturating_mul(8)).unwrap_or(usize::MAX);
    bytes.max(LARGEST_LIFTED)
}

type Cx<'a> = StoreContextMut<'a, HostSide>;

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(record)]
struct Window {
    ms: u64,
    kind: Kind,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifting makes them")]
enum Kind {
    #[component(name = "sliding")]
    Sliding,
    #[component(name = "tumbling")]
    Tumbling,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Taken {
    granted: bool,
    used: u64,
    #[component(name = "resets-in-ms")]
    resets_in_ms: u64,
}

/// Defines the interfaces that `grants` allow; a component cannot even name the others.
pub(crate) fn link(linker: &mut Linker<HostSide>, grants: &BTreeSet<Grant>) -> wasmtime::Result<()> {
    if grants.contains(&Grant::Log) {
        linker.instance(LOG)?.func_wrap("write", log)?;
    }
    if grants.contains(&Grant::State) {
        let mut state = linker.instance(STATE)?;
        state.func_wrap("take", take)?;
        state.func_wrap("hold", hold)?;
        state.func_wrap("settle", settle)?;
    }
    Ok(())
}

fn log(mut cx: Cx<'_>, (level, text): (u8, String)) -> wasmtime::Result<()> {
    admit(&mut cx, text.len())?;
    cx.data_mut().log.add(level.into(), text.as_bytes());
    Ok(())
}

fn take(cx: Cx<'_>, (key, amount, limit, window): (String, u64, u64, Window)) -> wasmtime::Result<(Taken,)> {
    let (wanted, limit) = (checked("take", amount, window)?, whole("take", "limit", limit)?);
    ask(cx, "take", &[&key], |host| host.taken.take(&key, wanted, limit, None))
}

fn hold(
    cx: Cx<'_>,
    (key, name, amount, limit, window): (String, String, u64, u64, Window),
) -> wasmtime::Result<(Taken,)> {
    let (wanted, limit) = (checked("hold", amount, window)?, whole("hold", "limit", limit)?);
    ask(cx, "hold", &[&key, &name], |host| host.taken.take(&key, wanted, limit, Some(&name)))
}

fn settle(cx: Cx<'_>, (key, name, amount, window): (String, String, u64, Window)) -> wasmtime::Result<(Taken,)> {
    let wanted = checked("settle", amount, window)?;
    ask(cx, "settle", &[&key, &name], |host| host.taken.settle(&key, wanted, &name))
}

fn ask(
    mut cx: Cx<'_>,
    function: &str,
    texts: &[&str],
    ask: impl FnOnce(&mut HostSide) -> Result<Answer, StateError>,
) -> wasmtime::Result<(Taken,)> {
    admit(&mut cx, texts.iter().map(|text| text.len()).sum())?;
    if texts.iter().any(|text| text.len() > LONGEST) {
        return Err(refused(&format!("{function}: expected text of up to {LONGEST} bytes")));
    }
    let Answer { granted, used, resets_in_ms } = counters::answered(function, ask(cx.data_mut()))?;
    Ok((Taken { granted, used, resets_in_ms },))
}

fn checked(function: &str, amount: u64, window: Window) -> wasmtime::Result<Amount> {
    let kind = match window.kind {
        Kind::Sliding => WindowKind::Sliding,
        Kind::Tumbling => WindowKind::Tumbling,
    };
    Ok(Amount { amount: whole(function, "amount", amount)?, window: counters::window(function, window.ms, kind)? })
}

/// A number that the other ABI could give, too: equal policies find equal counters.
fn whole(function: &str, what: &str, number: u64) -> wasmtime::Result<u64> {
    match i64::try_from(number) {
        Ok(_) => Ok(number),
        Err(_) => Err(refused(&format!("{function}: the {what} is larger than {}: {number}", i64::MAX))),
    }
}
