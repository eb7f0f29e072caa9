//! From bytes to policies that can judge, or one report of everything that keeps them from it.
//!
//! In order: what the bytes are made of, the ABI, the capabilities, the configuration, and only then the compiler; then
//! the policy is started once, configured, has to judge its own samples within its limits, and becomes a snapshot that
//! judges them as well; at last the whole set has to judge its own test cases as they say. What a former generation has in
//! common with this one is taken over as it is.
//!
//! Parts: [`checks`] what can be said without compiling, [`making`] from a module to a policy that can judge, [`samples`]
//! its own requests, [`cases`] the set's.

mod cases;
mod checks;
mod making;
mod samples;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;

use self::making::{Finished, Order};
use self::shelf::Shelf;
use crate::abi;
use crate::compile_worker::CompileError;
use crate::compiled::MachineCode;
use crate::digest::Digest;
use crate::generation::{Loaded, Policy};
use crate::inspect::{Abi, Inspection, Trust, survey};
use crate::loader::{self, Bundle};
use crate::manifest::Manifest;
use crate::plan::{Plan, PlannedLimits, PlannedPolicy};
use crate::pool::{Keeper, Pool};
use crate::rego;
use crate::rego::bundle::{self, Data, Unpacked};
use crate::report::{LoadError, Report};
use crate::restore::PAGE;
use crate::select::Scope;
use crate::set::{Binding, Grant, Isolation, Limits, Mode, OnFailure, Pattern, Set, canonical_json};
use crate::snapshot::instrument;
use crate::variant::Variant;
use crate::verdict::Effect;
use crate::wasi;

/// Looks at a module without compiling or running it.
///
/// # Errors
/// What keeps it from being a module this host would compile.
pub fn inspect(file: &[u8]) -> Result<Inspection, Vec<String>> {
    let unpacked = bundle::is_one(file).then(|| bundle::unpacked(file)).transpose().map_err(|why| vec![why])?;
    let wasm = unpacked.as_ref().map_or(file, |bundle| &bundle.wasm);
    let mut inspection = survey(wasm, Digest::of(file), Trust::Nobody)?;
    let adapted = module(wasm, inspection.digest, Trust::Validated)?;
    let problems = abi::check(&adapted.facts, |_| true);
    inspection.memory_bytes = adapted.facts.memory_bytes;
    inspection.problems = problems.into_iter().map(|(message, _)| message).collect();
    if inspection.abi == Abi::Rego {
        let listed = rego::listed(wasm);
        // What the set may grant is no reason to refuse it.
        let grants = BTreeSet::from([Grant::Rand, Grant::Uuid]);
        let missing = listed.builtins.iter().filter_map(|name| rego::why_not(name, &grants));
        inspection.problems.extend(missing.map(|why| format!("needs the built-in function {why}")));
        inspection.rego = Some(listed);
    }
    inspection.plain = instrument(adapted.wasm.as_deref().unwrap_or(wasm), &adapted.facts).err();
    Ok(inspection)
}

/// A module as it will be compiled: out of its bundle, with the stand-in for WASI where it asks for it.
fn looked_at(file: &[u8], digest: Digest, trust: impl Fn(&Digest) -> Trust) -> Result<Looked, Vec<String>> {
    if !bundle::is_one(file) {
        return module(file, digest, trust(&digest));
    }
    let Unpacked { wasm, data } = bundle::unpacked(file).map_err(|why| vec![why])?;
    let own = Digest::of(&wasm);
    match module(&wasm, digest, trust(&own))? {
        looked if looked.facts.abi == Abi::Rego => Ok(Looked { data, module: own, ..looked }),
        _ => Err(vec!["the `policy.wasm` of the bundle is no module of `opa build -t wasm`".to_owned()]),
    }
}

fn module(wasm: &[u8], digest: Digest, trust: Trust) -> Result<Looked, Vec<String>> {
    let facts = survey(wasm, digest, trust)?;
    let adapted = if facts.abi == Abi::Rego {
        Some(rego::adapted(wasm).map_err(|why| vec![why])?)
    } else {
        // Where it has no adapted form although it asks for WASI, why is told with all else that is wrong with its imports.
        let asks = facts.imports.iter().any(|import| wasi::is_of(&import.name));
        asks.then(|| wasi::adapted(wasm)).flatten()
    };
    let facts = adapted.as_ref().map_or(Ok(facts), |adapted| survey(adapted, digest, trust))?;
    let (validated, data) = (trust == Trust::Nobody, Data::new());
    Ok(Looked { facts, validated, wasm: adapted.map(Arc::from), module: digest, data })
}

