//! Machine code of modules: from the store where it is there and authentic, else from the compiler and then stored.
//!
//! INVARIANT: whatever is loaded here came from our own compiler, for this engine, and nobody else has touched it since.
//! Loading machine code is running it: this file and `restore` are the ones that say `unsafe`, and [`store`] is why this one may.

mod store;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use wasmtime::component::Component;
use wasmtime::{Module, Precompiled};

use self::store::Store;
pub(crate) use self::store::StoreError;
use crate::compile_worker::CompileError;
use crate::compiler::Compiler;
use crate::digest::Digest;
use crate::engine::{Code, Engine};

/// What is written beside the code of a component, whose file cannot be asked without being opened once more.
const COMPONENT: &[u8] = b"component";

/// Where machine code comes from.
pub(crate) struct MachineCode {
    engine: Arc<Engine>,
    compiler: Compiler,
    store: Option<Store>,
    /// Whether a generation is in force, and a compiler has to stand back.
    in_use: AtomicBool,
    counters: CodeCounters,
}

/// What compiling has cost so far.
#[derive(Default)]
pub(crate) struct CodeCounters {
    pub(crate) compilations: AtomicU64,
    /// Modules that could not be compiled.
    pub(crate) failures: AtomicU64,
    pub(crate) cpu_micros: AtomicU64,
    /// Most memory one child had.
    pub(crate) peak_bytes: AtomicU64,
    /// Modules loaded from the store.
    pub(crate) store_hits: AtomicU64,
    /// Times the store could not keep something, or had something that is not ours.
    pub(crate) store_faults: AtomicU64,
}

/// The machine code of a module that is not configured: what each of its configurations begins with.
#[derive(Clone)]
pub(crate) struct Blank(pub(crate) Code);

impl MachineCode {
    /// With a store in a folder, where one is named.
    pub(crate) fn new(
        engine: Arc<Engine>,
        compiler: Compiler,
        folder: Option<&Path>,
    ) -> Result<MachineCode, StoreError> {
        let store = folder.map(|folder| Store::open(folder, engine.name())).transpose()?;
        Ok(MachineCode { engine, compiler, store, in_use: AtomicBool::new(false), counters: CodeCounters::default() })
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// From now on somebody is judged while others are compiled.
    pub(crate) fn is_in_use(&self) {
        self.in_use.store(true, Relaxed);
    }

    pub(crate) fn counters(&self) -> &CodeCounters {
        &self.counters
    }

    /// Whether code was kept under this key on this machine, under these settings. What is kept is found to be authentic
    /// only when it is loaded.
    pub(crate) fn has(&self, key: &Digest) -> bool {
        self.store.as_ref().is_some_and(|store| store.has(key))
    }

    /// The code of what was compiled before on this machine, under these settings.
    pub(crate) fn stored(&self, digest: &Digest) -> Option<Code> {
        let module =
            self.found(|store| store.find(digest)?.map(|(file, note)| self.open(file, &note)).transpose())?;
        self.counters.store_hits.fetch_add(1, Relaxed);
        Some(module)
    }

    /// What was written down under a key on this machine, under these settings.
    pub(crate) fn note(&self, key: &Digest) -> Option<Vec<u8>> {
        self.found(|store| Ok(store.find(key)?.map(|(_, note)| note)))
    }

    /// What the store has of something. What cannot be used is made anew and replaced.
    fn found<T>(&self, find: impl FnOnce(&Store) -> std::io::Result<Option<T>>) -> Option<T> {
        find(self.store.as_ref()?).unwrap_or_else(|_| {
            self.counters.store_faults.fetch_add(1, Relaxed);
            None
        })
    }

    /// Compiles a module that has passed the static checks, and stores its code. This takes milliseconds to minutes; nothing
    /// is compiled that is `overtaken`.
    pub(crate) fn compile(
        &self,
        digest: &Digest,
        wasm: &[u8],
        overtaken: &dyn Fn() -> bool,
    ) -> Result<Code, CompileError> {
        if overtaken() {
            return Err(CompileError::overtaken());
        }
        let CodeCounters { compilations, failures, cpu_micros, peak_bytes, .. } = &self.counters;
        compilations.fetch_add(1, Relaxed);
        let gently = self.in_use.load(Relaxed);
        let code = self.compiler.compile(&self.engine, wasm, gently, overtaken).inspect_err(|_| {
            failures.fetch_add(1, Relaxed);
        })?;
        cpu_micros.fetch_add(code.cpu.as_micros() as u64, Relaxed);
        peak_bytes.fetch_max(code.peak_bytes, Relaxed);
        let module = self.load(&code.bytes).map_err(|error| CompileError::Module(format!("{error:#}")))?;
        let note: &[u8] = if matches!(module, Code::Component(_)) { COMPONENT } else { b"" };
        self.keep(digest, &code.bytes, note);
        Ok(module)
    }

    /// Writes something down under a key, for the next start.
    pub(crate) fn write_down(&self, key: &Digest, note: &[u8]) {
        self.keep(key, b"", note);
    }

    fn keep(&self, key: &Digest, code: &[u8], note: &[u8]) {
        if let Some(store) = &self.store
            && store.keep(key, code, note).is_err()
        {
            // A full disk costs time at the next start, and nothing now.
            self.counters.store_faults.fetch_add(1, Relaxed);
        }
    }

    #[expect(unsafe_code, reason = "machine code is loaded here and nowhere else")]
    #[expect(clippy::disallowed_methods, reason = "this is the file that may")]
    fn open(&self, file: File, note: &[u8]) -> std::io::Result<Code> {
        let engine = self.engine.wasmtime();
        // SAFETY: `Store::find` has authenticated every byte of this open file with a key that only this user can read,
        // under a name that holds the digest of the module and the engine's settings; `Store::keep` wrote it from what
        // our own compiler gave. The file has never had a writer under this name: entries are renamed into place whole,
        // and removed, never changed; the folder lets nobody else in.
        let code = if note == COMPONENT {
            // The file that was checked, whatever has its name by now: wasmtime opens components by their path alone.
            let same = format!("/proc/self/fd/{}", file.as_raw_fd());
            unsafe { Component::deserialize_file(engine, &same) }.map(Code::Component)
        } else {
            unsafe { Module::deserialize_open_file(engine, file) }.map(Code::Module)
        };
        code.map_err(|error| std::io::Error::other(format!("{error:#}")))
    }

    #[expect(unsafe_code, reason = "machine code is loaded here and nowhere else")]
    #[expect(clippy::disallowed_methods, reason = "this is the file that may")]
    fn load(&self, code: &[u8]) -> wasmtime::Result<Code> {
        let engine = self.engine.wasmtime();
        // SAFETY: these bytes come from our compiler: this process, or a child of the program its embedder named, which
        // said that it is the same version with the same settings, over a pipe that nobody else has.
        match wasmtime::Engine::detect_precompiled(code) {
            Some(Precompiled::Component) => unsafe { Component::deserialize(engine, code) }.map(Code::Component),
            _ => unsafe { Module::deserialize(engine, code) }.map(Code::Module),
        }
    }
}
