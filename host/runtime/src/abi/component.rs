//! The component ABI: a typed request goes in, a typed verdict comes out, by the canonical ABI of the component model.
//!
//! A component exports the interface [`JUDGE`] of `plugin-sdk/wit/policy.wit`. The request is given as an image of the record
//! ([`given`]); the verdict becomes the JSON that a core module would answer, so that one decoder checks both.

pub(super) mod given;
mod types;

use std::collections::BTreeSet;
use std::io;

use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker, TypedFunc};
use wasmtime::{Store, Trap, WasmBacktrace};

use self::types::{Request, Verdict};
use super::{Problem, bad_output, not_granted, refused_config};
use crate::engine::{Running, TABLE_ELEMENTS};
use crate::hostcalls::{self, HostSide, preview2};
use crate::inspect::{Inspection, Item};
use crate::set::Grant;
use crate::text::quoted;
use crate::verdict::{Failure, FailureKind};

/// The interface a policy exports.
const JUDGE: &str = "weir:policy/judge@1.0.0";
/// The interface of those who judge a window of requests.
const OBSERVER: &str = "weir:policy/observer@";
const CONFIGURE: &str = "configure";
const EVALUATE: &str = "evaluate";
/// Interfaces a component may import without a capability: it holds types alone.
const TYPES: &str = "weir:policy/types@1.0.0";
/// Interfaces by the capability they belong to.
const GRANTED: [(&str, Grant); 2] = [(hostcalls::LOG, Grant::Log), (hostcalls::STATE, Grant::State)];

/// What a component lacks to be run under this ABI; its types are checked when it is linked.
pub(super) fn check(component: &Inspection, granted: &impl Fn(Grant) -> bool) -> Vec<Problem> {
    /// A hostile component can have thousands of wrong imports.
    const EXAMPLES: usize = 20;
    let mut problems = Vec::new();
    if !component.exports.iter().any(|export| export.name == JUDGE) {
        let observes = component.exports.iter().any(|export| export.name.starts_with(OBSERVER));
        let help = observes.then(|| "windows of requests are not judged by this version".to_owned());
        problems.push((format!("export `{JUDGE}` is missing"), help));
    }
    problems.extend(component.imports.iter().filter_map(|import| import_problem(import, granted)).take(EXAMPLES));
    problems
}

fn import_problem(import: &Item, granted: &impl Fn(Grant) -> bool) -> Option<Problem> {
    if import.name == TYPES || preview2::has(&import.name) {
        return None;
    }
    match GRANTED.iter().find(|(interface, _)| *interface == import.name) {
        Some((_, grant)) => (!granted(*grant)).then(|| not_granted(&import.name, *grant)),
        None => {
            let known = GRANTED.map(|(interface, _)| format!("`{interface}`")).join(" and ");
            let why = format!("unknown import {}, a policy may import {known}", quoted(&import.name));
            Some((why, None))
        }
    }
}

/// A component that is linked, and where its functions are, resolved once.
pub(crate) struct Linked {
    pre: InstancePre<HostSide>,
    configure: ComponentExportIndex,
    evaluate: ComponentExportIndex,
    has_wasi: bool,
}

impl Linked {
    /// Links a component that has passed [`check`].
    pub(super) fn new(
        engine: &wasmtime::Engine,
        component: &Component,
        grants: &BTreeSet<Grant>,
    ) -> wasmtime::Result<Linked> {
        let mut linker = Linker::new(engine);
        hostcalls::link_component(&mut linker, grants)?;
        let has_wasi = preview2::link(&mut linker, component)?;
        let judge = component.get_export_index(None, JUDGE);
        let function = |name: &str| {
            let found = judge.as_ref().and_then(|judge| component.get_export_index(Some(judge), name));
            found.ok_or_else(|| wasmtime::Error::msg(format!("`{JUDGE}` has no function `{name}`")))
        };
        let (configure, evaluate) = (function(CONFIGURE)?, function(EVALUATE)?);
        Ok(Linked { pre: linker.instantiate_pre(component)?, configure, evaluate, has_wasi })
    }

    pub(super) fn component(&self) -> &Component {
        self.pre.component()
    }

    pub(super) fn has_clock(&self) -> bool {
        self.has_wasi
    }

    /// Instantiates the component and all modules in it.
    pub(super) async fn start(&self, store: &mut Store<HostSide>, running: Running) -> wasmtime::Result<Calls> {
        store.set_hostcall_fuel(hostcalls::LARGEST_LIFTED);
        store.set_max_component_handles(TABLE_ELEMENTS);
        let instance = match running {
            Running::Inline => self.pre.instantiate(&mut *store),
            Running::Fiber => self.pre.instantiate_async(&mut *store).await,
        };
        let instance = instance.map_err(|error| match error.is::<WasmBacktrace>() {
            true => crossing(error, || bad_output("too much at once")),
            // It was not the guest's code that could not go on.
            false => error,
        })?;
        let mut function = |index| {
            let found = instance.get_func(&mut *store, index);
            found.ok_or_else(|| bad_output(&format!("`{JUDGE}` holds what is no function")))
        };
        let (configure, evaluate) = (function(&self.configure)?, function(&self.evaluate)?);
        // What is not of its type is told while the set is loaded, since everything is started then.
        let of_type = |name: &str, error| bad_output(&format!("`{name}` of `{JUDGE}` is not of its type: {error:#}"));
        let configure = configure.typed(&*store).map_err(|error| of_type(CONFIGURE, error))?;
        let evaluate = evaluate.typed(&*store).map_err(|error| of_type(EVALUATE, error))?;
        Ok(Calls { instance, configure, evaluate })
    }
}

