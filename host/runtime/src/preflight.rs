//! From bytes to policies that can judge, or one report of everything that keeps them from it.
//!
//! In order: what the bytes are made of, the ABI, the capabilities, the configuration, and only then the compiler; then
//! the policy is started once, configured, and has to judge its own samples within its limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use wasmtime::Module;

use crate::abi;
use crate::digest::Digest;
use crate::engine::Engine;
use crate::generation::{Generation, Policy};
use crate::inspect::{Inspection, survey};
use crate::instance::{Template, Waiting};
use crate::loader::Bundle;
use crate::manifest::Manifest;
use crate::report::{LoadError, Report, SetError};
use crate::request::{Request, RequestLimits};
use crate::schema::ConfigSchema;
use crate::select::Scope;
use crate::set::{Binding, Grant, Mode, Pattern, canonical_json, is_checkpoint_name};
use crate::system::Case;
use crate::text::{one_line, quoted};
use crate::verdict;

/// What a set would run: the answer of `check`.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The set's name.
    pub set: String,
    /// Digest of everything in it.
    pub digest: Digest,
    /// Its policies, in the order of the set.
    pub policies: Vec<PlannedPolicy>,
}

/// One policy of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct PlannedPolicy {
    /// Its name in the set.
    pub name: String,
    /// Path of its module.
    pub module: String,
    /// Digest of the module.
    pub digest: Digest,
    /// `enforce`, `shadow` or `off`.
    pub mode: &'static str,
    /// Where it applies.
    pub checkpoints: Vec<String>,
    /// JSON pointers of what it is given; empty: the whole request.
    pub reads: Vec<String>,
    /// How many of its samples it judged.
    pub samples: usize,
    /// Most fuel one of its samples took.
    pub sample_fuel: u64,
    /// Its fuel limit.
    pub fuel_limit: u64,
}

/// Looks at a module without compiling or running it.
///
/// # Errors
/// What keeps it from being a module this host would compile.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, Vec<String>> {
    let mut inspection = survey(wasm)?;
    let problems = abi::core::check(&inspection, |_| true);
    inspection.problems = problems.into_iter().map(|(message, _)| message).collect();
    Ok(inspection)
}

/// Modules compiled during one load, by digest: a module that many policies share is compiled once.
type Compiled = BTreeMap<Digest, Module>;

/// Checks and compiles a whole bundle.
pub(crate) async fn prepare(engine: &Arc<Engine>, bundle: Bundle) -> Result<(Generation, Plan), Report> {
    let mut report = Report::default();
    let facts = inspect_all(&bundle);
    let mut compiled = Compiled::new();
    let mut policies = Vec::new();
    let mut scopes = Vec::new();
    let mut plan = Plan { set: bundle.set.name.clone(), digest: bundle.digest, policies: Vec::new() };
    for binding in &bundle.set.policies {
        match prepare_policy(engine, &bundle, binding, &facts[binding.module.as_str()], &mut compiled).await {
            Ok(prepared) => {
                plan.policies.push(prepared.planned);
                if binding.mode != Mode::Off {
                    scopes.push(prepared.scope);
                    policies.push(prepared.policy);
                }
            }
            Err(problems) => {
                report.set.extend(problems.set);
                report.load.extend(problems.load);
            }
        }
    }
    if !report.is_empty() {
        return Err(report);
    }
    Ok((Generation::new(&bundle.set, bundle.digest, policies, scopes), plan))
}

fn inspect_all(bundle: &Bundle) -> BTreeMap<&str, Result<Inspection, Vec<String>>> {
    let facts = |bytes: &Result<Vec<u8>, String>| match bytes {
        Ok(bytes) => survey(bytes),
        Err(error) => Err(vec![error.clone()]),
    };
    bundle.modules.iter().map(|(path, bytes)| (path.as_str(), facts(bytes))).collect()
}

struct Prepared {
    policy: Policy,
    scope: Scope,
    planned: PlannedPolicy,
}

async fn prepare_policy(
    engine: &Arc<Engine>,
    bundle: &Bundle,
    binding: &Binding,
    facts: &Result<Inspection, Vec<String>>,
    compiled: &mut Compiled,
) -> Result<Prepared, Report> {
    let refused = |message: String| LoadError { policy: binding.name.clone(), message, help: None };
    let facts = facts
        .as_ref()
        .map_err(|problems| Report::from(problems.iter().cloned().map(refused).collect::<Vec<LoadError>>()))?;
    let config = canonical_json(&binding.config);
    let manifest = facts.manifest.clone().unwrap_or_default();
    check(bundle, binding, facts, &manifest)?;
    let module = match compiled.get(&facts.digest) {
        Some(module) => module.clone(),
        None => {
            let bytes = bundle.modules[&binding.module].as_ref().map_err(|error| refused(error.clone()))?;
            let module = engine.compile(bytes).map_err(|error| refused(format!("cannot be compiled: {error:#}")))?;
            compiled.insert(facts.digest, module.clone());
            module
        }
    };
    let template = Template::new(Arc::clone(engine), &module, &binding.grants, binding.limits, &config)
        .map_err(|error| refused(format!("cannot be linked: {error:#}")))?;
    let sample_fuel = rehearse(&template, &manifest).await.map_err(refused)?;
    let checkpoints = checkpoints(binding, &manifest);
    Ok(Prepared {
        planned: PlannedPolicy {
            name: binding.name.clone(),
            module: binding.module.clone(),
            digest: facts.digest,
            mode: binding.mode.as_str(),
            checkpoints: checkpoints.iter().map(ToString::to_string).collect(),
            reads: manifest.reads.pointers().to_vec(),
            samples: manifest.samples.len(),
            sample_fuel,
            fuel_limit: binding.limits.fuel,
        },
        scope: Scope { checkpoints, systems: binding.systems.clone(), when: binding.when.clone() },
        policy: Policy {
            name: binding.name.clone(),
            module: facts.digest,
            config: Digest::of(config.as_bytes()),
            shadow: binding.mode == Mode::Shadow,
            on_failure: binding.on_failure.clone(),
            reads: manifest.reads.clone(),
            template,
        },
    })
}

