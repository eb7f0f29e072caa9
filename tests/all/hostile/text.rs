//! Rows 20 and 22: guests that talk too much, and names and texts that a terminal or a log would obey.

use weir::FailureKind::{BadOutput, Fuel, GuestError, RefusedHostCall, Trap};

use super::{Expected, Row, fails, judged, refused, story};
use crate::harness::{ALLOW, constant, guest, host_of, request, wat_text, with_manifest};

/// What terminals obey: colours, line breaks, a bell, and the marks that turn text around.
const NASTY: &str = "\u{1b}[31mred\r\n\u{7}\u{202e}forged: allow\u{2028}\u{85}";

const LOG: &str = r#"(import "weir" "log" (func $log (param i32 i32 i32)))"#;
const GRANT: &str = "grants = [\"log\"]";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = floods();
    rows.extend(names());
    rows.extend(texts());
    rows
}

/// A guest that logs `$length` bytes from 0 again and again: `times`, then it allows.
fn logs(times: u32, length: u32) -> Vec<u8> {
    guest(
        &format!("{LOG} {ALLOW}"),
        &format!(
            r#"(local $i i32)
               (loop $next
                 (call $log (i32.const 2) (i32.const 0) (i32.const {length}))
                 (local.set $i (i32.add (local.get $i) (i32.const 1)))
                 (br_if $next (i32.ne (local.get $i) (i32.const {times}))))
               (i64.const 18)"#
        ),
    )
}

fn floods() -> Vec<Row> {
    let once = |pointer: &str, length: &str| {
        let call = format!("(call $log (i32.const 0) (i32.const {pointer}) (i32.const {length})) (i64.const 18)");
        guest(&format!("{LOG} {ALLOW}"), &call)
    };
    vec![
        story(20, "a thousand lines", many_lines),
        story(20, "long lines", long_lines),
        fails(20, "a billion lines", logs(1_000_000_000, 18), GRANT, RefusedHostCall, "more than 1000 host calls"),
        fails(
            20,
            "a lower limit",
            logs(11, 18),
            "grants = [\"log\"]\nlimits = { host_calls = 10 }",
            RefusedHostCall,
            "more than 10 host calls (limit `host_calls`)",
        ),
        fails(
            20,
            "a billion long lines",
            logs(1_000_000_000, 60_000),
            "grants = [\"log\"]\nlimits = { host_calls = 1_000_000 }",
            Fuel,
            "limit 5000000",
        ),
        fails(20, "a line of four gigabytes", once("0", "-1"), GRANT, Fuel, "limit 5000000"),
        fails(
            20,
            "a line outside the memory",
            once("65535", "2"),
            GRANT,
            RefusedHostCall,
            "outside the guest's memory",
        ),
        fails(
            20,
            "a line whose end overflows",
            once("-1", "100"),
            GRANT,
            RefusedHostCall,
            "outside the guest's memory",
        ),
    ]
}

