//! What is printed of cases, and what CI systems read.

use std::collections::BTreeMap;
use std::path::Path;

use super::outcome::Outcome;
use crate::exit::{Failed, OrFail};
use crate::terminal::{Paint, count, counted, plain};

pub(super) fn lines(outcomes: &[Outcome], unmet: &[String], paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for Outcome { name, wrong, effect, fuel, .. } in outcomes {
        let verdict = if wrong.is_empty() { paint.green("ok    ") } else { paint.red("FAILED") };
        lines.push(format!(
            "{verdict}  {}  {}",
            plain(name),
            paint.faint(format!("{effect}, {} fuel", count(*fuel)))
        ));
        lines.extend(wrong.iter().map(|why| format!("        {}", plain(why))));
    }
    lines.extend(unmet.iter().map(|code| format!("{}  no case meets `{}`", paint.red("FAILED"), plain(code))));
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    outcomes.iter().flat_map(|outcome| &outcome.codes).for_each(|code| *codes.entry(code).or_default() += 1);
    let met: Vec<String> = codes.iter().map(|(code, times)| format!("{} {times}", plain(code))).collect();
    let failed = outcomes.iter().filter(|outcome| !outcome.wrong.is_empty()).count() + unmet.len();
    lines.push(String::new());
    if !met.is_empty() {
        lines.push(paint.faint(format!("findings met: {}", met.join(", "))));
    }
    let all = counted(outcomes.len() as u64, "case");
    lines.push(match failed {
        0 => format!("{all}, {}", paint.green("all pass")),
        failed => format!("{all}, {}", paint.red(format!("{failed} failed"))),
    });
    lines
}

/// The report of a test run as JUnit writes it.
pub(super) fn junit(file: &Path, module: &Path, outcomes: &[Outcome]) -> Result<(), Failed> {
    let failed = outcomes.iter().filter(|outcome| !outcome.wrong.is_empty()).count();
    let suite = escaped(&module.display().to_string());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failed}\">\n",
        outcomes.len()
    );
    for Outcome { name, wrong, micros, .. } in outcomes {
        let (name, seconds) = (escaped(name), micros / 1e6);
        xml.push_str(&format!("  <testcase name=\"{name}\" time=\"{seconds:.6}\""));
        match wrong.is_empty() {
            true => xml.push_str("/>\n"),
            false => {
                let message = escaped(&wrong.join("; "));
                xml.push_str(&format!(">\n    <failure message=\"{message}\"/>\n  </testcase>\n"));
            }
        }
    }
    xml.push_str("</testsuite>\n");
    std::fs::write(file, xml).or_environment("write", file.display())
}

fn escaped(text: &str) -> String {
    let text = plain(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
