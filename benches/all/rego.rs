//! Policies in Rego, compiled by OPA (`opa` on the path, or named by `WEIR_OPA`), against themselves in a warm instance, and
//! against regorus and OPA's own server. Where there is no OPA, that is said and nothing is measured.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir::{Recorder, Trial, TrialOptions};

use crate::crowd::ready_kib;
use crate::evaluation::folder;
use crate::hosts::{CALL, open, request};
use crate::instances::{calls, trial};
use crate::measure::{Effort, compare};
use crate::peers::{Peers, RULE, over, requests};
use crate::report::Figure;
use crate::serving::{Serving, ask, clients, post};

/// Who may call what; regorus has it from the same file.
const POLICY: &str = include_str!("../peers/rule.rego");
/// Who somebody is, among everybody: what is looked up is the same, however much there is.
const LOOKUP: &str = r#"package weir

import rego.v1

# METADATA
# entrypoint: true
default allow := false

allow if {
	person := data.people[input.subject.id]
	input.resource.id in person.tools
}
"#;
/// About a mebibyte of people.
const MANY: usize = 10_000;

fn opa() -> Command {
    Command::new(std::env::var_os("WEIR_OPA").unwrap_or_else(|| "opa".into()))
}

/// A bundle of OPA's; none where there is no OPA.
fn compiled(policy: &str, data: &Value) -> Option<Vec<u8>> {
    let folder = folder();
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a new folder takes files");
    write("policy.rego", policy);
    write("data.json", &data.to_string());
    let bundle = folder.path().join("bundle.tar.gz");
    let built = opa().args(["build", "-t", "wasm", "-o"]).arg(&bundle).arg(folder.path()).output();
    let Ok(built) = built else {
        eprintln!("no `opa` is installed (WEIR_OPA names one elsewhere): figures of Rego are left out");
        return None;
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(std::fs::read(&bundle).expect("it was written"))
}

/// The rule that other engines have, too; regorus has it as a part of the policy, so it is a part of it here.
fn rule() -> String {
    format!("{POLICY}\nrule := data.rule\n")
}

fn rule_bundle() -> Option<Vec<u8>> {
    compiled(&rule(), &json!({ "rule": serde_json::from_str::<Value>(RULE).expect("the rule is JSON") }))
}

fn people(count: usize) -> Value {
    let person = |number: usize| {
        let name = if number == 0 { "claims-bot".to_owned() } else { format!("agent-{number}") };
        (
            name,
            json!({ "team": format!("team {}", number % 100), "tools": ["bank", "mail", "maps"], "since": 2026, "note": "a few words" }),
        )
    };
    json!({ "people": (0..count).map(person).collect::<serde_json::Map<_, _>>() })
}

fn kept(bundle: &[u8], isolation: &str) -> Trial {
    trial(bundle, isolation, "{}", TrialOptions::default())
}

/// Instances that are put back, against a warm one, against themselves with more data, and against regorus.
pub(crate) fn restored(effort: Effort) -> Vec<Figure> {
    let Some(bundle) = rule_bundle() else { return Vec::new() };
    let fine = Effort { batch: effort.batch * 5, ..effort };
    let (restored, warm) = (kept(&bundle, "restore"), kept(&bundle, "reuse"));
    let given = restored.given(0, &request(CALL));
    assert_eq!(
        restored.call(0, &given).answer.expect("it answers"),
        warm.call(0, &given).answer.expect("it answers")
    );
    let over_warm = compare(fine, calls(&restored, &given), calls(&warm, &given));

    let bundles = [MANY, 1].map(|count| compiled(LOOKUP, &people(count)).expect("OPA is here"));
    let [many, few] = bundles.each_ref().map(|bundle| kept(bundle, "restore"));
    let data = compare(fine, calls(&many, &given), calls(&few, &given));

    let wanted = if effort.rounds > 1 { 1_000 } else { 20 };
    let options = || TrialOptions { ready_instances: wanted, ..TrialOptions::default() };
    let (_, small, count) = ready_kib(&trial(&bundle, "restore", "{}", options()), wanted);
    let (_, large, _) = ready_kib(&trial(&bundles[0], "restore", "{}", options()), wanted);
    vec![
        Figure::ratio("rego_restore", &over_warm, "the same module in an instance that is never put back")
            .goal("<= 1.10"),
        Figure::ratio("rego_big_data", &data, "the same policy with one person in its data instead of 10,000")
            .goal("<= 1.5")
            .beside("data_mib", people(MANY).to_string().len() as f64 / f64::from(1 << 20)),
        Figure::new(
            "rego_ready_kib",
            small,
            "KiB",
            "nothing: RssAnon of this process, before and after they are made",
        )
        .beside("with_a_mebibyte_of_data_kib", large)
        .beside("instances", count as f64),
        over_regorus(effort, &restored),
    ]
}

fn over_regorus(effort: Effort, ours: &Trial) -> Figure {
    let requests = requests();
    let answer = |request: &String| ours.call(0, request.as_bytes()).answer.expect("it answers");
    let allowed: Vec<bool> =
        requests.iter().map(|request| answer(request).windows(7).any(|text| text == b"\"allow\"")).collect();
    let peers = RefCell::new(Peers::start(&requests));
    over(effort, ("regorus", &peers), (ours, &requests), &allowed).figure(
        "rego_vs_regorus",
        ">= 3",
        "the same Rego in Weir, put back after each call; the value is regorus 0.14 on its bytecode machine / that",
    )
}

/// OPA's server; it ends with this.
struct OpaServer {
    process: Child,
    address: SocketAddr,
}

impl OpaServer {
    fn start(folder: &Path) -> OpaServer {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("there is a free port");
        let mut server = opa();
        server.args(["run", "--server", "--log-level", "error", "--addr", &address.to_string()]).arg(folder);
        let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("opa starts");
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "opa does not listen");
            std::thread::yield_now();
        }
        OpaServer { process, address }
    }

    /// Processor time of all its threads, to a hundredth of a second.
    fn time(&self) -> Duration {
        const TICKS: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("Linux tells it");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Fields 14 and 15 of proc_pid_stat(5), of which two stand before the bracket.
        let ticks: u64 = [fields[11], fields[12]].map(|ticks| ticks.parse::<u64>().expect("a number")).iter().sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }
}

