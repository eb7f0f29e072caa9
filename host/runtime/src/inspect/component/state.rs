//! What of a component changes when it is configured, and whether a snapshot can hold it.
//!
//! A snapshot is read out through functions that are put in, one for each global and memory, and these reach what a module
//! exports. What is put in for a hostile component must not be more than a compiler can take.

use wasmparser::Payload;

use super::MODULES;

/// Most globals and memories of what becomes a snapshot.
const MOST_PIECES: u32 = 1_000;

#[derive(Default)]
pub(super) struct State {
    /// Globals and memories of all modules.
    pieces: u32,
    /// Whether the module that is read now has some, and whether it exports anything.
    holds: bool,
    shows: bool,
    /// Whether a module has some and exports nothing.
    hidden: bool,
}

impl State {
    pub(super) fn see(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::ModuleSection { .. } => (self.holds, self.shows) = (false, false),
            Payload::MemorySection(memories) => self.add(memories.count()),
            Payload::GlobalSection(globals) => self.add(globals.count()),
            Payload::ExportSection(_) => self.shows = true,
            Payload::End(_) => {
                self.hidden |= self.holds && !self.shows;
                self.holds = false;
            }
            _ => {}
        }
    }

    fn add(&mut self, pieces: u32) {
        self.holds = true;
        self.pieces = self.pieces.saturating_add(pieces);
    }

    /// Why there can be no snapshot of a component with so many modules.
    pub(super) fn unreadable(&self, modules: u32) -> Option<String> {
        match self {
            _ if self.pieces > MOST_PIECES => {
                Some(format!("it has {} globals and memories, more than {MOST_PIECES}", self.pieces))
            }
            _ if modules >= MODULES => Some(format!("it has {MODULES} modules, and one more would read it")),
            State { hidden: true, .. } => Some("a module in it has memories or globals, but no exports".to_owned()),
            _ => None,
        }
    }
}
