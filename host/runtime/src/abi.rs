//! The ways to talk to a guest. What a policy is made of tells them apart: a core module or a component.

pub(crate) mod component;
pub(crate) mod core;
mod rego;

use std::collections::BTreeSet;

use wasmtime::{Store, Val};

pub(crate) use self::core::Input;
use crate::engine::{Code, Running};
use crate::hostcalls::HostSide;
use crate::inspect::{Abi, Inspection};
use crate::reads::Reads;
use crate::set::Grant;
use crate::system::Case;
use crate::text::quoted;
use crate::verdict::{Failure, FailureKind};

/// What keeps a module from being run, and the way out where there is one.
pub(crate) type Problem = (String, Option<String>);

/// What a module lacks to be run under its ABI, all at once.
pub(crate) fn check(module: &Inspection, granted: impl Fn(Grant) -> bool) -> Vec<Problem> {
    let mut problems = match module.abi {
        Abi::Core | Abi::Rego => core::check(module, &granted),
        Abi::Component => component::check(module, &granted),
    };
    let named = module.manifest.as_ref().and_then(|manifest| manifest.abi.as_ref());
    if let Some(named) = named.filter(|named| **named != module.abi.to_string()) {
        problems.push((format!("the manifest names the ABI {}, but it is `{}`", quoted(named), module.abi), None));
    }
    problems
}

fn not_granted(import: &str, grant: Grant) -> Problem {
    let grant = grant.as_str();
    let help = format!("if the policy may use it, add grants = [\"{grant}\"]");
    (format!("import `{import}` is not granted"), Some(help))
}

/// Compiled code, linked with the capabilities it is granted.
pub(crate) enum Linked {
    Core(core::Linked),
    Component(component::Linked),
}

impl Linked {
    /// Links what has passed [`check`].
    pub(crate) fn new(engine: &wasmtime::Engine, code: &Code, grants: &BTreeSet<Grant>) -> wasmtime::Result<Linked> {
        Ok(match code {
            Code::Module(module) => Linked::Core(core::Linked::new(engine, module, grants)?),
            Code::Component(component) => Linked::Component(component::Linked::new(engine, component, grants)?),
        })
    }

    /// What it was linked from.
    pub(crate) fn code(&self) -> Code {
        match self {
            Linked::Core(linked) => Code::Module(linked.module().clone()),
            Linked::Component(linked) => Code::Component(linked.component().clone()),
        }
    }

    /// Whether it has a clock and random numbers.
    pub(crate) fn has_clock(&self) -> bool {
        match self {
            Linked::Core(linked) => linked.has_clock(),
            Linked::Component(linked) => linked.has_clock(),
        }
    }

    /// Whether it is given JSON.
    pub(crate) fn takes_json(&self) -> bool {
        matches!(self, Linked::Core(_))
    }

    /// What a policy with these reads is given of a request.
    pub(crate) fn given(&self, reads: &Reads, case: &Case<'_>) -> Vec<u8> {
        match self {
            Linked::Core(_) => reads.cut(case),
            Linked::Component(_) => component::given::write(reads, case),
        }
    }

    /// Instantiates it, which runs what it runs at its start.
    pub(crate) async fn start(
        &self,
        mut store: Store<HostSide>,
        running: Running,
    ) -> Result<Guest, (Store<HostSide>, wasmtime::Error)> {
        let calls = match self {
            Linked::Core(linked) => linked.start(&mut store, running).await.map(Calls::Core),
            Linked::Component(linked) => linked.start(&mut store, running).await.map(Calls::Component),
        };
        match calls {
            Ok(calls) => Ok(Guest { store, calls }),
            Err(error) => Err((store, error)),
        }
    }

