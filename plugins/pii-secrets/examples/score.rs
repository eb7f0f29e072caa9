//! Scores the policy on outside data, which is passed as paths and never part of the repository:
//! `cargo run -p pii-secrets --example score -- --presidio FILE --benign FILE [--min-recall R] [--min-precision P]
//! [--max-benign-findings N]`. Ends with 1 when a threshold is missed, with 2 when an argument or a file is wrong.
#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use pii_secrets::{Config, Found, evaluate};
use serde_json::{Value, json};
use weir_sdk::{Effect, Request};

/// Presidio's entity, our kind, and the country whose rules it stands for.
const ENTITIES: &[(&str, &str, &str)] = &[
    ("ABA_ROUTING_NUMBER", "us_aba", "US"),
    ("AU_ABN", "au_abn", "AU"),
    ("AU_ACN", "au_acn", "AU"),
    ("AU_MEDICARE", "au_medicare", "AU"),
    ("AU_TFN", "au_tfn", "AU"),
    ("CA_SIN", "ca_sin", "CA"),
    ("CREDIT_CARD", "card", "US"),
    ("CRYPTO", "crypto", "US"),
    ("EMAIL_ADDRESS", "email", "US"),
    ("ES_NIE", "es_nie", "ES"),
    ("ES_NIF", "es_nif", "ES"),
    ("ES_PASSPORT", "passport", "ES"),
    ("FI_PERSONAL_IDENTITY_CODE", "fi_hetu", "FI"),
    ("IBAN_CODE", "iban", "US"),
    ("IN_AADHAAR", "in_aadhaar", "IN"),
    ("IN_GSTIN", "in_gstin", "IN"),
    ("IN_PAN", "in_pan", "IN"),
    ("IN_PASSPORT", "passport", "IN"),
    ("IN_VOTER", "in_voter", "IN"),
    ("IP_ADDRESS", "ip", "US"),
    ("IT_DRIVER_LICENSE", "it_driving_licence", "IT"),
    ("IT_FISCAL_CODE", "it_fiscal_code", "IT"),
    ("IT_IDENTITY_CARD", "it_identity_card", "IT"),
    ("IT_PASSPORT", "passport", "IT"),
    ("IT_VAT_CODE", "it_vat", "IT"),
    ("MAC_ADDRESS", "mac", "US"),
    ("MEDICAL_LICENSE", "us_dea", "US"),
    ("PL_PESEL", "pl_pesel", "PL"),
    ("SG_NRIC_FIN", "sg_nric", "SG"),
    ("SG_UEN", "sg_uen", "SG"),
    ("TH_TNIN", "th_tnin", "TH"),
    ("UK_DRIVING_LICENCE", "uk_driving_licence", "GB"),
    ("UK_NHS", "uk_nhs", "GB"),
    ("UK_NINO", "uk_nino", "GB"),
    ("UK_PASSPORT", "passport", "GB"),
    ("UK_POSTCODE", "uk_postcode", "GB"),
    ("UK_VEHICLE_REGISTRATION", "uk_vehicle", "GB"),
    ("US_BANK_NUMBER", "us_bank_account", "US"),
    ("US_ITIN", "us_itin", "US"),
    ("US_MBI", "us_mbi", "US"),
    ("US_NPI", "us_npi", "US"),
    ("US_PASSPORT", "passport", "US"),
    ("US_SSN", "us_ssn", "US"),
];

/// One line of the table.
#[derive(Default)]
struct Score {
    cases: usize,
    expected: usize,
    found: usize,
    overlapping: usize,
    exact: usize,
    by_default: usize,
    missed: Vec<String>,
}

impl Score {
    fn add(&mut self, other: &Score) {
        self.cases += other.cases;
        self.expected += other.expected;
        self.found += other.found;
        self.overlapping += other.overlapping;
        self.exact += other.exact;
        self.by_default += other.by_default;
    }

    fn precision(&self) -> f64 {
        share(self.overlapping, self.found)
    }

    fn recall(&self) -> f64 {
        share(self.overlapping, self.expected)
    }