impl Drop for OpaServer {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a request costs a server: OPA's, and ours with the same policy.
pub(crate) fn served(effort: Effort) -> Vec<Figure> {
    let Some(bundle) = rule_bundle() else { return Vec::new() };
    let folder = folder();
    std::fs::write(folder.path().join("policy.rego"), rule()).expect("a new folder takes files");
    std::fs::write(folder.path().join("data.json"), format!("{{\"rule\":{RULE}}}"))
        .expect("a new folder takes files");
    let opa = OpaServer::start(folder.path());
    let ours = Serving::of("rego", move || {
        let set = "set = \"bench\"\n[policies.rule]\nmodule = \"rule.tar.gz\"\ncheckpoints = [\"tool.call\"]\n";
        open(set, &[("rule.tar.gz", &bundle)], Recorder::discard())
    });
    // Without a key nobody names a tenant; the rule wants one, so both refuse, for the same reason.
    let call = CALL.replace("\"tenant\":\"acme/claims\",", "");
    let (to_ours, to_opa) =
        (post("/v1/evaluate", &call), post("/v1/data/weir/allow", &format!("{{\"input\":{call}}}")));
    let (mut our_clients, mut their_clients) = (clients(ours.address), clients(opa.address));
    // Times of another process are told in hundredths of a second.
    let effort = Effort { rounds: effort.rounds.div_ceil(10), batch: effort.batch * 20 };
    let ratio = compare(
        effort,
        |count| {
            let before = opa.time();
            ask(&mut their_clients, &to_opa, count);
            opa.time() - before
        },
        |count| {
            let before = ours.time();
            ask(&mut our_clients, &to_ours, count);
            ours.time() - before
        },
    );
    let against =
        "CPU of a request to our server, 16 clients; the value is that of OPA's server with the same policy / that";
    vec![Figure::ratio("rego_vs_opa", &ratio, against).goal(">= 5")]
}
