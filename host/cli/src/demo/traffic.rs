//! Requests as a company would send them, from a seed: the same seed gives the same bytes on every machine.
//!
//! A request is one thing that one team does at one checkpoint. `templates` holds the teams and their texts; here are
//! the mix of checkpoints, the values for the slots of a text, and the numbers of a model.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::templates::{COMPANIES, Call, DESKS, Desk, FIRST_NAMES, HOSTS, JOBS, LAST_NAMES};

/// An endless stream of requests as JSON, one per item and without line breaks.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    dice: Dice,
    /// How many requests there were.
    number: u64,
    /// Since midnight of [`FIRST_DAY`].
    elapsed_ms: u64,
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Days between the start of 2026 and its first Monday, on which the stream starts at nine.
const FIRST_DAY: u64 = 4;

impl Traffic {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Traffic {
        Traffic { dice: Dice(seed), number: 0, elapsed_ms: 9 * HOUR_MS }
    }
}

impl Iterator for Traffic {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let desk = self.dice.pick(DESKS);
        let Act { checkpoint, fields } = act(&mut self.dice, desk);
        self.number += 1;
        let sender = [
            ("id", json!(format!("demo-{:06}", self.number))),
            ("checkpoint", json!(checkpoint)),
            ("tenant", json!(desk.tenant)),
            ("system", json!(desk.system)),
            ("time", json!(time(self.elapsed_ms))),
            ("context", json!({ "region": desk.region })),
        ];
        self.elapsed_ms += self.dice.between(50, 2_950);
        Some(object(sender.into_iter().chain(fields)))
    }
}

/// What a request says beside who sent it.
struct Act {
    checkpoint: &'static str,
    fields: Vec<(&'static str, Value)>,
}

/// Mostly talk, some tools, and now and then numbers.
fn act(dice: &mut Dice, desk: &Desk) -> Act {
    match dice.below(100) {
        0..50 => prompt(dice, desk),
        50..72 => answer(dice, desk),
        72..88 => tool_call(dice, desk),
        88..95 if !desk.work.attributes.is_empty() => release(dice, desk),
        _ => window(dice, desk),
    }
}

fn prompt(dice: &mut Dice, desk: &Desk) -> Act {
    let mut slots = Slots::new(dice, desk);
    let mut content = vec![part("system", "system", desk.work.instruction.to_owned())];
    if dice.chance(30) {
        let document = dice.pick(desk.work.documents);
        content.push(part("tool", "retrieved", slots.fill(dice, document)));
    }
    let question = dice.pick(desk.work.prompts);
    content.push(part("user", "user", slots.fill(dice, question)));
    let user = format!("user-{:02}", dice.between(1, 40));
    let fields = vec![("subject", entity("user", &user)), ("content", Value::Array(content))];
    Act { checkpoint: "inference.input", fields }
}

fn answer(dice: &mut Dice, desk: &Desk) -> Act {
    let answer = dice.pick(desk.work.answers);
    let content = part("assistant", "model", Slots::new(dice, desk).fill(dice, answer));
    let fields = vec![("subject", entity("agent", desk.agent)), ("content", json!([content]))];
    Act { checkpoint: "inference.output", fields }
}

fn tool_call(dice: &mut Dice, desk: &Desk) -> Act {
    let mut slots = Slots::new(dice, desk);
    let Call { action, tool, result } = dice.pick(desk.work.calls);
    let content = part("tool", "tool", slots.fill(dice, result));
    let arguments = json!({ "limit": dice.between(1, 50), "reference": slots.fill(dice, "{ticket}") });
    let fields = vec![
        ("subject", entity("agent", desk.agent)),
        ("action", json!({ "name": action })),
        ("resource", entity("tool", tool)),
        ("content", json!([content])),
        ("payload", json!({ "arguments": arguments })),
    ];
    Act { checkpoint: "tool.call", fields }
}

/// A new version of a model, with how many people of each group it selected.
fn release(dice: &mut Dice, desk: &Desk) -> Act {
    let attributes = desk.work.attributes;
    let outcome = dice.pick(OUTCOMES);
    let odd = dice.below(attributes.len() as u64) as usize;
    let mut measures = Vec::new();
    for (index, groups) in attributes.iter().enumerate() {
        let outcome = if index == odd { outcome } else { Outcome::Fair };
        measures.extend(selections(dice, groups, outcome));
    }
    let version = format!("{}-1.{}.{}", desk.work.model, dice.below(20), dice.below(10));
    let fields = vec![
        ("subject", entity("pipeline", "release")),
        ("action", json!({ "name": "model.release" })),
        ("resource", entity("model", &version)),
        ("measures", Value::Array(measures)),
    ];
    Act { checkpoint: "model.verify", fields }
}

/// How the groups of a model compare; the ranges in [`Outcome::shape`] make each what its name says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// Rates as far apart as chance puts them.
    Fair,
    /// One group below four fifths, and significantly.
    Unfair,
    /// One group below four fifths, but of so few people that it proves nothing.
    FewPeople,
    /// One group significantly behind, but above four fifths.
    ManyPeople,
}

