//! From bytes to policies that can judge, or one report of everything that keeps them from it.
//!
//! In order: what the bytes are made of, the ABI, the capabilities, the configuration, and only then the compiler; then
//! the policy is started once, configured, and has to judge its own samples within its limits; at last the whole set has
//! to judge its own test cases as they say. What a former generation has in common with this one is taken over as it is.
//!
//! Parts: [`checks`] what can be said without compiling, [`samples`] a policy's own requests, [`cases`] the set's.

mod cases;
mod checks;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;
use wasmtime::Module;

use crate::abi;
use crate::compile_worker::CompileError;
use crate::compiled::MachineCode;
use crate::digest::Digest;
use crate::generation::{Loaded, Policy};
use crate::inspect::{Inspection, Trust, survey};
use crate::instance::Template;
use crate::loader::{self, Bundle};
use crate::manifest::Manifest;
use crate::plan::{Plan, PlannedLimits, PlannedPolicy};
use crate::report::{LoadError, Report};
use crate::select::Scope;
use crate::set::{Binding, Grant, Limits, Mode, OnFailure, Pattern, Set, canonical_json};
use crate::verdict::Effect;

/// Looks at a module without compiling or running it.
///
/// # Errors
/// What keeps it from being a module this host would compile.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, Vec<String>> {
    let mut inspection = survey(wasm, Digest::of(wasm), Trust::Nobody)?;
    let problems = abi::core::check(&inspection, |_| true);
    inspection.problems = problems.into_iter().map(|(message, _)| message).collect();
    Ok(inspection)
}

/// Checks and compiles a whole bundle; what `former` generations have of it is not done again. Once it is `overtaken` nothing
/// more is compiled: the answer does not matter any more.
pub(crate) async fn prepare(
    code: &MachineCode,
    bundle: &Bundle,
    former: &[Arc<Loaded>],
    overtaken: &dyn Fn() -> bool,
) -> Result<Loaded, Report> {
    let mut workbench = Workbench::new(code, bundle, former, overtaken);
    let mut report = Report::default();
    let (mut policies, mut scopes, mut resting) = (Vec::new(), Vec::new(), Vec::new());
    let mut plan = described(&bundle.set, bundle.digest);
    for binding in &bundle.set.policies {
        match workbench.prepare(binding).await {
            Ok(prepared) => {
                plan.warnings.extend(warnings(binding, &prepared.planned));
                plan.policies.push(prepared.planned);
                if binding.mode == Mode::Off {
                    resting.push(prepared.policy);
                } else {
                    scopes.push(prepared.scope);
                    policies.push(prepared.policy);
                }
            }
            Err(problems) => report.extend(problems),
        }
    }
    if !report.is_empty() {
        return Err(report);
    }
    if !bundle.set.policies.iter().any(|binding| binding.mode == Mode::Enforce) {
        plan.warnings.push("no policy of the set is enforced".to_owned());
    }
    let loaded = Loaded::new(&bundle.set, plan, (policies, scopes), resting);
    let cases = cases::judge(&loaded, &bundle.cases).await?;
    Ok(loaded.with_cases(cases))
}

/// What one load works with.
struct Workbench<'a> {
    code: &'a MachineCode,
    bundle: &'a Bundle,
    overtaken: &'a dyn Fn() -> bool,
    /// Policies of former generations by what their templates are made of.
    former: BTreeMap<Ingredients<'a>, &'a Policy>,
    /// By path, or everything that is wrong with one.
    modules: BTreeMap<&'a str, Result<Looked, Vec<String>>>,
    /// Modules compiled during this load, by digest: a module that many policies share is compiled once, and one that
    /// cannot be is tried once.
    compiled: BTreeMap<Digest, Result<Module, CompileError>>,
}

/// What is known of a module before it is compiled.
struct Looked {
    /// Its machine code, where there is some already.
    code: Option<Module>,
    facts: Inspection,
}

/// What a template is made of: equal ingredients, equal templates.
type Ingredients<'a> = (Digest, Digest, Limits, &'a BTreeSet<Grant>);

struct Prepared {
    policy: Policy,
    scope: Scope,
    planned: PlannedPolicy,
}

