//! What can be said of a policy without compiling it: its ABI, its capabilities, its bounds, its configuration.

use crate::abi;
use crate::inspect::{Abi, Inspection};
use crate::loader::Bundle;
use crate::manifest::Manifest;
use crate::report::{LoadError, Report, SetError};
use crate::schema::ConfigSchema;
use crate::set::{Binding, Place, is_checkpoint_name};
use crate::text::{one_line, quoted};

/// Why a policy cannot be loaded, at its table in the set.
pub(super) fn refused(bundle: &Bundle, binding: &Binding, message: String, help: Option<String>) -> LoadError {
    let (file, policy, Place { line, column }) = (bundle.file.clone(), binding.name.clone(), binding.place);
    LoadError { file, line, column, policy, message, help }
}

/// Everything that can be checked without compiling.
pub(super) fn check(
    bundle: &Bundle,
    binding: &Binding,
    facts: &Inspection,
    manifest: &Manifest,
) -> Result<(), Report> {
    /// A hostile manifest can be wrong a million times.
    const EXAMPLES: usize = 20;
    let mut report = Report::default();
    let mut refuse =
        |message: String, help: Option<String>| report.load.push(refused(bundle, binding, message, help));
    let problems = abi::check(facts, |grant| binding.grants.contains(&grant));
    problems.into_iter().for_each(|(message, help)| refuse(message, help));
    let granted = |wanted: &&String| binding.grants.iter().any(|grant| grant.as_str() == *wanted);
    for wanted in manifest.grants.iter().filter(|wanted| !granted(wanted)).take(EXAMPLES).map(|wanted| quoted(wanted))
    {
        let help = format!("if the policy may use it, add {wanted} to its `grants`");
        refuse(format!("its manifest asks for the capability {wanted}, which is not granted"), Some(help));
    }
    let for_rego = [("entrypoint", binding.entrypoint.is_some()), ("input", binding.input.is_some())];
    for (key, _) in for_rego.iter().filter(|(_, is_said)| *is_said && facts.abi != Abi::Rego) {
        refuse(format!("`{key}` is for modules of `opa build -t wasm`, and this is none"), None);
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
            load.push(refused(bundle, binding, message, None));
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