/// What policies are made with: the same for all sets of a host.
pub(crate) struct Workshop {
    pub(crate) code: MachineCode,
    pub(crate) keeper: Arc<Keeper>,
    /// Whether policies become snapshots where they can.
    pub(crate) snapshots: bool,
}

/// Why a policy cannot be made.
enum Fault {
    /// The policy's fault.
    Policy(String),
    /// There is no machine code of it.
    Compile(CompileError),
    /// There is no snapshot of it: it can run without.
    Snapshot(String),
}

impl Fault {
    /// A snapshot that cannot be compiled. What the machine did may go better the next time.
    fn snapshot(error: CompileError) -> Fault {
        match error {
            CompileError::Module(_) => Fault::Snapshot(format!("its snapshot {error}")),
            CompileError::Host(_) => Fault::Compile(error),
        }
    }
}

/// Checks and compiles a whole bundle; what `former` generations have of it is not done again. Once it is `overtaken` nothing
/// more is compiled: the answer does not matter any more.
pub(crate) async fn prepare(
    workshop: &Workshop,
    bundle: &Bundle,
    former: &[Arc<Loaded>],
    overtaken: &dyn Fn() -> bool,
) -> Result<Loaded, Report> {
    let mut workbench = Workbench::new(workshop, bundle, former, overtaken);
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
    workshop: &'a Workshop,
    bundle: &'a Bundle,
    shelf: Shelf<'a>,
    /// Policies of former generations by what they are made of.
    former: BTreeMap<Ingredients<'a>, &'a Policy>,
    /// By path, or everything that is wrong with one.
    modules: BTreeMap<&'a str, Result<Looked, Vec<String>>>,
    /// By what they are made of: those made during this load, which other policies can share.
    made: BTreeMap<Ingredients<'a>, Arc<Variant>>,
}

/// A module before it is compiled.
struct Looked {
    facts: Inspection,
    /// Whether it was validated now, rather than by whoever compiled it.
    validated: bool,
    /// As it was adapted to the ABI it is run under; none where the module is compiled as it is.
    wasm: Option<Arc<[u8]>>,
    /// Digest of the module itself, which may lie in a bundle: other data need no other code.
    module: Digest,
    /// The data of its bundle.
    data: Data,
}

/// What a policy is made of: equal ingredients, equal policies.
type Ingredients<'a> = (Digest, Digest, Limits, &'a BTreeSet<Grant>, Isolation);

struct Prepared {
    policy: Policy,
    scope: Scope,
    planned: PlannedPolicy,
}

impl<'a> Workbench<'a> {
    fn new(
        workshop: &'a Workshop,
        bundle: &'a Bundle,
        former: &'a [Arc<Loaded>],
        overtaken: &'a dyn Fn() -> bool,
    ) -> Workbench<'a> {
        let former: Vec<&Policy> = former.iter().flat_map(|loaded| loaded.all_policies()).collect();
        let shelf = Shelf::new(&workshop.code, overtaken, &former);
        // Whatever was compiled had been validated before.
        let trust = |digest: &Digest| if shelf.knows(digest) { Trust::Validated } else { Trust::Nobody };
        let look = |module: &loader::Module| looked_at(&module.bytes, module.digest, trust);
        let look = |module: &Result<loader::Module, String>| match module {
            Ok(module) => look(module),
            Err(error) => Err(vec![error.clone()]),
        };
        let modules = bundle.modules.iter().map(|(path, module)| (path.as_str(), look(module))).collect();
        let former = former.into_iter().map(|policy| (policy.ingredients(), policy)).collect();
        Workbench { workshop, bundle, shelf, former, modules, made: BTreeMap::new() }
    }

    async fn prepare(&mut self, binding: &'a Binding) -> Result<Prepared, Report> {
        let bundle = self.bundle;
        let refused = |message: String| checks::refused(bundle, binding, short(message), None);
        let Looked { facts, validated, wasm, module, data } = self.modules[binding.module.as_str()]
            .as_ref()
            .map_err(|problems| Report::from(problems.iter().cloned().map(refused).collect::<Vec<LoadError>>()))?;
        let (facts, validated, module, adapted) = (facts.clone(), *validated, *module, wasm.clone());
        let mut manifest = facts.manifest.clone().unwrap_or_default();
        manifest.reads = manifest.reads.shaped(binding.input.clone());
        checks::check(self.bundle, binding, &facts, &manifest)?;
        let config = with_data(data, &binding.config).map_err(|why| Report::from(refused(why)))?;
        let digest = config_digest(&config, binding);
        let bytes = &self.bundle.modules[&binding.module].as_ref().expect("facts come with the bytes").bytes;
        let wasm = adapted.as_deref().unwrap_or(bytes);
        let (manifest, Workshop { code, snapshots, .. }) = (&manifest, self.workshop);
        let order = Order {
            code,
            snapshots: *snapshots,
            binding,
            wasm,
            facts: &facts,
            validated,
            manifest,
            module,
            config: &config,
            digest,
        };
        let variant = self.variant(binding, &order).await.map_err(|fault| match fault {
            Fault::Policy(message) | Fault::Snapshot(message) => Report::from(refused(message)),
            Fault::Compile(error) => {
                let transient = matches!(error, CompileError::Host(_));
                Report { transient, ..Report::from(refused(error.to_string())) }
            }
        })?;
        let checkpoints = checkpoints(binding, manifest);
        Ok(Prepared {
            planned: planned(binding, &facts, manifest, &checkpoints, &variant),
            scope: Scope { checkpoints, systems: binding.systems.clone(), when: binding.when.clone() },
            policy: Policy {
                name: binding.name.clone(),
                module: facts.digest,
                config: digest,
                shadow: binding.mode == Mode::Shadow,
                counts: binding.grants.contains(&Grant::State),
                on_failure: binding.on_failure.clone(),
                reads: manifest.reads.clone(),
                reading: 0,
                grants: binding.grants.clone(),
                asked: binding.isolation,
                variant,
            },
        })
    }

    /// The policy of these ingredients: a former generation's, one of this load, one that is stored, or a new one.
    async fn variant(&mut self, binding: &'a Binding, order: &Order<'_>) -> Result<Arc<Variant>, Fault> {
        let Binding { limits, grants, isolation, .. } = binding;
        let ingredients = (order.facts.digest, order.digest, *limits, grants, *isolation);
        if let Some(policy) = self.former.get(&ingredients) {
            return Ok(Arc::clone(&policy.variant));
        }
        if let Some(variant) = self.made.get(&ingredients) {
            return Ok(Arc::clone(variant));
        }
        let finished = match order.stored(&mut self.shelf).await {
            Some(finished) => finished,
            None => order.make(&mut self.shelf).await?,
        };
        let Finished { template, layout, note, blank } = finished;
        let pool = Pool::new(template, *isolation, layout, Arc::clone(&self.workshop.keeper));
        let variant = Arc::new(Variant { pool, note, blank });
        self.made.insert(ingredients, Arc::clone(&variant));
        Ok(variant)
    }
}

