//! The set of one policy that `weir run` and `weir bench` make up: its text as somebody would write it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use weir::{Builder, Decision, FailureKind, Inspection, OpenError, Recorder, Report, Request, Runtime, Source};

use crate::exit::{Failed, OrFail};
use crate::set;

/// Name of the module inside the made-up set.
const MODULE: &str = "policy.wasm";

/// How the policy is bound: what the set says of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Binding {
    /// Fuel limit; a unit is about an instruction, and the same request always takes the same
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub(crate) fuel: u64,
    /// Memory limit, such as "64 MiB"
    #[arg(long, value_name = "SIZE", default_value = "16 MiB")]
    memory: String,
    /// Time limit on the clock, such as "1 s"
    #[arg(long, value_name = "TIME", default_value = "20 ms")]
    deadline: String,
    /// Entry point of a bundle in Rego that has several, such as "policy/main"
    #[arg(long, value_name = "NAME")]
    entrypoint: Option<String>,
    /// What a policy in Rego takes for its input, as a set says it: "/payload", or '{ user = "/subject/id" }'; without, the request
    #[arg(long, value_name = "SHAPE", value_parser = shape)]
    input: Option<Value>,
}

impl Binding {
    /// With an entry point and an input where it has none.
    pub(crate) fn or(self, entrypoint: Option<String>, input: Option<Value>) -> Binding {
        Binding { entrypoint: self.entrypoint.or(entrypoint), input: self.input.or(input), ..self }
    }
}

/// The value of `input`: a table as TOML has it, or a pointer.
fn shape(text: &str) -> Result<Value, String> {
    if !text.starts_with('{') {
        return Ok(text.into());
    }
    let table: Map<String, Value> =
        toml::from_str(&format!("input = {text}")).map_err(|error| error.message().to_owned())?;
    // A line of its own could follow.
    match <[_; 1]>::try_from(table.into_iter().collect::<Vec<_>>()) {
        Ok([(_, shape)]) => Ok(shape),
        Err(_) => Err("expected one table".to_owned()),
    }
}

/// A set of one policy, or of the same one under several names.
#[derive(Debug)]
pub(crate) struct AdHoc {
    /// What the policy may use, because its manifest or its imports ask for it.
    pub(crate) grants: BTreeSet<String>,
    /// The policy's name in the set.
    pub(crate) name: String,
    /// The lines of its table, its isolation aside.
    lines: String,
}

impl AdHoc {
    pub(crate) fn new(
        module: &Path,
        config: Option<&PathBuf>,
        binding: &Binding,
        inspection: &Inspection,
    ) -> Result<AdHoc, Failed> {
        let config = config.map(|file| self::config(file)).transpose()?;
        AdHoc::with(module, config, binding, inspection)
    }

    /// As [`AdHoc::new`], with a configuration that is at hand.
    pub(crate) fn configured(
        module: &Path,
        config: &Map<String, Value>,
        binding: &Binding,
        inspection: &Inspection,
    ) -> Result<AdHoc, Failed> {
        let config = inline_table(config).map_err(|why| Failed::input(format!("`config`: {why}")))?;
        AdHoc::with(module, Some(config), binding, inspection)
    }

    fn with(
        module: &Path,
        config: Option<String>,
        binding: &Binding,
        inspection: &Inspection,
    ) -> Result<AdHoc, Failed> {
        let Binding { fuel, memory, deadline, entrypoint, input } = binding;
        let grants = grants(inspection);
        let mut text = format!("module = \"{MODULE}\"\ncheckpoints = [\"*\"]\n");
        let list: Vec<String> = grants.iter().map(|grant| quoted(grant)).collect();
        text.push_str(&format!("grants = [{}]\n", list.join(", ")));
        if let Some(config) = config {
            text.push_str(&format!("config = {config}\n"));
        }
        if let Some(entrypoint) = entrypoint {
            text.push_str(&format!("entrypoint = {}\n", quoted(entrypoint)));
        }
        if let Some(input) = input {
            let input = toml(input).map_err(|why| Failed::input(format!("`input`: {why}")))?;
            text.push_str(&format!("input = {input}\n"));
        }
        let (memory, deadline) = (quoted(memory), quoted(deadline));
        text.push_str(&format!("limits = {{ fuel = {fuel}, memory = {memory}, deadline = {deadline} }}\n"));
        Ok(AdHoc { grants, name: name(module, inspection), lines: text })
    }

    /// The set with the one policy.
    pub(crate) fn source(&self, wasm: Vec<u8>) -> Source {
        self.text([(self.name.clone(), "restore")], wasm)
    }

