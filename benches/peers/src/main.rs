//! The rule of `benches/grants-guest` in other policy engines, asked from JSON text, each in the quickest way we know.
//!
//! The first line of its input is a JSON array: a policy in Rego, its data, and requests, each as a text. Then a line each: `answers ENGINE` prints a JSON
//! array of whether each is allowed, `time ENGINE ROUNDS` the nanoseconds of CPU that asking all of them so often took.

mod cedar;
mod rego;

use std::hint::black_box;
use std::io::{BufRead, Write};

use rustix::time::{ClockId, clock_gettime};

/// Who may call what, and with which words; the guest of our side is configured by it.
const RULE: &str = include_str!("../rule.json");

/// Whether a request, given as JSON text, is allowed.
trait Engine {
    /// Asks.
    fn allows(&mut self, request: &str) -> bool;
}

fn main() -> std::io::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let first = lines.next().expect("the first line holds the requests")?;
    let (policy, data, requests): (String, String, Vec<String>) = serde_json::from_str(&first)?;
    let (mut interpreter, mut bytecode) =
        (rego::Interpreter::new(&policy, &data), rego::Bytecode::new(&policy, &data));
    let mut cedar = cedar::Cedar::new();
    let mut out = std::io::stdout();
    for line in lines {
        let line = line?;
        let mut words = line.split(' ');
        let command = words.next();
        let engine: &mut dyn Engine = match words.next() {
            Some("regorus") => &mut bytecode,
            Some("regorus-engine") => &mut interpreter,
            Some("cedar") => &mut cedar,
            other => panic!("no engine {other:?}: expected regorus, regorus-engine or cedar"),
        };
        match command {
            Some("answers") => {
                let answers: Vec<bool> = requests.iter().map(|request| engine.allows(request)).collect();
                writeln!(out, "{answers:?}")?;
            }
            Some("time") => {
                let rounds: usize = words.next().and_then(|rounds| rounds.parse().ok()).expect("a number of rounds");
                let before = cpu_nanos();
                for _ in 0..rounds {
                    for request in &requests {
                        black_box(engine.allows(request));
                    }
                }
                writeln!(out, "{}", cpu_nanos() - before)?;
            }
            other => panic!("no command {other:?}: expected answers or time"),
        }
        out.flush()?;
    }
    Ok(())
}

fn cpu_nanos() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