    fn line(&self, name: &str) -> String {
        format!(
            "{name:26} {:5} {:8} {:5} {:9.3} {:6.3} {:5.3} {:7.3}",
            self.cases,
            self.expected,
            self.found,
            self.precision(),
            self.recall(),
            share(self.exact, self.expected),
            share(self.by_default, self.expected)
        )
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Vec<String>) -> Result<bool, String> {
    let verbose = arguments.iter().any(|argument| argument == "--verbose");
    let pairs: Vec<String> = arguments.into_iter().filter(|argument| argument != "--verbose").collect();
    let mut options = BTreeMap::new();
    for pair in pairs.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("`{}` needs a value", pair[0]));
        };
        options.insert(name.as_str(), value.as_str());
    }
    let limit = |name: &str, default: f64| match options.get(name) {
        Some(value) => value.parse::<f64>().map_err(|error| format!("`{name}`: {error}")),
        None => Ok(default),
    };
    let mut passed = true;
    if let Some(path) = options.get("--presidio") {
        let total = presidio(&lines(path)?, verbose)?;
        passed &= total.recall() >= limit("--min-recall", 0.0)?;
        passed &= total.precision() >= limit("--min-precision", 0.0)?;
    }
    if let Some(path) = options.get("--benign") {
        let (denied, with_findings) = benign(&lines(path)?, verbose)?;
        passed &= denied == 0 && with_findings as f64 <= limit("--max-benign-findings", f64::MAX)?;
    }
    Ok(passed)
}

fn lines(path: &str) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("`{path}`: {error}"))?;
    let parse = |line: &str| serde_json::from_str(line).map_err(|error| format!("`{path}`: {error}"));
    text.lines().map(parse).collect()
}

/// Each entity by its recogniser alone, as Presidio tests it, and what the default configuration covers of it.
fn presidio(cases: &[Value], verbose: bool) -> Result<Score, String> {
    let everything: Config = config(&json!({}))?;
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    let mut unsupported: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        let name = case["entity"][0].as_str().unwrap_or("none");
        let Some((entity, kind, country)) = ENTITIES.iter().find(|entity| entity.0 == name) else {
            *unsupported.entry(name.to_owned()).or_default() += 1;
            continue;
        };
        let Some((text, expected)) = expectation(case) else {
            continue;
        };
        let alone = config(&json!({
            "identifiers": [kind], "countries": [country], "secrets": false, "sensitivity": "high"
        }))?;
        scores.entry(entity).or_default().add(&judge(text, &expected, &alone, &everything));
        let score = scores.entry(entity).or_default();
        let found = spans(&alone, text);
        if found != expected.spans(text, &found) {
            score.missed.push(format!("    {text:?} expected {:?} found {found:?}", expected.spans(text, &found)));
        }
    }
    Ok(print_table(&scores, &unsupported, verbose))
}

fn print_table(scores: &BTreeMap<&str, Score>, unsupported: &BTreeMap<String, usize>, verbose: bool) -> Score {
    println!("{:26} cases expected found precision recall exact default", "entity");
    let mut total = Score::default();
    for (entity, score) in scores {
        println!("{}", score.line(entity));
        if verbose {
            score.missed.iter().for_each(|line| println!("{line}"));
        }
        total.add(score);
    }
    println!("{}", total.line("all"));
    for (entity, count) in unsupported {
        println!("unsupported: {entity} ({count} cases)");
    }
    total
}

/// What a case expects: places, or only how many.
enum Expected {
    Spans(Vec<(usize, usize)>),
    Count(usize),
}

impl Expected {
    /// The places; where the case names none, what was found counts up to the number it names.
    fn spans(&self, text: &str, found: &[(usize, usize)]) -> Vec<(usize, usize)> {
        match self {
            Expected::Spans(spans) => spans.clone(),
            Expected::Count(count) => {
                let missing = count.saturating_sub(found.len());
                let rest = (0..missing).map(|_| (text.len(), text.len() + 1));
                found.iter().copied().take(*count).chain(rest).collect()
            }
        }
    }
}

