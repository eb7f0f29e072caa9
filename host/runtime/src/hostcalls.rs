//! What a guest may ask of the host, behind one gate: every call is counted, paid for in fuel, and bounded in size.

mod counters;
mod interfaces;
pub(crate) mod preview2;
mod rego;
mod wasi;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use wasmtime::{AsContextMut, Caller, Extern, Linker, ResourceLimiter};

use crate::engine::TABLE_ELEMENTS;
use crate::rego::Known;
use crate::set::{Grant, Limits};
use crate::state::{Account, Taken};
use crate::text::one_line;
use crate::verdict::{Failure, FailureKind};

pub(crate) use self::interfaces::{LARGEST_LIFTED, LOG, STATE, largest_answer, link as link_component};
pub(crate) use self::wasi::Moment;
use self::wasi::World;

/// The module name of all host functions.
pub(crate) const MODULE: &str = "weir";
/// Most lines one evaluation may log; the rest is dropped and counted.
const LOG_LINES: usize = 64;
/// Most bytes one evaluation may log.
const LOG_BYTES: usize = 16 << 10;
/// Most bytes of one line; the rest is cut.
const LINE_BYTES: usize = 1 << 10;
/// Fuel of one host call, beside one unit for each byte: about what the host itself spends.
const CALL_FUEL: u64 = 200;

/// A host function and the capability it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostFunction {
    pub(crate) name: &'static str,
    pub(crate) grant: Grant,
    pub(crate) parameters: &'static [&'static str],
    pub(crate) results: &'static [&'static str],
}

/// All host functions of this version.
pub(crate) const HOST_FUNCTIONS: [HostFunction; 5] = [
    HostFunction { name: "log", grant: Grant::Log, parameters: &["i32", "i32", "i32"], results: &[] },
    HostFunction {
        name: "state_take",
        grant: Grant::State,
        parameters: &["i32", "i32", "i64", "i64", "i64", "i32"],
        results: &["i64"],
    },
    HostFunction {
        name: "state_hold",
        grant: Grant::State,
        parameters: &["i32", "i32", "i32", "i32", "i64", "i64", "i64", "i32"],
        results: &["i64"],
    },
    HostFunction {
        name: "state_settle",
        grant: Grant::State,
        parameters: &["i32", "i32", "i32", "i32", "i64", "i64", "i32"],
        results: &["i64"],
    },
    HostFunction { name: "state_resets_in_ms", grant: Grant::State, parameters: &[], results: &["i64"] },
];

/// A line a guest logged, fit for one line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LogLine {
    /// `error`, `warn`, `info` or `debug`.
    pub(crate) level: &'static str,
    /// The text, without control characters.
    pub(crate) text: String,
}

/// What a guest logged during one evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) lines: Vec<LogLine>,
    /// Lines beyond what one evaluation may log.
    pub(crate) dropped: u64,
    bytes: usize,
}

impl Log {
    /// Levels: 0 error, 1 warn, 2 info, 3 debug.
    fn add(&mut self, level: i32, text: &[u8]) {
        if self.lines.len() == LOG_LINES || self.bytes + text.len().min(LINE_BYTES) > LOG_BYTES {
            self.dropped += 1;
            return;
        }
        let level = match level {
            0 => "error",
            1 => "warn",
            2 => "info",
            _ => "debug",
        };
        let text = one_line(&String::from_utf8_lossy(text), LINE_BYTES).into_owned();
        self.bytes += text.len();
        self.lines.push(LogLine { level, text });
    }
}

/// The host's side of one instance: its bounds, and what it has used of them.
pub(crate) struct HostSide {
    /// The deadline of this evaluation, for the message of the one that misses it.
    pub(crate) deadline: Duration,
    /// When it began.
    began: Instant,
    /// The fuel it was given, for the message of the one that takes more.
    pub(crate) fuel: u64,
    memory_bytes: usize,
    /// Bytes that all its memories have now.
    memory_in_use: usize,
    host_calls: u32,
    calls: u32,
    /// The limit of the last growth that was refused: a guest that traps afterwards ended for want of it.
    pub(crate) growth_refused: Option<String>,
    pub(crate) log: Log,
    /// What it has asked of the counters.
    pub(crate) taken: Taken,
    /// What it was told last of a window's end.
    resets_in_ms: u64,
    /// Whether what it prints goes to the log.
    logs: bool,
    /// Clock, random numbers and last words of a guest that has the stand-in for WASI.
    pub(crate) world: World,
    /// What is known of a module of OPA's.
    pub(crate) rego: Arc<Known>,
    /// The result of the function it has called last.
    result: Vec<u8>,
}

impl HostSide {
    pub(crate) fn new(limits: &Limits, logs: bool, rego: Arc<Known>, deadline: Duration) -> HostSide {
        HostSide {
            deadline,
            began: Instant::now(),
            fuel: 0,
            memory_bytes: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            memory_in_use: 0,
            host_calls: limits.host_calls,
            calls: 0,
            growth_refused: None,
            log: Log::default(),
            taken: Taken::default(),
            resets_in_ms: 0,
            logs,
            world: World::default(),
            rego,
            result: Vec::new(),
        }
    }

