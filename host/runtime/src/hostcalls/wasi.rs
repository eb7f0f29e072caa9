//! What the stand-in for WASI asks of the host: numbers that follow from the request, and lines for the log.

use wasmtime::{Caller, Linker};

use super::{HostSide, admit, guest_bytes, pay};
use crate::wasi::MODULE;

/// Nanoseconds between two readings of the clock.
const STEP: i64 = 1_000;
/// Bytes of stderr that are kept, to say why a guest ended.
const SAID: usize = 1 << 10;
pub(super) const STDOUT: i32 = 1;
pub(super) const STDERR: i32 = 2;

/// The moment a guest is told: what follows from the request, or nothing where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moment {
    /// Nanoseconds since 1970.
    pub(crate) nanos: i64,
    pub(crate) seed: u64,
}

/// Clock, random numbers and last words of one evaluation.
#[derive(Debug, Default)]
pub(crate) struct World {
    nanos: i64,
    random: u64,
    said: Vec<u8>,
}

impl World {
    pub(super) fn at(Moment { nanos, seed }: Moment) -> World {
        World { nanos, random: seed, said: Vec::new() }
    }

    /// Moves the clock on by so many nanoseconds, and by a step at least; nanoseconds since 1970.
    pub(super) fn now(&mut self, advance: i64) -> i64 {
        self.nanos = self.nanos.saturating_add(advance.max(STEP));
        self.nanos
    }

    /// The moment it began at, while nobody has moved the clock on.
    pub(super) fn nanos(&self) -> i64 {
        self.nanos
    }

    /// What its random numbers follow from, while nobody has drawn one.
    pub(super) fn seed(&self) -> u64 {
        self.random
    }

    /// SplitMix64, whose state is a counter: no seed is a bad one.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// What it wrote to stderr last; none where that is nothing.
    pub(crate) fn said(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.said);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

pub(super) fn link(linker: &mut Linker<HostSide>) -> wasmtime::Result<()> {
    linker.func_wrap(MODULE, "clock", clock)?;
    linker.func_wrap(MODULE, "random", random)?;
    linker.func_wrap(MODULE, "write", write)?;
    Ok(())
}

fn clock(mut caller: Caller<'_, HostSide>, advance: i64) -> wasmtime::Result<i64> {
    admit(&mut caller, 0)?;
    Ok(caller.data_mut().world.now(advance))
}

fn random(mut caller: Caller<'_, HostSide>) -> wasmtime::Result<i64> {
    admit(&mut caller, 0)?;
    Ok(caller.data_mut().world.random() as i64)
}

fn write(mut caller: Caller<'_, HostSide>, descriptor: i32, pointer: i32, length: i32) -> wasmtime::Result<()> {
    pay(&mut caller, length as u32 as usize)?;
    let (text, host) = guest_bytes(&mut caller, "fd_write", pointer, length)?;
    host.print(descriptor, text);
    Ok(())
}

impl HostSide {
    /// What the host itself has to say to whoever reads the log of a guest.
    pub(super) fn note(&mut self, text: &str) {
        const DEBUG: i32 = 3;
        if self.logs {
            self.log.add(DEBUG, text.as_bytes());
        }
    }

    /// What a guest prints: lines for its log where it has one, and its last words.
    pub(super) fn print(&mut self, descriptor: i32, text: &[u8]) {
        if descriptor == STDERR {
            let said = &mut self.world.said;
            said.extend_from_slice(&text[text.len().saturating_sub(SAID)..]);
            said.drain(..said.len().saturating_sub(SAID));
        }
        if self.logs {
            let level = if descriptor == STDERR { 1 } else { 2 };
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.for_each(|line| self.log.add(level, line));
        }
    }
}
