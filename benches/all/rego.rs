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
use crate::instances::{calls, trial, trial_of};
use crate::measure::{Effort, compare};
use crate::peers::{Peers, over, requests, rule_data, rule_in_rego};
use crate::report::Figure;
use crate::serving::{Serving, ask, clients, post};

/// Roles of people and what they may do.
const RBAC: &str = include_str!("../peers/rbac.rego");
/// How that is asked here: by a whole request, of which it is given this.
const RBAC_INPUT: &str = r#"input = { user = "/subject/id", action = "/action/name", type = "/resource/id" }"#;
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

/// A hundred people, each with two of twenty roles, which have five grants each.
fn roles() -> Value {
    let name = |number: usize| if number == 0 { "claims-bot".to_owned() } else { format!("agent-{number}") };
    let role = |number: usize| format!("role-{}", number % 20);
    let people = (0..100).map(|number| (name(number), json!([role(number), role(number + 7)])));
    let grant = |number: usize| match number {
        39 => json!({ "action": "payments.transfer", "type": "bank" }),
        _ => json!({ "action": "read", "type": format!("kind-{number}") }),
    };
    let grants = (0..20).map(|number| (role(number), (0..5).map(|place| grant(number * 5 + place)).collect()));
    let (people, grants): (serde_json::Map<_, _>, serde_json::Map<_, Value>) = (people.collect(), grants.collect());
    json!({ "roles": people, "grants": grants })
}

/// A thousand rules, each for one person and one tool.
fn many_rules() -> String {
    let rule = |number: usize| {
        let tool = if number == 500 { "bank".to_owned() } else { format!("tool-{number}") };
        format!("allow if {{\n\tinput.resource.id == \"{tool}\"\n\tinput.subject.id == \"claims-bot\"\n}}\n")
    };
    let head = "package weir\n\nimport rego.v1\n\n# METADATA\n# entrypoint: true\ndefault allow := false\n";
    format!("{head}\n{}", (0..1_000).map(rule).collect::<String>())
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

/// The roles in instances that are put back, with what they are given of requests that are allowed or not.
fn with_roles(bundle: &[u8]) -> (Trial, Vec<String>) {
    let trial = trial_of(bundle, &format!("isolation = \"restore\"\n{RBAC_INPUT}"), "{}", TrialOptions::default());
    let requests =
        [CALL.to_owned(), CALL.replace("payments.transfer", "read"), CALL.replace("claims-bot", "agent-3")];
    let given = requests.iter().map(|text| String::from_utf8(trial.given(0, &request(text))).expect("JSON is UTF-8"));
    let given = given.collect();
    (trial, given)
}

/// Instances that are put back, against a warm one, and against themselves with more data.
pub(crate) fn restored(effort: Effort) -> Vec<Figure> {
    let Some(bundle) = compiled(RBAC, &roles()) else { return Vec::new() };
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
    ]
}

/// The same policies in regorus.
pub(crate) fn over_regorus(effort: Effort) -> Vec<Figure> {
    let Some(bundle) = compiled(RBAC, &roles()) else { return Vec::new() };
    let none = json!({});
    let (by_roles, by_words) = (with_roles(&bundle), compiled(&rule_in_rego(), &rule_data()).expect("OPA is here"));
    let by_rules = compiled(&many_rules(), &none).expect("OPA is here");
    let (engine, bytecode) = (
        (
            "regorus-engine",
            "the same Rego in Weir, put back after each call; the value is regorus 0.14 by its engine / that",
        ),
        (
            "regorus",
            "the same Rego in Weir, put back after each call; the value is regorus 0.14 on its bytecode machine / that",
        ),
    );
    let figure = |name, (peer, against), (ours, requests): &(Trial, Vec<String>), policy: &str, data: &Value| {
        let answer = |request: &String| ours.call(0, request.as_bytes()).answer.expect("it answers");
        let allowed: Vec<bool> =
            requests.iter().map(|request| answer(request).windows(7).any(|text| text == b"\"allow\"")).collect();
        assert!(allowed.contains(&true) && allowed.contains(&false), "{name}: {allowed:?}");
        let peers = RefCell::new(Peers::start(policy, data, requests));
        over(effort, (peer, &peers), (ours, requests), &allowed).figure(name, against)
    };
    let whole = |bundle: &[u8]| (kept(bundle, "restore"), requests());
    vec![
        figure("rego_vs_regorus", engine, &by_roles, RBAC, &roles()).goal(">= 3"),
        figure("rego_vs_bytecode", bytecode, &by_roles, RBAC, &roles()),
        figure("rego_words_vs_bytecode", bytecode, &whole(&by_words), &rule_in_rego(), &rule_data()),
        figure("rego_rules_vs_bytecode", bytecode, &whole(&by_rules), &many_rules(), &none),
    ]
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
    let Some(bundle) = compiled(RBAC, &roles()) else { return Vec::new() };
    let folder = folder();
    std::fs::write(folder.path().join("policy.rego"), RBAC).expect("a new folder takes files");
    std::fs::write(folder.path().join("data.json"), roles().to_string()).expect("a new folder takes files");
    let opa = OpaServer::start(folder.path());
    let ours = Serving::of("rego", move || {
        let set = format!(
            "set = \"bench\"\n[policies.roles]\nmodule = \"roles.tar.gz\"\ncheckpoints = [\"tool.call\"]\n{RBAC_INPUT}\n"
        );
        open(&set, &[("roles.tar.gz", &bundle)], Recorder::discard())
    });
    let (to_ours, to_opa) = (
        post(
            "/v1/evaluate",
            r#"{"checkpoint":"tool.call","subject":{"type":"agent","id":"claims-bot"},"action":{"name":"payments.transfer"},"resource":{"type":"tool","id":"bank"}}"#,
        ),
        post("/v1/data/weir/allow", r#"{"input":{"user":"claims-bot","action":"payments.transfer","type":"bank"}}"#),
    );
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
