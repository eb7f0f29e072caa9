//! What each table of `weir.toml` means.
//!
//! Everything starts at its default and is replaced by what the file says, so a value that is wrong leaves the
//! default behind and the walk goes on; [`Errors::finish`] then lets nothing of it out.

use std::collections::BTreeMap;

use jiff::civil::Date;
use toml::de::{DeTable, DeValue};

use super::reader::{Errors, Table, Value, Word, assign};
use super::scope::{is_checkpoint_name, is_checkpoint_pattern, is_free_name, is_policy_name, path_fault};
use super::{
    Binding, Checkpoint, Class, Durability, Grant, Isolation, Mode, OnFailure, Pattern, Set, System, Tenant,
    WhenRecordFails, WhenUnbound, config, limits,
};
use crate::report::SetError;
use crate::request::FIELDS;
use crate::shape::Shape;
use crate::text::{quoted, suggestion};
use crate::verdict::Effect;

/// Reads the text of a `weir.toml`; `file` is its name in errors.
///
/// # Errors
///
/// All errors of the text, in its order. Errors that follow from a line which is no TOML are left out.
pub(crate) fn parse(file: &str, text: &str) -> Result<Set, Vec<SetError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let mut errors = Errors::new(file, text);
    for error in &syntax_errors {
        errors.add_syntax(error);
    }
    let set = set(&mut errors, Table::new(0, document.get_ref()));
    errors.finish(set)
}

fn set(errors: &mut Errors<'_>, mut root: Table<'_>) -> Set {
    let mut set = Set::default();
    let name = root.require(errors, "set", "set = \"claims-eu\"");
    assign(&mut set.name, name.and_then(|value| checked_name(errors, value, &SET)));
    set.owner = root.get("owner").and_then(|value| value.owned_text(errors));
    let cases = root.get("cases").and_then(|value| value.list(errors));
    set.cases = cases.into_iter().flatten().filter_map(|value| path(errors, value, "a file")).collect();
    for (_, value) in named(errors, root.get("systems"), &SYSTEM) {
        set.systems.insert(value.key.to_owned(), system(errors, value));
    }
    for (_, value) in named(errors, root.get("checkpoints"), &CHECKPOINT) {
        set.checkpoints.insert(value.key.to_owned(), checkpoint(errors, value));
    }
    for (key_at, value) in named(errors, root.get("policies"), &POLICY) {
        let mut binding = binding(errors, value);
        check_registered(errors, key_at, &binding.systems, &set.systems);
        binding.place = errors.place(key_at);
        binding.owner = binding.owner.or_else(|| set.owner.clone());
        set.policies.push(binding);
    }
    for (_, value) in named(errors, root.get("tenants"), &TENANT) {
        set.tenants.push(tenant(errors, value));
    }
    root.finish_except(errors, explain_later_key);
    set
}

/// A system named literally must be registered: a slip of the pen would bind the policy to nothing.
fn check_registered(errors: &mut Errors<'_>, at: usize, named: &[Pattern], registered: &BTreeMap<String, System>) {
    for name in named.iter().filter_map(Pattern::literal).filter(|name| !registered.contains_key(*name)) {
        let known: Vec<&str> = registered.keys().map(String::as_str).collect();
        let help = match known.as_slice() {
            [] => format!("register it: [systems.\"{name}\"]"),
            known => suggestion(name, known),
        };
        errors.add(at, format!("the system {} is not registered under `systems`", quoted(name)), Some(help));
    }
}

/// Tables that a later version reads: whoever writes them relies on them, so they are never skipped.
fn explain_later_key(errors: &mut Errors<'_>, key_at: usize, key: &str) -> bool {
    let later = ["regimes", "reviews", "exceptions", "rollout"].contains(&key);
    if later {
        errors.add(key_at, format!("`{key}` is not known by this version of weir"), None);
    }
    later
}

/// What may name a thing.
struct Names {
    thing: &'static str,
    rule: &'static str,
    holds: fn(&str) -> bool,
}

