//! Judges the German credit data by sex, age and both, and checks the two published figures by sex.
//!
//! `cargo run -p fairness-gate --example german_credit -- german-credit.csv`: exit code 1 when the impact ratio is not
//! .897 or Fisher's p is not .021, 2 when the file cannot be used.

#![expect(clippy::print_stdout, reason = "an example shows its figures")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use fairness_gate::{Config, evaluate};
use weir_sdk::{Measure, Quantity, Request, Verdict};

fn main() -> ExitCode {
    match std::env::args().nth(1).ok_or_else(|| "usage: german_credit FILE".to_owned()).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn run(path: String) -> Result<bool, String> {
    let csv = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let request = Request { measures: measures(&csv)?, ..Request::default() };
    // Fisher for every table: the published p is the exact one. Thresholds stay the defaults.
    let config: Config = serde_json::from_str(r#"{"method":"fisher"}"#).map_err(|error| error.to_string())?;
    let verdict = evaluate(&config, &request)?;
    println!("{:?}", verdict.effect);
    for finding in &verdict.findings {
        println!("{:?} {}: {}", finding.severity, finding.code, finding.message);
    }
    let at = request.measures.iter().position(|measure| measure.group == "sex=female");
    let at = format!("/measures/{}", at.ok_or("nobody is female")?);
    let ratio = figure(&verdict, "fairness.impact_ratio", &at)?;
    let p = figure(&verdict, "fairness.significance", &at)?;
    println!("by sex: impact ratio {ratio}, p {p}");
    Ok(format!("{ratio:.3} {p:.3}") == "0.897 0.021")
}

/// Counts who has a good risk (`risk` is 1) by sex, by age and by both.
fn measures(csv: &str) -> Result<Vec<Measure>, String> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column =
        |name: &str| header.iter().position(|cell| *cell == name).ok_or_else(|| format!("no column `{name}`"));
    let (risk, sex, age) = (column("risk")?, column("sex")?, column("age")?);
    let mut counts: BTreeMap<String, (u32, u64)> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |index: usize| cells.get(index).copied().ok_or_else(|| format!("short line `{line}`"));
        let years: u32 = cell(age)?.parse().map_err(|error| format!("age in `{line}`: {error}"))?;
        let sex = format!("sex={}", cell(sex)?);
        let age = if years >= 25 { "age=25+" } else { "age=under_25" };
        for group in [sex.clone(), age.to_owned(), format!("{age}&{sex}")] {
            let (good, people) = counts.entry(group).or_default();
            *good += u32::from(cell(risk)? == "1");
            *people += 1;
        }
    }
    let measure =
        |(group, (good, count))| Measure { name: "selected".to_owned(), group, value: f64::from(good), count };
    Ok(counts.into_iter().map(measure).collect())
}

fn figure(verdict: &Verdict, code: &str, at: &str) -> Result<f64, String> {
    let found = verdict.findings.iter().find(|finding| finding.code == code && finding.at.as_deref() == Some(at));
    match found.and_then(|finding| finding.measured.as_ref()) {
        Some(Quantity::Number(number)) => Ok(*number),
        _ => Err(format!("no finding `{code}` at {at}")),
    }
}
