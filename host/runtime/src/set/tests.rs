//! Whole files against the sets and the errors they give.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::date;
use serde_json::json;

use super::*;
use crate::report::SetError;

/// The example of the contract.
const EXAMPLE: &str = r#"set   = "claims-eu"
owner = "model-risk@acme.example"

[systems.claims-triage]                  # what we run; a caller cannot weaken it
deployed_in = ["DE"]
affects     = ["EU"]
industry    = "insurance"
use_case    = "claims-triage"
role        = "deployer"
risk_tier   = "high"

[checkpoints."inference.input"]
when_unbound       = "deny"              # nothing applies here: deny is the default
when_record_fails  = "deny"              # deny | allow_and_count
durability         = "group"             # strict | group | async

[policies.pii]
module      = "pii_secrets.wasm"         # relative to this file; digest pinned by weir.lock when there is one
checkpoints = ["inference.input", "inference.output"]
systems     = ["*"]
when        = { region = ["eu", "uk"] }  # any context key; lists and globs. A key that the request lacks: the policy applies
mode        = "enforce"                  # enforce | shadow | off
owner       = "privacy@acme.example"     # who answers for it; the set's owner when absent
on_failure  = "deny"                     # looser: { effect = "review", until = 2027-01-31, approved_by = ["j.doe", "m.roe"] }
because     = ["eu-gdpr", "house:P-2"]
limits      = { fuel = 5_000_000, memory = "16 MiB", deadline = "20 ms", output = "256 KiB" }
grants      = ["log"]
config      = { identifiers = ["iban", "card"], action = "mask" }

[tenants."acme/*"]
weight = 2                               # share of the machine under load
class  = "normal"                        # interactive | normal | bulk; a request may lower it, never raise it
"#;