impl<'a> Workbench<'a> {
    fn new(
        code: &'a MachineCode,
        bundle: &'a Bundle,
        former: &'a [Arc<Loaded>],
        overtaken: &'a dyn Fn() -> bool,
    ) -> Workbench<'a> {
        let former: Vec<&Policy> = former.iter().flat_map(|loaded| loaded.all_policies()).collect();
        let loaded: BTreeMap<Digest, &Policy> = former.iter().map(|policy| (policy.module, *policy)).collect();
        let look = |module: &loader::Module| {
            let loaded = loaded.get(&module.digest).map(|policy| policy.template.module().clone());
            let code = loaded.or_else(|| code.stored(&module.digest));
            // Whatever was compiled had been validated before.
            let trust = if code.is_some() { Trust::Validated } else { Trust::Nobody };
            survey(&module.bytes, module.digest, trust).map(|facts| Looked { code, facts })
        };
        let look = |module: &Result<loader::Module, String>| match module {
            Ok(module) => look(module),
            Err(error) => Err(vec![error.clone()]),
        };
        let modules = bundle.modules.iter().map(|(path, module)| (path.as_str(), look(module))).collect();
        let former = former.into_iter().map(|policy| (policy.ingredients(), policy)).collect();
        Workbench { code, bundle, overtaken, former, modules, compiled: BTreeMap::new() }
    }

    async fn prepare(&mut self, binding: &Binding) -> Result<Prepared, Report> {
        let refused = |message: String| LoadError { policy: binding.name.clone(), message, help: None };
        let Looked { facts, .. } = self.modules[binding.module.as_str()]
            .as_ref()
            .map_err(|problems| Report::from(problems.iter().cloned().map(refused).collect::<Vec<LoadError>>()))?;
        let facts = facts.clone();
        let manifest = facts.manifest.clone().unwrap_or_default();
        checks::check(self.bundle, binding, &facts, &manifest)?;
        let config = canonical_json(&binding.config);
        let digest = Digest::of(config.as_bytes());
        let former = self.former.get(&(facts.digest, digest, binding.limits, &binding.grants));
        let (template, sample_fuel) = match former {
            Some(policy) => (Arc::clone(&policy.template), policy.sample_fuel),
            None => {
                let module = self.module(binding, &facts)?;
                let engine = Arc::clone(self.code.engine());
                let template = Template::new(engine, &module, &binding.grants, binding.limits, &config)
                    .map_err(|error| refused(format!("cannot be linked: {error:#}")))?;
                let sample_fuel = samples::judge(&template, &manifest).await.map_err(refused)?;
                (Arc::new(template), sample_fuel)
            }
        };
        let checkpoints = checkpoints(binding, &manifest);
        Ok(Prepared {
            planned: planned(binding, &facts, &manifest, &checkpoints, sample_fuel),
            scope: Scope { checkpoints, systems: binding.systems.clone(), when: binding.when.clone() },
            policy: Policy {
                name: binding.name.clone(),
                module: facts.digest,
                config: digest,
                shadow: binding.mode == Mode::Shadow,
                on_failure: binding.on_failure.clone(),
                reads: manifest.reads.clone(),
                grants: binding.grants.clone(),
                template,
                sample_fuel,
            },
        })
    }

    /// The machine code of a policy's module, compiled where it has to be.
    fn module(&mut self, binding: &Binding, facts: &Inspection) -> Result<Module, Report> {
        if let Ok(Looked { code: Some(module), .. }) = &self.modules[binding.module.as_str()] {
            return Ok(module.clone());
        }
        let compiled = self.compiled.entry(facts.digest).or_insert_with(|| {
            let module = self.bundle.modules[&binding.module].as_ref().expect("facts come with the bytes");
            self.code.compile(&module.digest, &module.bytes, self.overtaken)
        });
        compiled.clone().map_err(|error| {
            let transient = matches!(error, CompileError::Host(_));
            let error = LoadError { policy: binding.name.clone(), message: error.to_string(), help: None };
            Report { transient, ..Report::from(error) }
        })
    }
}

impl Policy {
    fn ingredients(&self) -> Ingredients<'_> {
        (self.module, self.config, self.template.limits(), &self.grants)
    }
}

/// Where a policy applies: the set's word, else the manifest's, else everywhere.
fn checkpoints(binding: &Binding, manifest: &Manifest) -> Vec<Pattern> {
    let own = || manifest.checkpoints.iter().flatten().map(|name| Pattern::new(name.as_str())).collect::<Vec<_>>();
    let checkpoints = binding.checkpoints.clone().unwrap_or_else(own);
    if checkpoints.is_empty() { vec![Pattern::new("*")] } else { checkpoints }
}

/// What a set says outside of its policies.
fn described(set: &Set, digest: Digest) -> Plan {
    fn value(entry: &impl Serialize) -> Value {
        serde_json::to_value(entry).expect("settings always serialise")
    }
    Plan {
        owner: set.owner.clone(),
        systems: set.systems.iter().map(|(name, system)| (name.clone(), value(system))).collect(),
        checkpoints: set.checkpoints.iter().map(|(name, checkpoint)| (name.clone(), value(checkpoint))).collect(),
        tenants: set.tenants.iter().map(|tenant| (tenant.pattern.to_string(), value(tenant))).collect(),
        ..Plan::of(&set.name, digest)
    }
}

fn planned(
    binding: &Binding,
    facts: &Inspection,
    manifest: &Manifest,
    checkpoints: &[Pattern],
    sample_fuel: u64,
) -> PlannedPolicy {
    let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
    let limits = binding.limits;
    PlannedPolicy {
        name: binding.name.clone(),
        module: binding.module.clone(),
        digest: facts.digest,
        owner: binding.owner.clone(),
        mode: binding.mode.as_str(),
        checkpoints: texts(checkpoints),
        systems: texts(&binding.systems),
        when: binding.when.iter().map(|(key, patterns)| (key.clone(), texts(patterns))).collect(),
        reads: manifest.reads.pointers().to_vec(),
        grants: binding.grants.iter().map(|grant| grant.as_str()).collect(),
        on_failure: on_failure(&binding.on_failure),
        limits: PlannedLimits {
            fuel: limits.fuel,
            memory_bytes: limits.memory_bytes,
            deadline_ms: limits.deadline.as_millis() as u64,
            output_bytes: limits.output_bytes,
            host_calls: limits.host_calls,
        },
        config: binding.config.clone(),
        samples: manifest.samples.len(),
        sample_fuel,
    }
}

fn on_failure(on_failure: &OnFailure) -> String {
    match on_failure.until {
        Some(until) => format!("{} until {until}", on_failure.effect),
        None => on_failure.effect.to_string(),
    }
}

/// What a policy's author or operator probably did not mean.
fn warnings(binding: &Binding, planned: &PlannedPolicy) -> Vec<String> {
    let mut warnings = Vec::new();
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    if binding.on_failure.effect < Effect::Deny && binding.on_failure.until.is_some_and(|until| until < today) {
        warnings.push(format!("policy `{}`: its `on_failure` has expired, so a failure denies", binding.name));
    }
    if planned.sample_fuel > binding.limits.fuel / 2 {
        let (took, limit) = (planned.sample_fuel, binding.limits.fuel);
        warnings
            .push(format!("policy `{}`: a sample took {took} of {limit} fuel, which leaves little", binding.name));
    }
    warnings
}