const SET: Names = Names { thing: "a set", rule: "1 to 128 bytes without control characters", holds: is_free_name };
const SYSTEM: Names = Names { thing: "a system", ..SET };
const TENANT: Names = Names { thing: "tenants", ..SET };
const POLICY: Names =
    Names { thing: "a policy", rule: "1 to 128 letters, digits, `.`, `_` and `-`", holds: is_policy_name };
const CHECKPOINT: Names = Names {
    thing: "a checkpoint",
    rule: "1 to 128 lower-case letters, digits, `_` and `-`, in words between dots",
    holds: is_checkpoint_name,
};

impl Names {
    fn check(&self, errors: &mut Errors<'_>, at: usize, name: &str) {
        if !(self.holds)(name) {
            errors.add(at, format!("{} cannot name {}: it takes {}", quoted(name), self.thing, self.rule), None);
        }
    }
}

fn checked_name(errors: &mut Errors<'_>, value: Value<'_>, names: &Names) -> Option<String> {
    let name = value.owned_text(errors)?;
    names.check(errors, value.at, &name);
    Some(name)
}

/// The entries of a table whose keys are names, in the order of the file.
fn named<'d>(errors: &mut Errors<'_>, value: Option<Value<'d>>, names: &Names) -> Vec<(usize, Value<'d>)> {
    let table = value.and_then(|value| value.table(errors));
    let entries = table.map(|table| table.entries()).unwrap_or_default();
    for (key_at, value) in &entries {
        names.check(errors, *key_at, value.key);
    }
    entries
}

fn system(errors: &mut Errors<'_>, value: Value<'_>) -> System {
    let mut system = System::default();
    if let Some(mut table) = value.table(errors) {
        assign(&mut system.deployed_in, table.get("deployed_in").and_then(|value| value.texts(errors)));
        assign(&mut system.affects, table.get("affects").and_then(|value| value.texts(errors)));
        system.industry = table.get("industry").and_then(|value| value.owned_text(errors));
        system.use_case = table.get("use_case").and_then(|value| value.owned_text(errors));
        system.role = table.get("role").and_then(|value| value.owned_text(errors));
        system.risk_tier = table.get("risk_tier").and_then(|value| value.owned_text(errors));
        table.finish(errors);
    }
    system
}

fn checkpoint(errors: &mut Errors<'_>, value: Value<'_>) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    if let Some(mut table) = value.table(errors) {
        assign(&mut checkpoint.when_unbound, table.get("when_unbound").and_then(|value| value.word(errors)));
        let when_record_fails = table.get("when_record_fails").and_then(|value| value.word(errors));
        assign(&mut checkpoint.when_record_fails, when_record_fails);
        assign(&mut checkpoint.durability, table.get("durability").and_then(|value| value.word(errors)));
        table.finish(errors);
    }
    checkpoint
}

fn tenant(errors: &mut Errors<'_>, value: Value<'_>) -> Tenant {
    let mut tenant = Tenant { pattern: Pattern::new(value.key), weight: 1, class: Class::default() };
    if let Some(mut table) = value.table(errors) {
        let weight = table.get("weight").and_then(|value| value.integer(errors, 1..=1000, "1 to 1000"));
        assign(&mut tenant.weight, weight.and_then(|weight| weight.try_into().ok()));
        assign(&mut tenant.class, table.get("class").and_then(|value| value.word(errors)));
        table.finish(errors);
    }
    tenant
}

