//! Who turns Wasm into machine code, and what that may cost.
//!
//! Compiling is the hole in the sandbox: nothing bounds the time and memory a compiler takes for a hostile module. So a
//! host that loads modules it does not trust has them compiled in a child, which the kernel bounds.

use std::path::PathBuf;
use std::time::Instant;

use crate::compile_worker::{self, Code, CompileError, CompileLimits, Order};
use crate::engine::Engine;

/// Who turns Wasm into machine code.
#[derive(Debug, Clone, Default)]
pub struct Compiler {
    /// None: this process.
    child: Option<PathBuf>,
    limits: CompileLimits,
}

impl Compiler {
    /// This process: for modules from authors you trust, since compiling a hostile one takes time and memory.
    pub fn in_process() -> Compiler {
        Compiler::default()
    }

    /// A child for each module: `program compile-worker`, which is the command `weir`, or any program of yours that calls
    /// [`compile_worker`](crate::compile_worker()) and was built with the same version of this library.
    pub fn child(program: impl Into<PathBuf>) -> Compiler {
        Compiler { child: Some(program.into()), limits: CompileLimits::default() }
    }

    /// What a child may cost; without effect in this process.
    pub fn limits(self, limits: CompileLimits) -> Compiler {
        Compiler { limits, ..self }
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
        match &self.child {
            Some(program) => {
                let order = Order { limits: self.limits, engine: engine.name(), gently };
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
