//! What is printed of cases, and what CI systems read.

use std::collections::BTreeMap;
use std::path::Path;

use super::Tried;
use super::cases::Coverage;
use super::outcome::Outcome;
use crate::exit::{Failed, OrFail};
use crate::terminal::{Paint, count, counted, plain};

pub(super) fn lines(Tried { outcomes, coverage }: &Tried, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let unmet: Vec<&Coverage> = coverage.iter().filter(|coverage| !coverage.met).collect();
    for Outcome { name, wrong, effect, fuel, .. } in outcomes {
        let verdict = if wrong.is_empty() { paint.green("ok    ") } else { paint.red("FAILED") };
        lines.push(format!(
            "{verdict}  {}  {}",
            plain(name),
            paint.faint(format!("{effect}, {} fuel", count(*fuel)))
        ));
        lines.extend(wrong.iter().map(|why| format!("        {}", plain(why))));
    }
    let unmet_line =
        |Coverage { code, .. }: &&Coverage| format!("{}  no case meets `{}`", paint.red("FAILED"), plain(code));
    lines.extend(unmet.iter().map(unmet_line));
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

/// The report of a test run as JUnit writes it: a test for each case and each code that has to be met, or the error that kept
/// them from being tried.
pub(super) fn junit(file: &Path, suite: &Path, tried: Result<&Tried, &Failed>) -> Result<(), Failed> {
    let tests = match tried {
        Ok(tried) => tests(tried),
        Err(failed) => {
            let (message, details) = failed.told();
            let details = details.lines().map(escaped).collect::<Vec<_>>().join("\n");
            vec![test(
                "the policy can be tried",
                0.0,
                &format!("<error message=\"{}\">{details}</error>", escaped(&message)),
            )]
        }
    };
    let count = |kind: &str| tests.iter().filter(|test| test.contains(kind)).count();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n{}</testsuite>\n",
        escaped(&suite.display().to_string()),
        tests.len(),
        count("<failure "),
        count("<error "),
        tests.concat(),
    );
    std::fs::write(file, xml).or_environment("write", file.display())
}

fn tests(Tried { outcomes, coverage }: &Tried) -> Vec<String> {
    let failure = |why: &str| match why {
        "" => String::new(),
        why => format!("<failure message=\"{}\"/>", escaped(why)),
    };
    let case = |Outcome { name, wrong, micros, .. }: &Outcome| test(name, micros / 1e6, &failure(&wrong.join("; ")));
    let code = |Coverage { code, met }: &Coverage| {
        let why = if *met { String::new() } else { format!("no case meets `{code}`") };
        test(&format!("a case meets {code}"), 0.0, &failure(&why))
    };
    outcomes.iter().map(case).chain(coverage.iter().map(code)).collect()
}

fn test(name: &str, seconds: f64, ended: &str) -> String {
    let name = escaped(name);
    match ended {
        "" => format!("  <testcase name=\"{name}\" time=\"{seconds:.6}\"/>\n"),
        ended => format!("  <testcase name=\"{name}\" time=\"{seconds:.6}\">\n    {ended}\n  </testcase>\n"),
    }
}

fn escaped(text: &str) -> String {
    let text = plain(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