/// Where a policy applies: the set's word, else the manifest's, else everywhere.
fn checkpoints(binding: &Binding, manifest: &Manifest) -> Vec<Pattern> {
    let own = || manifest.checkpoints.iter().flatten().map(|name| Pattern::new(name.as_str())).collect::<Vec<_>>();
    let checkpoints = binding.checkpoints.clone().unwrap_or_else(own);
    if checkpoints.is_empty() { vec![Pattern::new("*")] } else { checkpoints }
}

/// Everything that can be checked without compiling.
fn check(bundle: &Bundle, binding: &Binding, facts: &Inspection, manifest: &Manifest) -> Result<(), Report> {
    /// A hostile manifest can be wrong a million times.
    const EXAMPLES: usize = 20;
    let mut report = Report::default();
    let policy = || binding.name.clone();
    let mut refuse =
        |message: String, help: Option<String>| report.load.push(LoadError { policy: policy(), message, help });
    let problems = abi::core::check(facts, |grant| binding.grants.contains(&grant));
    problems.into_iter().for_each(|(message, help)| refuse(message, help));
    if binding.grants.contains(&Grant::State) {
        refuse("the capability `state` is not known by this version".to_owned(), None);
    }
    let granted = |wanted: &&String| binding.grants.iter().any(|grant| grant.as_str() == *wanted);
    for wanted in manifest.grants.iter().filter(|wanted| !granted(wanted)).take(EXAMPLES).map(|wanted| quoted(wanted))
    {
        let help = format!("if the policy may use it, add {wanted} to its `grants`");
        refuse(format!("its manifest asks for the capability {wanted}, which is not granted"), Some(help));
    }
    if facts.memory_bytes > binding.limits.memory_bytes {
        let (has, limit) = (facts.memory_bytes, binding.limits.memory_bytes);
        refuse(format!("its memory starts with {has} bytes, the limit is {limit} (limit `memory`)"), None);
    }
    let bad = manifest.checkpoints.iter().flatten().filter(|name| *name != "*" && !is_checkpoint_name(name));
    bad.take(EXAMPLES).for_each(|name| {
        refuse(format!("its manifest names the checkpoint {}, which is no dotted name", quoted(name)), None)
    });
    report.set = config_errors(bundle, binding, manifest, &mut report.load);
    if report.is_empty() { Ok(()) } else { Err(report) }
}

fn config_errors(
    bundle: &Bundle,
    binding: &Binding,
    manifest: &Manifest,
    load: &mut Vec<LoadError>,
) -> Vec<SetError> {
    let Some(schema) = &manifest.config else { return Vec::new() };
    let schema = match ConfigSchema::compile(schema.clone()) {
        Ok(schema) => schema,
        Err(error) => {
            let message = format!("the schema in its manifest is not valid: {}", one_line(&error, 1024));
            load.push(LoadError { policy: binding.name.clone(), message, help: None });
            return Vec::new();
        }
    };
    let error = |violation: crate::schema::Violation| {
        let place = binding.config_place(&violation.pointer);
        let at = if violation.pointer.is_empty() { String::new() } else { format!(" at `{}`", violation.pointer) };
        SetError {
            file: bundle.file.clone(),
            line: place.line,
            column: place.column,
            message: format!("configuration of policy `{}`{at}: {}", binding.name, violation.message),
            help: Some(format!("`weir inspect {}` shows the schema", binding.module)),
        }
    };
    schema.violations(&binding.config).into_iter().map(error).collect()
}

/// Starts the policy once, and lets it judge each of its samples. The answer is the most fuel one of them took.
async fn rehearse(template: &Template, manifest: &Manifest) -> Result<u64, String> {
    template.rehearse().await.map_err(|failure| format!("cannot be started: {failure}"))?;
    let mut most = 0;
    for (index, sample) in manifest.samples.iter().enumerate() {
        let request = Request::parse_within(sample.as_bytes(), &RequestLimits::default())
            .map_err(|error| format!("sample {index} of its manifest is no request: {error}"))?;
        let case = Case { request: &request, system: None };
        let run = template.run(&manifest.reads.cut(&case), Waiting::Nobody).await;
        most = most.max(run.fuel);
        let judged = run.answer.map_err(|failure| failure.to_string()).and_then(|answer| {
            verdict::decode(&answer, request.root(), |at| manifest.reads.may_edit(at))
                .map_err(|error| format!("bad_output at `{}`: {}", error.pointer, error.message))
        });
        match judged {
            Ok(verdict::Answer::Verdict(_)) => {}
            Ok(verdict::Answer::Error(error)) => {
                return Err(format!("sample {index} of its manifest: guest_error: {error}"));
            }
            Err(error) => return Err(format!("sample {index} of its manifest: {error}")),
        }
    }
    Ok(most)
}