/// `configure` with its types, and `evaluate`: what they are asked is borrowed, for as long as a call takes.
type Configure<'a> = TypedFunc<(&'a str,), (Result<(), String>,)>;
type Evaluate<'a> = TypedFunc<(Request<'a>,), (Result<Verdict, String>,)>;

/// The ways to call a live instance.
pub(crate) struct Calls {
    pub(crate) instance: Instance,
    configure: Configure<'static>,
    evaluate: Evaluate<'static>,
}

impl Calls {
    /// Hands the policy its configuration.
    pub(super) async fn configure(
        &self,
        store: &mut Store<HostSide>,
        running: Running,
        config: &str,
    ) -> wasmtime::Result<()> {
        let configure: Configure<'_> = self.configure;
        let said = match running {
            Running::Inline => configure.call(&mut *store, (config,)),
            Running::Fiber => configure.call_async(&mut *store, (config,)).await,
        };
        let too_long = || bad_output("a reason of millions of bytes");
        let (said,) = said.map_err(|error| crossing(error, too_long))?;
        said.map_err(|why| refused_config(&why))
    }

    /// What is called for a verdict, and what it is asked, with room for its answer.
    fn question<'a>(
        &self,
        store: &mut Store<HostSide>,
        given: &'a [u8],
        longest: u64,
    ) -> wasmtime::Result<(Evaluate<'a>, Request<'a>)> {
        let request = given::read(given).ok_or_else(|| bad_output("what it is given is no request"))?;
        store.set_hostcall_fuel(hostcalls::largest_answer(longest));
        Ok((self.evaluate, request))
    }

    /// Asks for a verdict on the calling stack; the answer is its JSON.
    pub(super) fn judge(&self, store: &mut Store<HostSide>, given: &[u8], longest: u64) -> wasmtime::Result<Vec<u8>> {
        let (evaluate, request) = self.question(store, given, longest)?;
        answer(evaluate.call(&mut *store, (request,)), longest)
    }

    /// As [`Calls::judge`], on a stack of its own.
    pub(super) async fn judge_on_fiber(
        &self,
        store: &mut Store<HostSide>,
        given: &[u8],
        longest: u64,
    ) -> wasmtime::Result<Vec<u8>> {
        let (evaluate, request) = self.question(store, given, longest)?;
        answer(evaluate.call_async(&mut *store, (request,)).await, longest)
    }
}

/// The JSON of what a guest said. It can be many times as long as what the guest wrote, so it is bounded as it grows.
fn answer(said: wasmtime::Result<(Result<Verdict, String>,)>, longest: u64) -> wasmtime::Result<Vec<u8>> {
    /// An answer that says more than yes.
    const USUAL_ANSWER: usize = 256;
    #[derive(serde::Serialize)]
    struct Refusal {
        error: String,
    }
    let too_long = || bad_output(&format!("an answer of more than {longest} bytes, the limit (limit `output`)"));
    let (said,) = said.map_err(|error| crossing(error, too_long))?;
    let mut json = Bounded { bytes: Vec::with_capacity(USUAL_ANSWER), longest };
    let written = match said {
        Ok(verdict) => serde_json::to_writer(&mut json, &verdict),
        Err(error) => serde_json::to_writer(&mut json, &Refusal { error }),
    };
    written.map(|()| json.bytes).map_err(|_| too_long())
}

/// Bytes up to a number of them.
struct Bounded {
    bytes: Vec<u8>,
    longest: u64,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.longest {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error that is neither a trap nor the host's own word: what crossed between guest and host broke the canonical ABI, be it
/// an answer, or what the guest gave a function of the host.
/// `too_long` is said of an answer that is more than the host takes.
fn crossing(error: wasmtime::Error, too_long: impl Fn() -> wasmtime::Error) -> wasmtime::Error {
    /// How the engine says that a call carries too much, and that a table of handles is full; neither has a type.
    const EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";
    const FULL: &str = "store handle limit exceeded";
    if error.downcast_ref::<Trap>().is_some() || error.downcast_ref::<Failure>().is_some() {
        return error;
    }
    let why = error.chain().map(ToString::to_string).filter(|why| !why.starts_with("error while executing")).last();
    let why = why.unwrap_or_default();
    if why.ends_with(FULL) {
        let why = format!("limit {TABLE_ELEMENTS} resources");
        return wasmtime::Error::new(Failure::new(FailureKind::Memory, why));
    }
    let (is_call, is_too_long) = (error.is::<WasmBacktrace>(), why.ends_with(EXHAUSTED));
    match (is_call, is_too_long) {
        (true, true) => refused_call("more than the host takes in one call"),
        (true, false) => refused_call(&why),
        (false, true) => too_long(),
        (false, false) => bad_output(&why),
    }
}

fn refused_call(why: &str) -> wasmtime::Error {
    wasmtime::Error::new(Failure::new(FailureKind::RefusedHostCall, why))
}