fn set(text: &str) -> Set {
    parse("weir.toml", text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn errors(text: &str) -> Vec<SetError> {
    parse("weir.toml", text).expect_err(text)
}

/// A set with one policy, of which `line` is a setting; errors are expected on line 4.
fn with_setting(line: &str) -> String {
    format!("set = \"s\"\n[policies.p]\nmodule = \"p.wasm\"\n{line}\n")
}

fn binding(line: &str) -> Binding {
    set(&with_setting(line)).policies.remove(0)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().copied().map(Pattern::new).collect()
}

fn place(line: usize, column: usize) -> Place {
    Place { line, column }
}

#[test]
fn the_example_of_the_contract() {
    let set = set(EXAMPLE);
    assert_eq!(set.name, "claims-eu");
    assert_eq!(set.owner.as_deref(), Some("model-risk@acme.example"));
    let system = System {
        deployed_in: texts(&["DE"]),
        affects: texts(&["EU"]),
        industry: Some("insurance".into()),
        use_case: Some("claims-triage".into()),
        role: Some("deployer".into()),
        risk_tier: Some("high".into()),
    };
    assert_eq!(set.systems, BTreeMap::from([("claims-triage".to_owned(), system)]));
    assert_eq!(set.checkpoints, BTreeMap::from([("inference.input".to_owned(), Checkpoint::default())]));
    assert_eq!(set.tenants, [Tenant { pattern: Pattern::new("acme/*"), weight: 2, class: Class::Normal }]);

    let [pii] = &set.policies[..] else { panic!("{:?}", set.policies) };
    assert_eq!((pii.name.as_str(), pii.module.as_str(), pii.place), ("pii", "pii_secrets.wasm", place(17, 11)));
    assert_eq!(pii.checkpoints, Some(patterns(&["inference.input", "inference.output"])));
    assert_eq!(pii.systems, [Pattern::new("*")]);
    assert_eq!(pii.when, BTreeMap::from([("region".to_owned(), patterns(&["eu", "uk"]))]));
    assert_eq!(pii.mode, Mode::Enforce);
    assert_eq!(pii.owner.as_deref(), Some("privacy@acme.example"));
    assert_eq!(pii.on_failure, OnFailure::default());
    assert_eq!(pii.because, ["eu-gdpr", "house:P-2"]);
    assert_eq!(pii.limits, Limits::default());
    assert_eq!(pii.grants, BTreeSet::from([Grant::Log]));
    assert_eq!(pii.config, json!({"identifiers": ["iban", "card"], "action": "mask"}));
}

#[test]
fn defaults() {
    let set = set("set = \"s\"\nowner = \"o\"\n[policies.p]\nmodule = \"p.wasm\"\n[systems.x]\n[tenants.t]\n");
    let mut expected = Binding::new("p", "p.wasm");
    expected.owner = Some("o".into());
    expected.place = place(3, 11);
    assert_eq!(set.policies, [expected]);
    assert_eq!(set.systems["x"], System::default());
    assert_eq!(set.tenants, [Tenant { pattern: Pattern::new("t"), weight: 1, class: Class::Normal }]);

    let policy = &set.policies[0];
    assert_eq!((&policy.checkpoints, &policy.systems), (&None, &patterns(&["*"])));
    assert_eq!((policy.mode, &policy.config), (Mode::Enforce, &json!({})));
    assert_eq!((policy.on_failure.effect, policy.on_failure.until), (Effect::Deny, None));
    assert!(policy.when.is_empty() && policy.because.is_empty() && policy.grants.is_empty());
    let checkpoint = set.checkpoint("tool.call");
    assert_eq!(checkpoint.when_unbound, WhenUnbound::Deny);
    assert_eq!(checkpoint.when_record_fails, WhenRecordFails::Deny);
    assert_eq!(checkpoint.durability, Durability::Group);
    let limits = Limits {
        fuel: 5_000_000,
        memory_bytes: 16 << 20,
        deadline: Duration::from_millis(20),
        output_bytes: 256 << 10,
        host_calls: 1_000,
    };
    assert_eq!(policy.limits, limits);
}

#[test]
fn an_empty_set_denies_everything_and_is_a_set() {
    let set = set("\u{feff}set = 'nothing'\r\n");
    assert_eq!(set, Set { name: "nothing".into(), ..Set::default() });
}

#[test]
fn every_word_is_read() {
    for (word, mode) in [("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)] {
        assert_eq!((binding(&format!("mode = '{word}'")).mode, mode.as_str()), (mode, word));
    }
    let all =
        set("set = 's'\n[checkpoints.\"a.b\"]\nwhen_unbound = 'allow'\nwhen_record_fails = 'allow_and_count'\n\
                   durability = 'async'\n[checkpoints.c]\ndurability = 'strict'\n[tenants.b]\nclass = 'bulk'\n\
                   [tenants.a]\nclass = 'interactive'\n");
    let loose = Checkpoint {
        when_unbound: WhenUnbound::Allow,
        when_record_fails: WhenRecordFails::AllowAndCount,
        durability: Durability::Async,
    };
    assert_eq!(all.checkpoint("a.b"), loose);
    assert_eq!(all.checkpoint("c").durability, Durability::Strict);
    let classes: Vec<_> = all.tenants.iter().map(|tenant| (tenant.pattern.as_str(), tenant.class)).collect();
    assert_eq!(classes, [("b", Class::Bulk), ("a", Class::Interactive)]);
    assert_eq!(binding("grants = ['state', 'log', 'log']").grants, BTreeSet::from([Grant::Log, Grant::State]));
}

#[test]
fn policies_keep_the_order_of_the_file() {
    let set =
        set("set = 's'\npolicies.z.module = 'z'\n[policies.b]\nmodule = 'b'\n[policies.\"a.c\"]\nmodule = 'a'\n");
    let names: Vec<_> = set.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["z", "b", "a.c"]);
}

#[test]
fn a_looser_failure_ends_after_its_last_day() {
    let on_failure =
        binding("on_failure = { effect = 'review', until = 2027-01-31, approved_by = ['j.doe'] }").on_failure;
    let expected =
        OnFailure { effect: Effect::Review, until: Some(date(2027, 1, 31)), approved_by: texts(&["j.doe"]) };
    assert_eq!(on_failure, expected);
    assert_eq!(on_failure.counts_as(date(2027, 1, 30)), Effect::Review);
    assert_eq!(on_failure.counts_as(date(2027, 1, 31)), Effect::Review);
    assert_eq!(on_failure.counts_as(date(2027, 2, 1)), Effect::Deny);

    let unlimited = OnFailure { effect: Effect::Allow, until: None, approved_by: texts(&["j.doe"]) };
    assert_eq!(unlimited.counts_as(date(2027, 1, 1)), Effect::Deny);
    assert_eq!(binding("on_failure = { effect = 'deny' }").on_failure, OnFailure::default());
    assert_eq!(OnFailure::default().counts_as(date(2027, 1, 1)), Effect::Deny);
}

#[test]
fn errors_of_one_setting() {
    let names = "1 to 128 lower-case letters, digits, `_` and `-`, in words between dots";
    let cases: &[(&str, usize, &str)] = &[
        ("mode = 1", 8, "`mode`: expected text, found an integer"),
        ("mode = 'on'", 8, "`mode`: unknown value `on`"),
        ("owner = ' '", 9, "`owner`: the text is empty"),
        ("grant = ['log']", 1, "unknown key `grant`"),
        ("grants = ['log', 'net']", 18, "`grants`: unknown value `net`"),
        ("systems = 'a'", 11, "`systems`: expected an array, found text"),
        ("systems = []", 11, "`systems`: the list is empty: the policy would never apply"),
        ("checkpoints = []", 15, "`checkpoints`: the list is empty: the policy would never apply"),
        ("when = { region = [] }", 19, "`region`: the list is empty: the policy would never apply"),
        ("when = { adult = [true] }", 19, "`adult`: expected text, found a boolean"),
        ("when = ['eu']", 8, "`when`: expected a table, found an array"),
        ("because = ['a', 1.5]", 17, "`because`: expected text, found a float"),
        ("on_failure = 1", 14, "`on_failure`: expected `deny` or a table, found an integer"),
        ("on_failure = 'denied'", 14, "`on_failure`: unknown value `denied`"),
        (
            "on_failure = 'allow'",
            14,
            "`on_failure`: `allow` is looser than `deny` and needs an expiry and an approver",
        ),
        ("on_failure = {}", 14, "missing key `effect`"),
        ("on_failure = { effect = 'allow', until = 2027-01-31 }", 14, "missing key `approved_by`"),
        ("on_failure = { effect = 'review', approved_by = ['j'] }", 14, "missing key `until`"),
        (
            "on_failure = { effect = 'deny', approved_by = [] }",
            47,
            "`approved_by`: the list is empty: nobody approved it",
        ),
        ("on_failure = { effect = 'deny', until = '2027-01-31' }", 41, "`until`: expected a date, found text"),
        (
            "on_failure = { effect = 'deny', until = 2027-01-31T00:00:00Z }",
            41,
            "`until`: expected a date, found a date or time",
        ),
        ("on_failure = { effect = 'deny', until = 12:00:00 }", 41, "`until`: expected a date, found a date or time"),
        ("on_failure = { effect = 'deny', by = 1 }", 33, "unknown key `by`"),
        ("config = []", 10, "`config`: expected a table, found an array"),
        ("config = { x = inf }", 16, "`x`: expected a number that JSON can hold, found `inf`"),
        ("config = { a = [-nan] }", 17, "`a`: expected a number that JSON can hold, found `-nan`"),
        ("config = { x = 1e400 }", 16, "`x`: expected a number that JSON can hold, found `1e400`"),
        (
            "config = { x = 9223372036854775808 }",
            16,
            "`x`: `9223372036854775808` is out of range: it must be within 64 bits with a sign",
        ),
        ("limits = { fuels = 1 }", 12, "unknown key `fuels`"),
    ];
    for (line, column, message) in cases {
        let found: Vec<_> = errors(&with_setting(line)).into_iter().map(|e| (e.line, e.column, e.message)).collect();
        assert_eq!(found, [(4, *column, message.to_string())], "{line}");
    }
    let [error] = &errors(&with_setting("checkpoints = ['Tool.call', '*']"))[..] else { panic!() };
    let message = format!("`checkpoints`: `Tool.call` matches no checkpoint: a name takes {names}");
    assert_eq!((error.column, &error.message), (16, &message));
}

/// Line, column and message of an error.
type Expected = (usize, usize, &'static str);

const FILES: &[(&str, &[Expected])] = &[
    ("", &[(1, 1, "missing key `set`")]),
    ("set = 1", &[(1, 7, "`set`: expected text, found an integer")]),
    ("set = 's'\npolicies = []", &[(2, 12, "`policies`: expected a table, found an array")]),
    ("set = 's'\n[policies.p]", &[(2, 1, "missing key `module`")]),
    ("set = 's'\n[policies]\np = 'x'", &[(3, 5, "`p`: expected a table, found text")]),
    (
        "set = 's'\n[policies.p]\nmodule = '../x'",
        &[(3, 10, "`module`: `../x` is no path of a module: it must not leave the folder of the set")],
    ),
    (
        "set = 's'\n[regimes.eu]\n[[reviews]]\n[[exceptions]]\n[rollout]",
        &[
            (2, 2, "`regimes` is not known by this version of weir"),
            (3, 3, "`reviews` is not known by this version of weir"),
            (4, 3, "`exceptions` is not known by this version of weir"),
            (5, 2, "`rollout` is not known by this version of weir"),
        ],
    ),
    (
        "set = 's'\n[systems.a]\nrole = 1\nriskier = 2",
        &[(3, 8, "`role`: expected text, found an integer"), (4, 1, "unknown key `riskier`")],
    ),
    (
        "set = 's'\n[policies.\"a/b\"]\nmodule = 'x'",
        &[(2, 11, "`a/b` cannot name a policy: it takes 1 to 128 letters, digits, `.`, `_` and `-`")],
    ),
    (
        "set = 's'\n[checkpoints.\"Tool\"]\nwhen_unbound = 'alow'",
        &[
            (
                2,
                14,
                "`Tool` cannot name a checkpoint: it takes 1 to 128 lower-case letters, digits, `_` and `-`, in words between dots",
            ),
            (3, 16, "`when_unbound`: unknown value `alow`"),
        ],
    ),
    (
        "set = 's'\n[tenants.t]\nweight = 0\nclass = 'slow'",
        &[(3, 10, "`weight`: `0` is out of range: it must be 1 to 1000"), (4, 9, "`class`: unknown value `slow`")],
    ),
    (
        "set = 's'\n[systems.\"\"]\n[tenants.\"a\\nb\"]",
        &[
            (2, 10, "`` cannot name a system: it takes 1 to 128 bytes without control characters"),
            (3, 10, "`a\u{fffd}b` cannot name tenants: it takes 1 to 128 bytes without control characters"),
        ],
    ),
    (
        "set = 's'\n[systems.claims]\n[policies.p]\nmodule = 'x'\nsystems = ['claims', 'cl*', 'clams']",
        &[(3, 11, "the system `clams` is not registered under `systems`")],
    ),
    ("set = 's'\nset = 't'\n[policies.p]", &[(2, 1, "duplicate key `set`"), (3, 1, "missing key `module`")]),
    ("set = ", &[(1, 7, "string values must be quoted, expected literal string")]),
];

#[test]
fn errors_of_a_file() {
    for (text, expected) in FILES {
        let found = errors(text);
        let found: Vec<_> = found.iter().map(|e| (e.line, e.column, e.message.as_str())).collect();
        assert_eq!(found, *expected, "{text}");
    }
}

#[test]
fn help_shows_the_way_out() {
    let cases = [
        ("grant = ['log']", "did you mean `grants`?"),
        ("mode = 'Enforce'", "did you mean `enforce`?"),
        ("mode = 'x'", "expected one of `enforce`, `shadow`, `off`"),
        ("systems = 'a'", "put it in brackets: `[\"…\"]`"),
        (
            "on_failure = 'review'",
            r#"write `on_failure = { effect = "review", until = 2027-01-31, approved_by = ["j.doe"] }`"#,
        ),
        (
            "on_failure = { effect = 'deny', until = '2030-12-24' }",
            "write `until = 2030-12-24`, without quotes or a time",
        ),
        (
            "on_failure = { effect = 'deny', until = 2030-12-24T12:00:00 }",
            "write `until = 2030-12-24`, without quotes or a time",
        ),
        ("on_failure = { effect = 'deny', until = 1 }", "write `until = 2027-01-31`, without quotes or a time"),
        ("limits = { memory = 1 }", r#"write it as in `memory = "16 MiB"`"#),
    ];
    for (line, help) in cases {
        assert_eq!(errors(&with_setting(line))[0].help.as_deref(), Some(help), "{line}");
    }
}

#[test]
fn all_errors_are_listed_at_once_and_none_that_only_follows() {
    let text = "set = 's'\nmodes = 1\n[policies.p]\nmodule = p.wasm\nmode = 'of'\n\
                [policies.q]\ngrants = ['x']\nfuel = 1\n[policies.r]\nmodule = 'r'\nlimits = { fuel = 0, memory = '1 B' }\n";
    let found: Vec<_> = errors(text).iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(found, [(2, 1), (4, 10), (5, 8), (7, 11), (8, 1), (11, 19), (11, 31)]);
    assert!(errors(text).iter().all(|error| error.file == "weir.toml"));
}

#[test]
fn ten_thousand_policies() {
    let mut text = "set = 's'\n".to_owned();
    for number in 0..10_000 {
        text += &format!("[policies.p{number}]\nmodule = 'p.wasm'\nconfig = {{ ids = [1, 2, 3], name = 'ü' }}\n");
    }
    let set = set(&text);
    assert_eq!(set.policies.len(), 10_000);
    let last = &set.policies[9_999];
    assert_eq!((last.name.as_str(), last.config_place("/ids/2")), ("p9999", place(30_001, 25)));
}

#[test]
fn long_lines_and_long_keys_stay_quick() {
    let values = "'ü', ".repeat(50_000);
    let text = with_setting(&format!("config = {{ {} = [{values}] }}", "k".repeat(100_000)));
    assert_eq!(set(&text).policies[0].config_place(&format!("/{}/1", "k".repeat(100_000))), place(4, 100_021));
    let unknown = with_setting(&format!("{} = 1", "k".repeat(100_000)));
    assert!(errors(&unknown)[0].message.len() < 200);
}

#[test]
fn deep_nesting_is_refused_and_overflows_nothing() {
    for deep in ["[".repeat(200_000), "{a=".repeat(200_000), "a.".repeat(200_000)] {
        errors(&with_setting(&format!("config = {deep}")));
        errors(&with_setting(&format!("config.{deep} = 1")));
        errors(&with_setting(&format!("[{deep}")));
    }
    let depth = 70;
    let value = format!("config = {{ a = {}{} }}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(binding(&value).config_place(&format!("/a{}", "/0".repeat(depth - 1))), place(4, 16 + depth - 1));
}

/// A small generator of our own: the same cases on every run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn no_mutation_of_a_valid_file_panics() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let pieces = [
        "\"", "'", "[", "]", "{", "}", "=", ".", "\n", "\r", ",", "ü", "\u{0}", "\"\"\"", "#", "1e999", "[[", "*",
        "inf",
    ];
    for _ in 0..3_000 {
        let mut characters: Vec<char> = EXAMPLE.chars().collect();
        for _ in 0..=random.below(4) {
            let from = random.below(characters.len());
            let until = (from + random.below(12)).min(characters.len());
            let piece = pieces[random.below(pieces.len())];
            characters.splice(from..until, piece.chars());
        }
        let text: String = characters.into_iter().collect();
        if let Err(errors) = parse("weir.toml", &text) {
            let lines = text.split('\n').count();
            assert!(
                !errors.is_empty() && errors.iter().all(|e| (1..=lines).contains(&e.line) && e.column > 0),
                "{text}"
            );
        }
    }
}