/// What a policy is configured by: its configuration, and for one of OPA's the data of its bundle in the same document.
fn with_data(data: &Data, config: &Value) -> Result<String, String> {
    let config = canonical_json(config);
    if data.is_empty() {
        return Ok(config);
    }
    let mut document = data.clone();
    if let weir_rego::Value::Object(members) = weir_rego::Value::from_json(&config)? {
        for (name, value) in members {
            if document.contains_key(&name) {
                let name = name.as_str().unwrap_or_default();
                return Err(format!("`{name}` of its configuration is in the data of its bundle already"));
            }
            document.insert(name, value);
        }
    }
    Ok(weir_rego::Value::Object(document).to_string())
}

/// Digest of all that a policy is configured by.
fn config_digest(config: &str, Binding { entrypoint, input, .. }: &Binding) -> Digest {
    match (entrypoint, input) {
        (None, None) => Digest::of(config.as_bytes()),
        _ => Digest::of(format!("{config}\nentrypoint {entrypoint:?}\ninput {input:?}").as_bytes()),
    }
}

/// What the engine says repeats names of the module's, which have up to 100,000 bytes.
fn short(mut message: String) -> String {
    const LONGEST: usize = 2_048;
    message.truncate(message.floor_char_boundary(LONGEST));
    message
}

impl Policy {
    fn ingredients(&self) -> Ingredients<'_> {
        (self.module, self.config, *self.variant.pool.template().limits(), &self.grants, self.asked)
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
    variant: &Variant,
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
        sample_fuel: variant.note.sample_fuel,
        isolation: variant.pool.isolation(),
        snapshot: variant.note.snapshot,
        plain: variant.note.plain.clone(),
        put_back_bytes: variant.note.pages.len() * PAGE,
        unrestorable: variant.note.unrestorable.clone(),
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
    if let Some(why) = &planned.plain {
        warnings.push(format!("policy `{}`: its evaluations start more slowly than they could: {why}", binding.name));
    }
    if planned.isolation == Isolation::Reuse {
        let name = &binding.name;
        warnings.push(format!("policy `{name}`: isolation `reuse` lets an evaluation find what others left behind"));
    }
    if planned.sample_fuel > binding.limits.fuel / 2 {
        let (took, limit) = (planned.sample_fuel, binding.limits.fuel);
        warnings
            .push(format!("policy `{}`: a sample took {took} of {limit} fuel, which leaves little", binding.name));
    }
    warnings
}