const OUTCOMES: &[Outcome] = &[
    Outcome::Fair,
    Outcome::Fair,
    Outcome::Fair,
    Outcome::Fair,
    Outcome::Fair,
    Outcome::Fair,
    Outcome::Fair,
    Outcome::Unfair,
    Outcome::FewPeople,
    Outcome::ManyPeople,
];

type Range = (u64, u64);

impl Outcome {
    /// People of every group, people of the one that is behind, and its rate in percent of the others'.
    fn shape(self) -> (Range, Range, Range) {
        match self {
            Outcome::Fair => ((300, 2_000), (300, 2_000), (100, 100)),
            Outcome::Unfair => ((300, 2_000), (300, 2_000), (50, 66)),
            Outcome::FewPeople => ((300, 2_000), (36, 44), (70, 75)),
            Outcome::ManyPeople => ((6_000, 9_000), (6_000, 9_000), (86, 90)),
        }
    }
}

fn selections(dice: &mut Dice, groups: &[&str], outcome: Outcome) -> Vec<Value> {
    let (people, people_behind, percent_behind) = outcome.shape();
    let (rate, behind) = (dice.between(35, 45), dice.below(groups.len() as u64) as usize);
    let mut measure = |(index, group): (usize, &&str)| {
        let (people, share) = if index == behind { (people_behind, percent_behind) } else { (people, (100, 100)) };
        let (people, share) = (dice.between(people.0, people.1), dice.between(share.0, share.1));
        // A third of a standard deviation to either side, which no test takes for a difference.
        let noise = people.isqrt() / 7;
        let selected = people * rate * share / 10_000 + dice.between(0, 2 * noise) - noise;
        json!({ "count": people, "group": group, "name": "selected", "value": selected })
    };
    groups.iter().enumerate().map(&mut measure).collect()
}

/// A week of production numbers.
fn window(dice: &mut Dice, desk: &Desk) -> Act {
    let answers = dice.between(400, 9_000);
    let overturned = answers * dice.between(5, 60) / 1_000;
    let measures = json!([
        { "count": answers, "name": "overturned", "value": overturned },
        { "count": answers, "name": "latency_p95_ms", "value": dice.between(180, 2_400) },
        { "count": answers, "name": "drift_psi", "value": dice.between(1, 30) as f64 / 100.0 },
    ]);
    let fields = vec![
        ("subject", entity("job", "monitor")),
        ("resource", entity("model", desk.work.model)),
        ("measures", measures),
        ("payload", json!({ "days": 7 })),
    ];
    Act { checkpoint: "monitoring.window", fields }
}