    /// Bytes of all memories of its instance.
    pub(crate) fn memory_in_use(&self) -> u64 {
        self.memory_in_use as u64
    }

    /// Begins another evaluation in the same instance, on these counters, at this moment.
    pub(crate) fn begin(
        &mut self,
        (began, deadline): (Instant, Duration),
        account: Option<&Account>,
        moment: Moment,
    ) {
        (self.began, self.deadline) = (began, deadline);
        self.calls = 0;
        self.growth_refused = None;
        self.log = Log::default();
        self.taken = Taken::from(account.cloned());
        self.resets_in_ms = 0;
        self.world = World::at(moment);
        self.result = Vec::new();
    }
}

impl ResourceLimiter for HostSide {
    /// The limit is for all memories of an instance together: a component can have several.
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // What a memory may not have by its own word is not counted, and not for want of a limit.
        if maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        let together = self.memory_in_use.saturating_add(desired.saturating_sub(current));
        let granted = together <= self.memory_bytes;
        match granted {
            true => self.memory_in_use = together,
            false => self.growth_refused = Some(format!("limit {} bytes", self.memory_bytes)),
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= TABLE_ELEMENTS;
        if !granted {
            self.growth_refused = Some(format!("limit {TABLE_ELEMENTS} table elements"));
        }
        Ok(granted)
    }
}

/// What a module has beside the capabilities it is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// The stand-in for WASI.
    Wasi,
    /// What modules of OPA's import.
    Rego,
}

/// Defines the host functions that `grants` allow; a guest cannot even name the others.
pub(crate) fn link(linker: &mut Linker<HostSide>, grants: &BTreeSet<Grant>, beside: Beside) -> wasmtime::Result<()> {
    match beside {
        Beside::Nothing => {}
        Beside::Wasi => wasi::link(linker)?,
        Beside::Rego => rego::link(linker)?,
    }
    if grants.contains(&Grant::Log) {
        linker.func_wrap(MODULE, "log", log)?;
    }
    if grants.contains(&Grant::State) {
        counters::link(linker)?;
    }
    Ok(())
}

fn log(mut caller: Caller<'_, HostSide>, level: i32, pointer: i32, length: i32) -> wasmtime::Result<()> {
    admit(&mut caller, length as u32 as usize)?;
    let (text, host) = guest_bytes(&mut caller, "log", pointer, length)?;
    host.log.add(level, text);
    Ok(())
}

/// Bytes that a guest points to, checked against its memory as it is now.
fn guest_bytes<'c>(
    caller: &'c mut Caller<'_, HostSide>,
    function: &str,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<(&'c [u8], &'c mut HostSide)> {
    let (data, host) = guest_memory(caller)?;
    Ok((piece(data, function, pointer, length)?, host))
}

fn guest_memory<'c>(caller: &'c mut Caller<'_, HostSide>) -> wasmtime::Result<(&'c [u8], &'c mut HostSide)> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(refused("the guest exports no memory"));
    };
    let (data, host) = memory.data_and_store_mut(caller);
    Ok((data, host))
}

fn piece<'d>(data: &'d [u8], function: &str, pointer: i32, length: i32) -> wasmtime::Result<&'d [u8]> {
    let (pointer, length) = (pointer as u32 as usize, length as u32 as usize);
    let bytes = pointer.checked_add(length).and_then(|end| data.get(pointer..end));
    bytes.ok_or_else(|| refused(&format!("{function}: the text lies outside the guest's memory")))
}

/// The gate: counts the call and takes its fuel.
fn admit(caller: &mut impl AsContextMut<Data = HostSide>, bytes: usize) -> wasmtime::Result<()> {
    let mut caller = caller.as_context_mut();
    let host = caller.data_mut();
    host.calls += 1;
    if host.calls > host.host_calls {
        let limit = host.host_calls;
        return Err(refused(&format!("more than {limit} host calls (limit `host_calls`)")));
    }
    pay(&mut caller, bytes)
}

/// The gate for printing: takes its fuel and counts nothing. What is printed beyond a few lines is dropped, which is no failure
/// of the policy's.
fn pay(caller: &mut impl AsContextMut<Data = HostSide>, bytes: usize) -> wasmtime::Result<()> {
    let mut caller = caller.as_context_mut();
    let price = CALL_FUEL.saturating_add(bytes as u64);
    match caller.get_fuel()?.checked_sub(price) {
        Some(left) => caller.set_fuel(left),
        None => Err(wasmtime::Trap::OutOfFuel.into()),
    }
}

fn refused(why: &str) -> wasmtime::Error {
    wasmtime::Error::new(Failure::new(FailureKind::RefusedHostCall, why))
}