fn binding(errors: &mut Errors<'_>, value: Value<'_>) -> Binding {
    let mut binding = Binding::new(value.key, "");
    let Some(mut table) = value.table(errors) else { return binding };
    let path = table.require(errors, "module", "module = \"pii_secrets.wasm\"");
    assign(&mut binding.module, path.and_then(|value| self::path(errors, value, "a module")));
    let checkpoints = table.get("checkpoints");
    binding.checkpoints = checkpoints.and_then(|value| patterns(errors, value, checkpoint_pattern));
    assign(&mut binding.systems, table.get("systems").and_then(|value| patterns(errors, value, pattern)));
    assign(&mut binding.when, table.get("when").and_then(|value| when(errors, value)));
    assign(&mut binding.mode, table.get("mode").and_then(|value| value.word(errors)));
    binding.owner = table.get("owner").and_then(|value| value.owned_text(errors));
    assign(&mut binding.on_failure, table.get("on_failure").and_then(|value| on_failure(errors, value)));
    assign(&mut binding.because, table.get("because").and_then(|value| value.texts(errors)));
    assign(&mut binding.limits, table.get("limits").and_then(|value| limits::read(errors, value)));
    assign(&mut binding.isolation, table.get("isolation").and_then(|value| value.word(errors)));
    let grants = table.get("grants").and_then(|value| value.list(errors)).unwrap_or_default();
    binding.grants = grants.into_iter().filter_map(|value| value.word(errors)).collect();
    if let Some((json, places)) = table.get("config").and_then(|value| config::read(errors, value)) {
        binding.config = json;
        binding.config_places = Some(places);
    }
    binding.entrypoint = table.get("entrypoint").and_then(|value| value.owned_text(errors));
    binding.input = table.get("input").and_then(|value| input(errors, value));
    table.finish(errors);
    binding
}