    /// Hands an instance of it its configuration.
    pub(crate) async fn configure(
        &self,
        Guest { store, calls }: &mut Guest,
        running: Running,
        config: &str,
    ) -> wasmtime::Result<()> {
        match (self, calls) {
            (Linked::Core(linked), Calls::Core(calls)) => {
                linked.configure((store, calls), running, config.as_bytes()).await
            }
            (Linked::Component(_), Calls::Component(calls)) => calls.configure(store, running, config).await,
            _ => unreachable!("an instance is of the kind of what it was made from"),
        }
    }
}

/// A live instance and the way to call it. After an error it must not be called again.
pub(crate) struct Guest {
    pub(crate) store: Store<HostSide>,
    calls: Calls,
}

enum Calls {
    Core(core::Calls),
    Component(component::Calls),
}

impl Guest {
    /// Asks for a verdict on the calling stack; where `takes` does not let the input be written where the guest wants it, the
    /// answer is that place. The memories of components are never protected, so they take every input.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        given: &[u8],
        longest: u64,
        takes: impl Fn(Input) -> bool,
    ) -> wasmtime::Result<Result<Vec<u8>, Input>> {
        match &self.calls {
            Calls::Core(calls) => calls.judge(&mut self.store, given, longest, takes),
            Calls::Component(calls) => calls.judge(&mut self.store, given, longest).map(Ok),
        }
    }

    /// As [`Guest::judge`], on a stack of its own.
    pub(crate) async fn judge_on_fiber(
        &mut self,
        given: &[u8],
        longest: u64,
        takes: impl Fn(Input) -> bool,
    ) -> wasmtime::Result<Result<Vec<u8>, Input>> {
        match &self.calls {
            Calls::Core(calls) => calls.judge_on_fiber(&mut self.store, given, longest, takes).await,
            Calls::Component(calls) => calls.judge_on_fiber(&mut self.store, given, longest).await.map(Ok),
        }
    }

    /// Bytes of linear memory the guest has grown to; of all memories of a component together.
    #[inline]
    pub(crate) fn memory_bytes(&self) -> u64 {
        match &self.calls {
            Calls::Core(calls) => calls.memory().data_size(&self.store) as u64,
            Calls::Component(_) => self.store.data().memory_in_use(),
        }
    }

    /// The memory of a core module as it is now; nothing of a component, which shows none.
    pub(crate) fn memory(&self) -> &[u8] {
        match &self.calls {
            Calls::Core(calls) => calls.memory().data(&self.store),
            Calls::Component(_) => &[],
        }
    }

    /// The same memory, to be changed where its pages can be written.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        match &self.calls {
            Calls::Core(calls) => calls.memory().data_mut(&mut self.store),
            Calls::Component(_) => &mut [],
        }
    }

    /// The value of a global that a core module exports.
    pub(crate) fn global(&mut self, name: &str) -> Option<Val> {
        match &self.calls {
            Calls::Core(calls) => calls.global(&mut self.store, name),
            Calls::Component(_) => None,
        }
    }

    /// What a module of OPA's tells of itself, by an export of [`rego`](crate::rego).
    pub(crate) async fn told(&mut self, running: Running, export: &str) -> wasmtime::Result<Vec<u8>> {
        match &self.calls {
            Calls::Core(calls) => calls.told(&mut self.store, running, export).await,
            Calls::Component(_) => Ok(Vec::new()),
        }
    }

    /// What a component is called by.
    pub(crate) fn component(&mut self) -> Option<(&mut Store<HostSide>, &component::Calls)> {
        match &self.calls {
            Calls::Core(_) => None,
            Calls::Component(calls) => Some((&mut self.store, calls)),
        }
    }
}

fn bad_output(why: &str) -> wasmtime::Error {
    wasmtime::Error::new(Failure::new(FailureKind::BadOutput, why))
}

fn refused_config(why: &str) -> wasmtime::Error {
    wasmtime::Error::new(Failure::new(FailureKind::GuestError, format!("the configuration was refused: {why}")))
}

fn too_long(length: u64, longest: u64) -> String {
    format!("an answer of {length} bytes, the limit is {longest} (limit `output`)")
}
