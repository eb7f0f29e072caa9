//! `weir generations`: what was in force, and what changed.

use std::io::{self, Write};

use serde_json::Value;
use weir::Change;

use crate::control::client::Target;
use crate::control::message::{Command, Diff, Generation, Generations};
use crate::exit::{Exit, Failed, printed};
use crate::table::Table;
use crate::terminal::{Paint, count, moment, plain, short_digest, shortened};

/// Show the policies that were in force, and what changed
///
/// A host counts up each time other policies come into force. It keeps the last three generations
/// loaded, so that they can be compared, and brought back at once with `weir rollback`.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir generations policies/
  weir generations policies/ --diff 2 3             which policies, modules, settings and limits changed
  weir generations policies/ --diff 2 3 --json      the same with whole digests and values

Exit codes: 0 the host answered, 2 a generation that is not loaded or no such folder,
4 no host follows the set."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Show what changed from generation A to generation B
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    diff: Option<Vec<u64>>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let diff = args.diff.as_deref().map(|numbers| [numbers[0], numbers[1]]);
    let answer = args.target.ask(&Command::Generations { diff })?;
    if args.target.json {
        return answer.print();
    }
    let generations: Generations = answer.read()?;
    let mut stdout = io::stdout().lock();
    let paint = Paint::for_stream(&stdout);
    let written = match &generations.diff {
        Some(diff) => show_diff(&mut stdout, paint, diff, &generations.generations),
        None => show(&mut stdout, paint, &generations.generations),
    };
    printed(written, Exit::Done)
}

fn show(out: &mut impl Write, paint: Paint, generations: &[Generation]) -> io::Result<()> {
    let mut table = Table::new(&[">generation", "since", "digest", ">policies", ""]);
    for generation in generations {
        let in_force = generation.in_force.then(|| "in force".to_owned());
        let restores = generation.restores.map(|number| format!("restores {number}"));
        table.row([
            generation.number.to_string(),
            moment(generation.since),
            short_digest(plain(&generation.digest)),
            count(generation.policies as u64),
            in_force.into_iter().chain(restores).collect::<Vec<_>>().join(", "),
        ]);
    }
    table.painted(paint).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn show_diff(out: &mut impl Write, paint: Paint, diff: &Diff, generations: &[Generation]) -> io::Result<()> {
    if diff.changes.is_empty() {
        let digest = |number| generations.iter().find(|one| one.number == number).map(|one| &one.digest);
        let told = if digest(diff.from) == digest(diff.to) {
            "they are the same set"
        } else {
            "only comments or test cases differ"
        };
        return writeln!(out, "nothing differs between generation {} and generation {}: {told}", diff.from, diff.to);
    }
    let (before, after) = (format!("generation {}", diff.from), format!("generation {}", diff.to));
    let mut table = Table::new(&["where", "what", &before, &after]);
    diff.changes.iter().for_each(|change| table.row(row(change)));
    table.painted(paint).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn row(change: &Change) -> [String; 4] {
    let section = change.section.trim_end_matches('s');
    let place = match change.section.as_str() {
        "policies" => format!("policy {}", plain(&change.name)),
        "set" => "set".to_owned(),
        _ => format!("{section} {}", plain(&change.name)),
    };
    if change.what.is_empty() {
        let what = if change.before.is_none() { "new" } else { "gone" };
        let whole =
            |value: Option<&Value>| if change.section == "policies" { module(value) } else { self::value(value) };
        return [place, what.to_owned(), whole(change.before.as_ref()), whole(change.after.as_ref())];
    }
    [place, plain(&change.what), value(change.before.as_ref()), value(change.after.as_ref())]
}

/// A value on one line, as long as a column bears.
fn value(value: Option<&Value>) -> String {
    const MOST: usize = 40;
    match value {
        None => "-".to_owned(),
        Some(Value::String(text)) if text.starts_with("sha256:") => short_digest(plain(text)),
        Some(value) => shortened(&plain(&value.to_string()), MOST),
    }
}

/// A whole policy, named by its module.
fn module(policy: Option<&Value>) -> String {
    let Some(policy) = policy else { return "-".to_owned() };
    let text = |key: &str| plain(policy[key].as_str().unwrap_or_default());
    format!("{} {}", shortened(&text("module"), 40), short_digest(text("digest")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_see_what_differs_on_one_line() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let change = |what: &str, before, after| Change {
            section: "policies".into(),
            name: "pii".into(),
            what: what.into(),
            before,
            after,
        };
        assert_eq!(
            row(&change("config.identifiers", Some(json!(["iban"])), Some(json!(["iban", "card\u{1b}"])))),
            ["policy pii", "config.identifiers", r#"["iban"]"#, r#"["iban","card\u001b"]"#]
        );
        assert_eq!(
            row(&change("digest", Some(json!(digest)), None)),
            ["policy pii", "digest", "sha256:abababababab…", "-"]
        );
        let whole = json!({"module": "pii.wasm", "digest": digest});
        assert_eq!(row(&change("", None, Some(whole))), ["policy pii", "new", "-", "pii.wasm sha256:abababababab…"]);
        assert_eq!(value(Some(&json!("x".repeat(100)))).chars().count(), 41);
    }
}