/// A JSON pointer into the request, or a table of such.
fn input(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Shape> {
    let shape = match value.toml {
        DeValue::String(text) if !text.is_empty() && !text.starts_with('/') => {
            let help = Some("write a JSON pointer, such as `input = \"/payload\"`".to_owned());
            return value.wrong(errors, format!("{} is no JSON pointer into the request", quoted(text)), help);
        }
        DeValue::String(text) => Shape::At(text.to_string()),
        _ => config::read(errors, value).map(|(said, _)| Shape::new(&said))?,
    };
    match shape.stray() {
        None => Some(shape),
        Some(pointer) => {
            let first = pointer.split('/').nth(1).unwrap_or_default();
            let help = Some(suggestion(first, &FIELDS));
            value.wrong(errors, format!("{} points to no part of a request", quoted(pointer)), help)
        }
    }
}

/// A path that stays in the folder of the set.
fn path(errors: &mut Errors<'_>, value: Value<'_>, of: &str) -> Option<String> {
    let path = value.text(errors)?;
    match path_fault(path) {
        None => Some(path.to_owned()),
        Some(fault) => value.wrong(errors, format!("{} is no path of {of}: {fault}", quoted(path)), None),
    }
}

fn pattern(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Pattern> {
    value.owned_text(errors).map(Pattern::new)
}

fn checkpoint_pattern(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Pattern> {
    let pattern = pattern(errors, value)?;
    if is_checkpoint_pattern(&pattern) {
        return Some(pattern);
    }
    let text = quoted(pattern.as_str());
    value.wrong(errors, format!("{text} matches no checkpoint: a name takes {}", CHECKPOINT.rule), None)
}

/// A list of patterns. An empty one would match nothing, and the policy would never apply without anybody noticing.
fn patterns(
    errors: &mut Errors<'_>,
    value: Value<'_>,
    pattern: fn(&mut Errors<'_>, Value<'_>) -> Option<Pattern>,
) -> Option<Vec<Pattern>> {
    let values = value.list(errors)?;
    if values.is_empty() {
        let help = Some("leave the key out, or say `mode = \"off\"`".to_owned());
        return value.wrong(errors, "the list is empty: the policy would never apply", help);
    }
    Some(values.into_iter().filter_map(|value| pattern(errors, value)).collect())
}

fn when(errors: &mut Errors<'_>, value: Value<'_>) -> Option<BTreeMap<String, Vec<Pattern>>> {
    let entries = value.table(errors)?.entries().into_iter();
    Some(entries.filter_map(|(_, value)| Some((value.key.to_owned(), patterns(errors, value, pattern)?))).collect())
}

fn on_failure(errors: &mut Errors<'_>, value: Value<'_>) -> Option<OnFailure> {
    match value.toml {
        DeValue::String(_) => match value.word(errors)? {
            Effect::Deny => Some(OnFailure::default()),
            looser => {
                let table = format!("{{ effect = \"{looser}\", until = 2027-01-31, approved_by = [\"j.doe\"] }}");
                let cause = format!("`{looser}` is looser than `deny` and needs an expiry and an approver");
                value.wrong(errors, cause, Some(format!("write `on_failure = {table}`")))
            }
        },
        DeValue::Table(_) => loosened(errors, value),
        _ => value.expected(errors, "`deny` or a table", None),
    }
}

/// The table form: whatever is looser than `deny` says until when, and who approved it.
fn loosened(errors: &mut Errors<'_>, value: Value<'_>) -> Option<OnFailure> {
    let mut table = value.table(errors)?;
    let mut on_failure = OnFailure::default();
    let effect = table.require(errors, "effect", "effect = \"review\"");
    assign(&mut on_failure.effect, effect.and_then(|value| value.word(errors)));
    let (until, approved_by) = match on_failure.effect {
        Effect::Deny => (table.get("until"), table.get("approved_by")),
        Effect::Allow | Effect::Review => (
            table.require(errors, "until", "until = 2027-01-31"),
            table.require(errors, "approved_by", "approved_by = [\"j.doe\"]"),
        ),
    };
    on_failure.until = until.and_then(|value| date(errors, value));
    assign(&mut on_failure.approved_by, approved_by.and_then(|value| approvers(errors, value)));
    table.finish(errors);
    Some(on_failure)
}

fn approvers(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Vec<String>> {
    match value.list(errors)?.is_empty() {
        true => value.wrong(errors, "the list is empty: nobody approved it", None),
        false => value.texts(errors),
    }
}

/// A day without a time, as in 2027-01-31.
fn date(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Date> {
    let written = match value.toml {
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => String::new(),
    };
    match (value.toml, written.parse::<Date>()) {
        (DeValue::Datetime(datetime), Ok(date)) if datetime.time.is_none() => Some(date),
        (_, date) => {
            let example = date.map_or("2027-01-31".to_owned(), |date| date.to_string());
            let help = format!("write `{} = {example}`, without quotes or a time", value.key);
            value.expected(errors, "a date", Some(help))
        }
    }
}

impl Word for Effect {
    const WORDS: &'static [(&'static str, Self)] =
        &[("allow", Effect::Allow), ("review", Effect::Review), ("deny", Effect::Deny)];
}

impl Word for Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)];
}

impl Word for Isolation {
    const WORDS: &'static [(&'static str, Self)] =
        &[("restore", Isolation::Restore), ("fresh", Isolation::Fresh), ("reuse", Isolation::Reuse)];
}

impl Word for Grant {
    const WORDS: &'static [(&'static str, Self)] =
        &[("log", Grant::Log), ("state", Grant::State), ("rand", Grant::Rand), ("uuid", Grant::Uuid)];
}

impl Word for WhenUnbound {
    const WORDS: &'static [(&'static str, Self)] = &[("deny", WhenUnbound::Deny), ("allow", WhenUnbound::Allow)];
}

impl Word for WhenRecordFails {
    const WORDS: &'static [(&'static str, Self)] =
        &[("deny", WhenRecordFails::Deny), ("allow_and_count", WhenRecordFails::AllowAndCount)];
}

impl Word for Durability {
    const WORDS: &'static [(&'static str, Self)] =
        &[("strict", Durability::Strict), ("group", Durability::Group), ("async", Durability::Async)];
}

impl Word for Class {
    const WORDS: &'static [(&'static str, Self)] =
        &[("interactive", Class::Interactive), ("normal", Class::Normal), ("bulk", Class::Bulk)];
}
