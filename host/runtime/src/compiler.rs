//! Who turns Wasm into machine code, and what that may cost.
//!
//! Compiling is the hole in the sandbox: nothing bounds the time and memory a compiler takes for a hostile module. So a
//! host that loads modules it does not trust has them compiled in a child, which the kernel bounds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::compile_worker::{self, Code, CompileError, CompileLimits, Order};
use crate::engine::Engine;

/// Who turns Wasm into machine code.
#[derive(Clone, Default)]
pub struct Compiler {
    /// None: this process.
    child: Option<PathBuf>,
    limits: CompileLimits,
    /// Who is told what is being compiled.
    told: Option<Arc<dyn Fn(Compiling) + Send + Sync>>,
}

/// Something that is being compiled, for whoever shows progress: large components take many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiling {
    /// It has begun.
    Begun {
        /// Bytes of Wasm.
        bytes: usize,
    },
    /// It is over, well or not.
    Ended {
        /// Bytes of Wasm.
        bytes: usize,
        /// How long it took on the clock.
        took: Duration,
    },
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compiler { child, limits, told } = self;
        let told = told.is_some();
        f.debug_struct("Compiler").field("child", child).field("limits", limits).field("told", &told).finish()
    }
}

impl Compiler {
    /// This process: for modules from authors you trust, since compiling a hostile one takes time and memory.
    pub fn in_process() -> Compiler {
        Compiler::default()
    }

    /// A child for each module: `program compile-worker`, which is the command `weir`, or any program of yours that calls
    /// [`compile_worker`](crate::compile_worker()) and was built with the same version of this library.
    pub fn child(program: impl Into<PathBuf>) -> Compiler {
        Compiler { child: Some(program.into()), ..Compiler::default() }
    }

    /// What a child may cost; without effect in this process.
    pub fn limits(self, limits: CompileLimits) -> Compiler {
        Compiler { limits, ..self }
    }

    /// Tells somebody what is being compiled, from the thread that loads a set.
    pub fn on_compile(self, told: impl Fn(Compiling) + Send + Sync + 'static) -> Compiler {
        Compiler { told: Some(Arc::new(told)), ..self }
    }

    /// Compiles a module that has passed the static checks, `gently` where somebody is being judged meanwhile. Blocks for
    /// milliseconds to minutes; a child is ended as soon as the module is `overtaken`.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        wasm: &[u8],
        gently: bool,
        overtaken: &dyn Fn() -> bool,
    ) -> Result<Code, CompileError> {
        let (started, bytes) = (Instant::now(), wasm.len());
        let tell = |compiling| self.told.iter().for_each(|told| told(compiling));
        tell(Compiling::Begun { bytes });
        let code = self.compile_now(engine, wasm, gently, overtaken);
        tell(Compiling::Ended { bytes, took: started.elapsed() });
        code
    }

    fn compile_now(
        &self,
        engine: &Engine,
        wasm: &[u8],
        gently: bool,
        overtaken: &dyn Fn() -> bool,
    ) -> Result<Code, CompileError> {
        match &self.child {
            Some(program) => {
                let order = Order { limits: self.limits.of(wasm.len()), engine: engine.name(), gently };
                compile_worker::ask(program, order, wasm, overtaken)
            }
            None => {
                let started = Instant::now();
                let bytes = engine.precompile(wasm).map_err(|error| CompileError::Module(format!("{error:#}")))?;
                Ok(Code { bytes, cpu: started.elapsed(), peak_bytes: 0 })
            }
        }
    }
}