    /// The set with the policy once in each isolation, in this order.
    pub(crate) fn in_each(&self, isolations: &[&'static str], wasm: Vec<u8>) -> Source {
        self.text(isolations.iter().map(|isolation| ((*isolation).to_owned(), *isolation)), wasm)
    }

    fn text(&self, policies: impl IntoIterator<Item = (String, &'static str)>, wasm: Vec<u8>) -> Source {
        let table = |(name, isolation): (String, &str)| {
            format!("[policies.{}]\n{}isolation = \"{isolation}\"\n", quoted(&name), self.lines)
        };
        let tables: String = policies.into_iter().map(table).collect();
        Source::memory(format!("set = \"one policy\"\n{tables}"), [(MODULE, wasm)])
    }
}

/// A host for one policy, as authors try it. What it compiles is kept for the next time, where the user has a place for that.
pub(crate) fn open(builder: impl Fn() -> Builder, source: Source) -> Result<Result<Runtime, OpenError>, Failed> {
    let executor = tokio::runtime::Builder::new_current_thread().build();
    let executor = executor.map_err(|error| Failed::environment(anyhow::Error::new(error)))?;
    let open = |builder: Builder| {
        let builder = builder.compiler(set::telling_compiler()).recorder(Recorder::memory(1));
        executor.block_on(builder.open(source.clone()))
    };
    let Some(code) = code() else { return Ok(open(builder())) };
    match open(builder().store(code)) {
        // It saves time and nothing else.
        Err(OpenError::Store(_)) => Ok(open(builder())),
        opened => Ok(opened),
    }
}

/// Where machine code of what authors try is kept: among the user's caches.
fn code() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Some(caches?.join("weir").join("code"))
}

/// What a trap tells where the module has the lines of its source: judged once more, by code that keeps them. None where the
/// policy has not trapped, or has no lines.
pub(crate) fn trap_with_lines(
    decision: &Decision,
    inspection: &Inspection,
    source: impl FnOnce() -> Source,
    request: Request,
) -> Option<String> {
    let trapped = |decision: &Decision| match &decision.policies().first()?.outcome {
        Err(failure) if failure.kind == FailureKind::Trap => Some(failure.detail.clone()),
        _ => None,
    };
    trapped(decision).filter(|_| inspection.has_lines)?;
    let host = open(|| Runtime::builder().trap_lines().ready_instances(0), source()).ok()?.ok()?;
    trapped(&host.evaluate_blocking(request))
}

/// Why the set could not be opened.
pub(crate) fn failed(module: &Path, error: OpenError) -> Failed {
    match error {
        OpenError::Set(report) => refused(module, &report),
        error => Failed::environment(error),
    }
}

/// A report about a set nobody has written: the places in it would help nobody.
fn refused(module: &Path, report: &Report) -> Failed {
    let set = report.set.iter().map(|error| (&error.message, &error.help));
    let load = report.load.iter().map(|error| (&error.message, &error.help));
    let with_help = |(message, help): (&String, &Option<String>)| match help {
        Some(help) => format!("{message}\n  help: {help}"),
        None => message.clone(),
    };
    let mut problems: Vec<String> = set.chain(load).map(with_help).collect();
    problems.dedup();
    let name = module.display();
    let failed = if report.load.is_empty() { Failed::input } else { Failed::refused };
    match &problems[..] {
        [problem] => failed(format!("`{name}` cannot run: {problem}")),
        problems => failed(format!("`{name}` cannot run")).details(problems.join("\n")),
    }
}

fn grants(inspection: &Inspection) -> BTreeSet<String> {
    let asked = inspection.manifest.iter().flat_map(|manifest| manifest.grants.iter().cloned());
    let imported = inspection.imports.iter().filter_map(|import| match import.name.as_str() {
        "weir.log" => Some("log".to_owned()),
        name if name.starts_with("weir.state_") => Some("state".to_owned()),
        name if name.starts_with("weir:policy/log@") => Some("log".to_owned()),
        name if name.starts_with("weir:policy/state@") => Some("state".to_owned()),
        _ => None,
    });
    let called = inspection.rego.iter().flat_map(|rego| rego.grants()).map(str::to_owned);
    asked.chain(imported).chain(called).collect()
}

/// The manifest's name, or the file's, in the letters a policy's name may have.
fn name(module: &Path, inspection: &Inspection) -> String {
    let own = inspection.manifest.as_ref().and_then(|manifest| manifest.name.clone());
    let name = own.or_else(|| Some(module.file_stem()?.to_string_lossy().into_owned())).unwrap_or_default();
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().take(128).map(fits).collect();
    if name.is_empty() { "policy".to_owned() } else { name }
}

/// The JSON object of a file as a TOML inline table.
fn config(file: &Path) -> Result<String, Failed> {
    let text = std::fs::read_to_string(file).or_input("read", file.display())?;
    let wrong = |why: String| Failed::input(format!("`{}` is no configuration: {why}", file.display()));
    let config: Map<String, Value> = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    inline_table(&config).map_err(wrong)
}

fn inline_table(map: &Map<String, Value>) -> Result<String, String> {
    let entry = |(key, value): (&String, &Value)| Ok(format!("{} = {}", quoted(key), toml(value)?));
    let entries: Vec<String> = map.iter().map(entry).collect::<Result<_, String>>()?;
    Ok(format!("{{ {} }}", entries.join(", ")))
}

fn toml(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Err("a set cannot say null; leave the key out".to_owned()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(quoted(text)),
        Value::Array(items) => {
            Ok(format!("[{}]", items.iter().map(toml).collect::<Result<Vec<_>, String>>()?.join(", ")))
        }
        Value::Object(map) => inline_table(map),
    }
}

/// A basic string: TOML takes the escapes of JSON, and wants one for DEL, too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text always serialises").replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shape_is_a_pointer_or_a_table() {
        assert_eq!(shape("/payload"), Ok(json!("/payload")));
        assert_eq!(shape(r#"{ a = "/payload", b = [1] }"#), Ok(json!({"a": "/payload", "b": [1]})));
        assert_eq!(shape("{}\nfuel = 1"), Err("expected one table".to_owned()));
        assert!(shape("{ a = }").is_err());
    }

    #[test]
    fn json_becomes_toml() {
        let json = json!({"a b": [1, -2.5, true, "x\"\u{7f}\n"], "c": {"d": {}}});
        let expected = r#"{ "a b" = [1, -2.5, true, "x\"\u007f\n"], "c" = { "d" = {  } } }"#;
        assert_eq!(toml(&json).unwrap(), expected);
        assert!(toml(&json!([null])).unwrap_err().contains("null"));
    }
}
