//! What the stand-in for WASI asks of the host: numbers that follow from the request, and lines for the log.

use wasmtime::{Caller, Linker};

use super::{HostSide, admit, guest_bytes};
use crate::wasi::MODULE;

/// Nanoseconds between two readings of the clock.
const STEP: i64 = 1_000;
/// Bytes of stderr that are kept, to say why a guest ended.
const SAID: usize = 1 << 10;
const STDERR: i32 = 2;

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
    let world = &mut caller.data_mut().world;
    world.nanos = world.nanos.saturating_add(advance.max(STEP));
    Ok(world.nanos)
}

/// SplitMix64, whose state is a counter: no seed is a bad one.
fn random(mut caller: Caller<'_, HostSide>) -> wasmtime::Result<i64> {
    admit(&mut caller, 0)?;
    let world = &mut caller.data_mut().world;
    world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (world.random ^ (world.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Ok((mixed ^ (mixed >> 31)) as i64)
}

fn write(mut caller: Caller<'_, HostSide>, descriptor: i32, pointer: i32, length: i32) -> wasmtime::Result<()> {
    admit(&mut caller, length as u32 as usize)?;
    let (text, host) = guest_bytes(&mut caller, "fd_write", pointer, length)?;
    if descriptor == STDERR {
        host.world.said.extend_from_slice(&text[text.len().saturating_sub(SAID)..]);
        let excess = host.world.said.len().saturating_sub(SAID);
        host.world.said.drain(..excess);
    }
    if host.logs {
        let level = if descriptor == STDERR { 1 } else { 2 };
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| host.log.add(level, line));
    }
    Ok(())
}