fn judge(text: &str, expected: &Expected, alone: &Config, everything: &Config) -> Score {
    let found = spans(alone, text);
    let expected = expected.spans(text, &found);
    let by_default = spans(everything, text);
    let overlaps = |one: &(usize, usize), others: &[(usize, usize)]| {
        others.iter().any(|other| one.0 < other.1 && other.0 < one.1)
    };
    Score {
        cases: 1,
        expected: expected.len(),
        found: found.len(),
        overlapping: expected.iter().filter(|span| overlaps(span, &found)).count(),
        exact: expected.iter().filter(|span| found.contains(span)).count(),
        by_default: expected.iter().filter(|span| overlaps(span, &by_default)).count(),
        missed: Vec::new(),
    }
}

/// The text of a case and its expectation in bytes. Cases on a recogniser's helper functions have none.
fn expectation(case: &Value) -> Option<(&str, Expected)> {
    let text = ["text", "iban", "pesel", "gstin"].iter().find_map(|key| case[*key].as_str())?;
    match case["expected"] {
        Value::Bool(true) => return Some((text, Expected::Spans(vec![(0, text.len())]))),
        Value::Bool(false) => return Some((text, Expected::Spans(Vec::new()))),
        Value::String(_) => return None,
        _ => {}
    }
    let invalid = case["test"].as_str().is_some_and(|name| name.contains("invalid"));
    let count = match case["expected_len"].as_u64() {
        Some(count) => count as usize,
        None if invalid => 0,
        None => return None,
    };
    let keys = ["expected_positions", "expected_res", "expected_position"];
    let list = keys.iter().find_map(|key| case[*key].as_array().filter(|list| !list.is_empty()));
    let pairs: Vec<&Value> = match list {
        Some(list) if list[0].is_array() => list.iter().collect(),
        Some(_) => vec![&case["expected_position"]],
        None => Vec::new(),
    };
    let span = |pair: &&Value| Some((byte(text, pair[0].as_u64()?), byte(text, pair[1].as_u64()?)));
    let spans: Vec<(usize, usize)> = pairs.iter().filter_map(span).collect();
    let expected = if spans.len() == count || count == 0 {
        Expected::Spans(spans.into_iter().take(count).collect())
    } else {
        Expected::Count(count)
    };
    Some((text, expected))
}

/// Presidio counts characters.
fn byte(text: &str, character: u64) -> usize {
    text.char_indices().nth(character as usize).map_or(text.len(), |(index, _)| index)
}

/// How many prompts are denied, and in how many something is found. Masking denies nothing, so the configuration is the
/// default one with secrets denied: a false secret shows as a denial.
fn benign(prompts: &[Value], verbose: bool) -> Result<(usize, usize), String> {
    let strict = config(&json!({"deny": ["secrets"]}))?;
    let (mut denied, mut with_findings) = (0, 0);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for prompt in prompts {
        let text = prompt["text"].as_str().unwrap_or_default();
        let found = scan(&strict, text);
        denied += usize::from(denies(&strict, text)?);
        with_findings += usize::from(!found.is_empty());
        for found in &found {
            *kinds.entry(found.kind.info().name).or_default() += 1;
            if verbose {
                println!("    {:16} {:?}", found.kind.info().name, around(text, found.start, found.end));
            }
        }
    }
    println!("benign prompts: {}, denied {denied}, with findings {with_findings}, by kind {kinds:?}", prompts.len());
    Ok((denied, with_findings))
}

fn around(text: &str, start: usize, end: usize) -> String {
    let before: String = text[..start].chars().rev().take(30).collect();
    format!("{}⟦{}⟧", before.chars().rev().collect::<String>(), &text[start..end])
}

fn spans(config: &Config, text: &str) -> Vec<(usize, usize)> {
    scan(config, text).iter().map(|found| (found.start, found.end)).collect()
}

fn config(json: &Value) -> Result<Config, String> {
    serde_json::from_value(json.clone()).map_err(|error| error.to_string())
}

fn scan(config: &Config, text: &str) -> Vec<Found> {
    config.detector().scan(text).found
}

fn denies(config: &Config, text: &str) -> Result<bool, String> {
    let request = Request::from_json(&json!({"content": [{"text": text}]}).to_string())?;
    Ok(evaluate(config, &request)?.effect != Effect::Allow)
}