/// The record keeps 64 lines and says how many it does not have.
fn many_lines(label: &str) {
    let host = host_of(logs(1000, 18), GRANT);
    let (lines, dropped) = logged(&host, label);
    assert_eq!((lines.len(), dropped), (64, 936), "{label}");
    assert_eq!(host.metrics().log_lines_dropped, 936, "{label}");
    assert_eq!(lines[0], serde_json::json!({"level": "info", "text": r#"{"effect":"allow"}"#}), "{label}");
}

/// A line keeps 1 KiB, all of them together 16 KiB.
fn long_lines(label: &str) {
    let host = host_of(logs(20, 5000), GRANT);
    let (lines, dropped) = logged(&host, label);
    assert_eq!((lines.len(), dropped), (16, 4), "{label}");
    assert!(lines.iter().all(|line| line["text"].as_str().unwrap().len() == 1024), "{label}");
}

fn logged(host: &weir::Runtime, label: &str) -> (Vec<serde_json::Value>, u64) {
    assert_eq!(host.evaluate_blocking(request()).effect(), weir::Effect::Allow, "{label}");
    let record: serde_json::Value = serde_json::from_str(&host.recorder().lines()[0]).unwrap();
    let policy = &record["policies"][0];
    (policy["log"].as_array().unwrap().clone(), policy["log_dropped"].as_u64().unwrap_or(0))
}

/// A guest that traps in a function of this name.
fn traps_in(name: &str) -> Vec<u8> {
    let id = wat_text(name);
    guest(&format!("(func ${id} unreachable)"), &format!("(call ${id}) (i64.const 0)"))
}

fn names() -> Vec<Row> {
    let import = |name: &str| guest(&format!("(import {} \"f\" (func))", wat_text(name)), "(i64.const 0)");
    // Each letter refers back to the one before it twice: 2^40 characters, were it written out.
    let bomb = format!("_RNvMC0{}E1f", "T".repeat(40) + "p" + &"B8_E".repeat(40));
    vec![
        fails(22, "function name with orders for a terminal", traps_in(NASTY), "", Trap, "[31mred"),
        fails(22, "function name of 90 kB", traps_in(&"n".repeat(90_000)), "", Trap, "nnnn"),
        fails(22, "function name of 1 MB", traps_in(&"n".repeat(1_000_000)), "", Trap, "unreachable"),
        fails(22, "mangled control characters", traps_in("_ZN6$u1b$a17h0123456789abcdefE"), "", Trap, "unreachable"),
        fails(22, "a mangled name that unfolds", traps_in(&bomb), "", Trap, "unreachable"),
        refused(22, "import with orders for a terminal", import(NASTY), "", &["unknown import `", "[31mred"]),
        refused(22, "import of 90 kB", import(&"n".repeat(90_000)), "", &["unknown import `nnn"]),
        refused(
            22,
            "manifest with orders for a terminal",
            with_manifest(&guest("", "(i64.const 0)"), r#"{"abi":"\u001b[31m\r\n","grants":["\u001b]0;\u0007"]}"#),
            "",
            &["the manifest names the ABI", "its manifest asks for the capability"],
        ),
        refused(
            22,
            "manifest key of 1 MB",
            with_manifest(&guest("", "(i64.const 0)"), &format!("{{\"{}\":1}}", "k".repeat(1_000_000))),
            "",
            &["unknown key"],
        ),
    ]
}

fn texts() -> Vec<Row> {
    let json = |text: &str| serde_json::to_string(text).expect("text is JSON");
    let error = |text: &str| constant(&format!("{{\"error\":{}}}", json(text)));
    let finding = format!(
        "{{\"effect\":\"allow\",\"findings\":[{{\"code\":\"c\",\"severity\":\"info\",\"message\":{}}}]}}",
        json(NASTY)
    );
    let code = r#"{"effect":"allow","findings":[{"code":"a\nb","severity":"info","message":""}]}"#;
    let refuses = guest(
        r#"(func (export "weir_configure") (param i32 i32) (result i64) (i64.const 13))
           (data (i32.const 0) "no\0d\0a\1b[31m way")"#,
        "(i64.const 0)",
    );
    vec![
        fails(22, "error with orders for a terminal", error(NASTY), "", GuestError, "[31mred"),
        fails(22, "error of 200 kB", error(&"e".repeat(200_000)), "", GuestError, "eeee"),
        judged(22, "finding with orders", constant(&finding), "", Expected::Finding(" [31mred    forged: allow  ")),
        fails(22, "code with a line break", constant(code), "", BadOutput, "at `/findings/0/code`"),
        fails(
            22,
            "key with a line break",
            constant(r#"{"effect":"allow","a\r\n\u001b[31mb":1}"#),
            "",
            BadOutput,
            "unknown key",
        ),
        refused(22, "refusal of the configuration", refuses, "", &["the configuration was refused: no   [31m way"]),
        story(22, "log line with orders for a terminal", nasty_log),
    ]
}

fn nasty_log(label: &str) {
    let text = format!("(data (i32.const 64) {})", wat_text(&format!("{NASTY}\0\u{ff}")));
    let call = format!("(call $log (i32.const 1) (i32.const 64) (i32.const {})) (i64.const 18)", NASTY.len() + 3);
    let host = host_of(guest(&format!("{LOG} {ALLOW} {text}"), &call), GRANT);
    let (lines, dropped) = logged(&host, label);
    assert_eq!((lines.len(), dropped), (1, 0), "{label}");
    let text = lines[0]["text"].as_str().unwrap();
    assert_eq!((text, &lines[0]["level"]), (" [31mred    forged: allow   ÿ", &"warn".into()), "{label}");
}
