//! Host functions of the capability `state`. Everything crosses as numbers and as texts that the host only reads: it never
//! writes into a guest, whose pages may be protected, and never calls back into it.

use wasmtime::{Caller, Linker};

use super::{HostSide, MODULE, admit, guest_memory, piece, refused};
use crate::state::{Amount, Answer, StateError, Window, WindowKind, signed};
use crate::verdict::{Failure, FailureKind};

/// Longest key and longest name of an estimate, in bytes.
pub(super) const LONGEST: usize = 512;

pub(super) fn link(linker: &mut Linker<HostSide>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "state_take", take)?;
    linker.func_wrap(MODULE, "state_hold", hold)?;
    linker.func_wrap(MODULE, "state_settle", settle)?;
    linker.func_wrap(MODULE, "state_resets_in_ms", resets_in_ms)?;
    Ok(())
}

fn take(
    mut caller: Caller<'_, HostSide>,
    key: i32,
    key_length: i32,
    amount: i64,
    limit: i64,
    window_ms: i64,
    kind: i32,
) -> wasmtime::Result<i64> {
    let amount = checked("state_take", amount, window_ms, kind)?;
    let limit = positive("state_take", "limit", limit)?;
    with_texts(&mut caller, "state_take", [(key, key_length)], |host, [key]| {
        host.taken.take(key, amount, limit, None)
    })
}

#[expect(clippy::too_many_arguments, reason = "they are those of the ABI")]
fn hold(
    mut caller: Caller<'_, HostSide>,
    key: i32,
    key_length: i32,
    name: i32,
    name_length: i32,
    amount: i64,
    limit: i64,
    window_ms: i64,
    kind: i32,
) -> wasmtime::Result<i64> {
    let amount = checked("state_hold", amount, window_ms, kind)?;
    let limit = positive("state_hold", "limit", limit)?;
    with_texts(&mut caller, "state_hold", [(key, key_length), (name, name_length)], |host, [key, name]| {
        host.taken.take(key, amount, limit, Some(name))
    })
}

#[expect(clippy::too_many_arguments, reason = "they are those of the ABI")]
fn settle(
    mut caller: Caller<'_, HostSide>,
    key: i32,
    key_length: i32,
    name: i32,
    name_length: i32,
    amount: i64,
    window_ms: i64,
    kind: i32,
) -> wasmtime::Result<i64> {
    let amount = checked("state_settle", amount, window_ms, kind)?;
    with_texts(&mut caller, "state_settle", [(key, key_length), (name, name_length)], |host, [key, name]| {
        host.taken.settle(key, amount, name)
    })
}

fn resets_in_ms(mut caller: Caller<'_, HostSide>) -> wasmtime::Result<i64> {
    admit(&mut caller, 0)?;
    Ok(signed(caller.data().resets_in_ms))
}

/// Asks by the texts that a guest points to; the answer as the guest gets it.
fn with_texts<const N: usize>(
    caller: &mut Caller<'_, HostSide>,
    function: &str,
    places: [(i32, i32); N],
    ask: impl FnOnce(&mut HostSide, [&str; N]) -> Result<Answer, StateError>,
) -> wasmtime::Result<i64> {
    admit(caller, places.iter().map(|(_, length)| *length as u32 as usize).sum())?;
    let (data, host) = guest_memory(caller)?;
    let mut texts = [""; N];
    for (text, (pointer, length)) in texts.iter_mut().zip(places) {
        let bytes = piece(data, function, pointer, length)?;
        *text = str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= LONGEST)
            .ok_or_else(|| refused(&format!("{function}: expected UTF-8 text of up to {LONGEST} bytes")))?;
    }
    let answer = answered(function, ask(host, texts))?;
    host.resets_in_ms = answer.resets_in_ms;
    let used = signed(answer.used);
    Ok(if answer.granted { used } else { !used })
}

/// An answer, or why there is none, which is nobody's fault but the host's.
pub(super) fn answered(function: &str, answer: Result<Answer, StateError>) -> wasmtime::Result<Answer> {
    answer
        .map_err(|error| wasmtime::Error::new(Failure::new(FailureKind::Unavailable, format!("{function}: {error}"))))
}

fn checked(function: &str, amount: i64, window_ms: i64, kind: i32) -> wasmtime::Result<Amount> {
    let kind = match kind {
        0 => WindowKind::Sliding,
        1 => WindowKind::Tumbling,
        _ => return Err(refused(&format!("{function}: a window is 0 (sliding) or 1 (tumbling), not {kind}"))),
    };
    let amount = positive(function, "amount", amount)?;
    Ok(Amount { amount, window: window(function, window_ms as u64, kind)? })
}

/// A window of so many milliseconds.
pub(super) fn window(function: &str, millis: u64, kind: WindowKind) -> wasmtime::Result<Window> {
    let window = Window::new(millis, kind);
    window.ok_or_else(|| refused(&format!("{function}: a window has 1 ms to 366 days, not {millis} milliseconds")))
}

fn positive(function: &str, what: &str, number: i64) -> wasmtime::Result<u64> {
    u64::try_from(number).map_err(|_| refused(&format!("{function}: the {what} is negative: {number}")))
}