/// JSON with the keys in the order of the documentation. In the objects inside, `json!` keeps the order or sorts,
/// whatever the rest of the build asks of `serde_json`: they are written in alphabetical order, where both agree.
fn object(fields: impl Iterator<Item = (&'static str, Value)>) -> String {
    let fields: Vec<String> = fields.map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn part(role: &str, origin: &str, text: String) -> Value {
    json!({ "origin": origin, "role": role, "text": text })
}

fn entity(kind: &str, id: &str) -> Value {
    json!({ "id": id, "type": kind })
}

/// RFC 3339, for milliseconds since midnight of the first day.
fn time(elapsed_ms: u64) -> String {
    let (mut year, mut month, mut day) = (2026, 1, FIRST_DAY + elapsed_ms / DAY_MS);
    loop {
        let length = match month {
            2 if year % 4 == 0 => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if day < length {
            break;
        }
        day -= length;
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    let (hour, minute) = (elapsed_ms % DAY_MS / HOUR_MS, elapsed_ms % HOUR_MS / 60_000);
    let (second, milli) = (elapsed_ms % 60_000 / 1_000, elapsed_ms % 1_000);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", day + 1)
}

/// The values of one request: a slot that occurs twice says the same twice, and a name belongs to its address.
struct Slots {
    first: &'static str,
    last: &'static str,
    cities: &'static [&'static str],
    drawn: BTreeMap<&'static str, String>,
}

impl Slots {
    fn new(dice: &mut Dice, desk: &Desk) -> Slots {
        let (first, last) = (dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES));
        Slots { first, last, cities: desk.cities, drawn: BTreeMap::new() }
    }

    fn fill(&mut self, dice: &mut Dice, template: &'static str) -> String {
        let (mut text, mut rest) = (String::new(), template);
        while let Some((before, slot)) = rest.split_once('{') {
            let (slot, behind) = slot.split_once('}').expect("a test fills every template");
            text.push_str(before);
            if !self.drawn.contains_key(slot) {
                let value = self.value(dice, slot);
                self.drawn.insert(slot, value);
            }
            text.push_str(&self.drawn[slot]);
            rest = behind;
        }
        text + rest
    }

    /// Nothing here can be anybody's: domains, telephone numbers and addresses are those set aside for examples, banks
    /// do not exist, and cards have the first digits of test cards.
    fn value(&self, dice: &mut Dice, slot: &str) -> String {
        let Slots { first, last, .. } = self;
        match slot {
            "name" => format!("{first} {last}"),
            "first" => (*first).to_owned(),
            "email" => format!("{first}.{last}@mail.example").to_lowercase(),
            "phone" => format!("+49 30 23125 {:03}", dice.below(1_000)),
            "city" => dice.pick(self.cities).to_owned(),
            "company" => dice.pick(COMPANIES).to_owned(),
            "job" => dice.pick(JOBS).to_owned(),
            "host" => dice.pick(HOSTS).to_owned(),
            "ip" => format!("203.0.113.{}", dice.between(1, 254)),
            "claim" => format!("C-{:05}", dice.between(10_000, 99_999)),
            "ticket" => format!("OPS-{}", dice.between(1_000, 9_999)),
            "amount" => dice.between(80, 9_800).to_string(),
            "percent" => dice.between(11, 97).to_string(),
            "days" => dice.between(5, 40).to_string(),
            "years" => dice.between(2, 19).to_string(),
            "date" => format!("2025-{:02}-{:02}", dice.between(1, 12), dice.between(1, 28)),
            "iban" => iban(dice),
            "card" => card(dice),
            "aws_key" => format!("AKIA{}", dice.letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
            "github_token" => format!("ghp_{}", dice.letters(ALPHANUMERIC, 36)),
            "password" => dice.letters(ALPHANUMERIC, 20),
            _ => unreachable!("a test fills every template; `{slot}` is no slot"),
        }
    }
}

const DIGITS: &[u8] = b"0123456789";
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An account at a bank that does not exist, with the check digits of ISO 7064, in groups as people write it.
fn iban(dice: &mut Dice) -> String {
    let (country, account) = match dice.below(3) {
        // No bank code of Germany starts with 9.
        0 => ("DE", format!("9{}", dice.letters(DIGITS, 17))),
        1 => ("NL", format!("DEMO{}", dice.letters(DIGITS, 10))),
        _ => ("GB", format!("DEMO{}", dice.letters(DIGITS, 14))),
    };
    let digits = |byte: u8| if byte.is_ascii_digit() { (10, byte - b'0') } else { (100, byte - b'A' + 10) };
    let with_zeros = format!("{account}{country}00");
    let rest = with_zeros.bytes().map(digits).fold(0, |rest, (base, digit)| (rest * base + u64::from(digit)) % 97);
    grouped(&format!("{country}{:02}{account}", 98 - rest))
}

/// A card number with its check digit after Luhn.
fn card(dice: &mut Dice) -> String {
    let number = format!("{}{}", dice.pick(&["411111", "555555"]), dice.letters(DIGITS, 9));
    let doubled = |(index, byte): (usize, u8)| match u32::from(byte - b'0') {
        digit if index % 2 == 1 => digit,
        digit => digit * 2 / 10 + digit * 2 % 10,
    };
    let sum: u32 = number.bytes().enumerate().map(doubled).sum();
    grouped(&format!("{number}{}", (10 - sum % 10) % 10))
}

fn grouped(text: &str) -> String {
    let mut groups = String::new();
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            groups.push(' ');
        }
        groups.push(character);
    }
    groups
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0, without the end. Small numbers are likelier by less than anybody could see.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u64) as usize]
    }

    fn letters(&mut self, alphabet: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(alphabet[self.below(alphabet.len() as u64) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn requests(count: usize) -> Vec<Value> {
        Traffic::new(1).take(count).map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    #[test]
    fn a_seed_is_a_stream() {
        let stream = |seed| Traffic::new(seed).take(500).collect::<Vec<String>>();
        assert_eq!(stream(7), stream(7));
        assert_ne!(stream(7), stream(8));
        let mut dice = Dice(1_234_567);
        assert_eq!([dice.roll(), dice.roll()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn requests_are_numbered_and_in_order() {
        let requests = requests(3_000);
        assert_eq!((&requests[0]["id"], &requests[2_999]["id"]), (&json!("demo-000001"), &json!("demo-003000")));
        assert_eq!(requests[0]["time"], "2026-01-05T09:00:00.000Z");
        assert!(requests.is_sorted_by(|one, next| one["time"].as_str() < next["time"].as_str()));
        assert_eq!(time(DAY_MS * (31 + 28 + 30) + 3_723_004), "2026-04-04T01:02:03.004Z");
        assert_eq!(time(DAY_MS * (365 + 365 + 55)), "2028-02-29T00:00:00.000Z");
    }

    #[test]
    fn every_checkpoint_and_every_team_appears() {
        let requests = requests(3_000);
        let seen = |key: &str| requests.iter().map(|r| r[key].as_str().unwrap()).collect::<BTreeSet<&str>>();
        let checkpoints = ["inference.input", "inference.output", "model.verify", "monitoring.window", "tool.call"];
        assert_eq!(seen("checkpoint"), BTreeSet::from(checkpoints));
        assert_eq!(seen("tenant"), DESKS.iter().map(|desk| desk.tenant).collect());
        assert_eq!(seen("system"), BTreeSet::from(["claims-triage", "coding-assistant", "hiring-screener"]));
    }

    #[test]
    fn every_template_can_be_filled() {
        let mut dice = Dice(1);
        for desk in DESKS {
            let work = desk.work;
            let results = work.calls.iter().map(|call| call.result);
            for template in [work.prompts, work.documents, work.answers].concat().into_iter().chain(results) {
                let text = Slots::new(&mut dice, desk).fill(&mut dice, template);
                assert!(!text.contains(['{', '}']), "{text}");
            }
        }
    }

    #[test]
    fn check_digits_are_right() {
        let mut dice = Dice(1);
        for _ in 0..500 {
            let iban = iban(&mut dice).replace(' ', "");
            let turned = format!("{}{}", &iban[4..], &iban[..4]);
            let digits: String = turned.chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
            assert_eq!(digits.bytes().fold(0, |rest, byte| (rest * 10 + u32::from(byte - b'0')) % 97), 1, "{iban}");
            let card = card(&mut dice).replace(' ', "");
            let digits = card.bytes().rev().map(|byte| u32::from(byte - b'0')).enumerate();
            let sum: u32 = digits.map(|(i, d)| if i % 2 == 0 { d } else { d * 2 / 10 + d * 2 % 10 }).sum();
            assert!(card.len() == 16 && sum.is_multiple_of(10), "{card}");
        }
    }

    #[test]
    fn few_releases_are_unfair() {
        let lowest = |request: &Value| {
            let rate = |measure: &Value| measure["value"].as_f64().unwrap() / measure["count"].as_f64().unwrap();
            request["measures"].as_array().unwrap().iter().map(rate).fold(1.0, f64::min)
        };
        let requests = requests(6_000);
        let releases: Vec<&Value> = requests.iter().filter(|r| r["checkpoint"] == "model.verify").collect();
        let low = releases.iter().filter(|release| lowest(release) < 0.3).count();
        assert!(low * 20 > releases.len() && low * 2 < releases.len(), "{low} of {}", releases.len());
    }
}
