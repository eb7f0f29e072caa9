//! Machine code at hand during one load: what former generations run, what the store holds, what was compiled just now.

use std::collections::BTreeMap;

use crate::compile_worker::CompileError;
use crate::compiled::{Blank, MachineCode};
use crate::digest::Digest;
use crate::engine::Code;
use crate::generation::Policy;

/// Machine code by the digest of what it was compiled from.
pub(super) struct Shelf<'a> {
    code: &'a MachineCode,
    overtaken: &'a dyn Fn() -> bool,
    /// What cannot be compiled is tried once.
    at_hand: BTreeMap<Digest, Result<Code, CompileError>>,
}

impl<'a> Shelf<'a> {
    pub(super) fn new(code: &'a MachineCode, overtaken: &'a dyn Fn() -> bool, former: &[&Policy]) -> Shelf<'a> {
        let mut shelf = Shelf { code, overtaken, at_hand: BTreeMap::new() };
        for Policy { module, variant, .. } in former {
            let running = (variant.note.snapshot.unwrap_or(*module), variant.pool.template().code());
            let blank = variant.blank.clone().map(|Blank(code)| (*module, code));
            shelf.at_hand.extend([running].into_iter().chain(blank).map(|(digest, code)| (digest, Ok(code))));
        }
        shelf
    }

    /// Whether this module was compiled before, and so had been validated before.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        matches!(self.at_hand.get(digest), Some(Ok(_))) || self.code.has(digest)
    }

    /// The code of what was compiled before.
    pub(super) fn find(&mut self, digest: &Digest) -> Option<Code> {
        if let Some(Ok(module)) = self.at_hand.get(digest) {
            return Some(module.clone());
        }
        let module = self.code.stored(digest)?;
        self.at_hand.insert(*digest, Ok(module.clone()));
        Some(module)
    }

    /// The code of something, compiled where it has to be.
    pub(super) fn code(&mut self, digest: &Digest, wasm: &[u8]) -> Result<Code, CompileError> {
        if let Some(Err(error)) = self.at_hand.get(digest) {
            return Err(error.clone());
        }
        if let Some(module) = self.find(digest) {
            return Ok(module);
        }
        let compiled = self.code.compile(digest, wasm, self.overtaken);
        self.at_hand.insert(*digest, compiled.clone());
        compiled
    }

    /// What was written down beside the code of something.
    pub(super) fn note(&self, key: &Digest) -> Option<Vec<u8>> {
        self.code.note(key)
    }

    pub(super) fn write_down(&self, key: &Digest, note: &[u8]) {
        self.code.write_down(key, note);
    }
}
