//! Rows 9 to 12, 22 and 26: answers that lie outside, are too large, or are no verdict; and requests of all sizes.

use weir::Effect;
use weir::FailureKind::{BadOutput, GuestError, Memory};
use wit_component::StringEncoding::{CompactUTF16, UTF8, UTF16};

use super::{Expected, Row, allows, fails, judged, story, words};
use crate::harness::{OK, POLICY, REALLOC, asked, component, component_in, host_of, judge, request};

const FIBER: &str = "limits = { fuel = 20_000_000 }";
/// Room for millions of things, and the largest answer there may be.
const VAST: &str = "limits = { memory = \"256 MiB\", output = \"16 MiB\", fuel = 1_000_000_000 }";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = places();
    rows.extend(lengths());
    rows.extend(alternatives());
    rows.extend(numbers());
    rows.extend(lists());
    rows.extend(edits());
    rows.extend(texts());
    rows.extend(requests());
    rows
}

/// A component that answers with what lies at an address.
fn at(address: i64, data: &str) -> Vec<u8> {
    component(data, &format!("(i32.const {address})"))
}

/// A component that answers with these words: a result, and in it a verdict or an error.
fn says(answer: &[u32], more: &str) -> Vec<u8> {
    at(128, &format!("{}{more}", words(128, answer)))
}

/// A verdict that allows, with these four lists at the addresses and of the lengths named.
fn lists_at(findings: [u32; 2], edits: [u32; 2], scores: [u32; 2], obligations: [u32; 2], more: &str) -> Vec<u8> {
    let [findings, edits, scores, obligations] = [findings, edits, scores, obligations];
    let lists = [findings, edits, scores, obligations].concat();
    says(&[&[0, 0], &lists[..]].concat(), more)
}

const NONE: [u32; 2] = [0, 0];

/// The words of a finding without a place: code, severity, message, and what it rests on.
fn finding(code: [u32; 2], severity: u32, message: [u32; 2], because: [u32; 2]) -> Vec<u32> {
    let [code, message, because] = [code, message, because].map(Vec::from);
    [code, vec![severity], message, vec![0; 13], because].concat()
}

/// A verdict with one finding, whose words are changed by `change`.
fn one_finding(change: impl Fn(&mut [u32]), more: &str) -> Vec<u8> {
    // At 512 and 513 lie one letter each.
    let mut finding = finding([512, 1], 0, [513, 1], NONE);
    change(&mut finding);
    let data = format!("{} (data (i32.const 512) \"cm\") {more}", words(256, &finding));
    lists_at([256, 1], NONE, NONE, NONE, &data)
}

fn places() -> Vec<Row> {
    let row = |number, name, address, why| fails(number, name, at(address, ""), "", BadOutput, why);
    vec![
        row(11, "an answer behind the end", 65_536, "out of bounds"),
        row(11, "an answer that ends outside", 65_500, "out of bounds"),
        row(11, "an answer at the last address", -4, "out of bounds"),
        row(11, "an answer at an odd address", 65, "not aligned"),
        row(11, "the last odd address", -1, "not aligned"),
        fails(11, "the same in a fiber", at(-1, ""), FIBER, BadOutput, "not aligned"),
        allows(11, "an answer at the end", at(65_496, ""), ""),
        allows(
            12,
            "the answer is in the request",
            component("", "(memory.fill (local.get $request) (i32.const 0) (i32.const 40)) (local.get $request)"),
            "",
        ),
    ]
}

fn lengths() -> Vec<Row> {
    const LAST: u32 = u32::MAX;
    let error = |text: [u32; 2]| says(&[1, text[0], text[1]], "");
    let row = |number, name, wasm, why| fails(number, name, wasm, "", BadOutput, why);
    vec![
        row(9, "an error text of four gigabytes", error([0, LAST]), "out of bounds"),
        row(9, "a text whose end overflows", error([LAST, LAST]), "out of bounds"),
        row(9, "four billion findings", lists_at([0, LAST], NONE, NONE, NONE, ""), "out of bounds"),
        row(9, "four billion edits", lists_at(NONE, [0, LAST], NONE, NONE, ""), "out of bounds"),
        row(9, "four billion scores", lists_at(NONE, NONE, [0, LAST], NONE, ""), "out of bounds"),
        row(9, "four billion obligations", lists_at(NONE, NONE, NONE, [0, LAST], ""), "out of bounds"),
        row(9, "as many as overflow", lists_at([0, 1 << 31], NONE, NONE, NONE, ""), "out of bounds"),
        row(11, "findings at an odd address", lists_at([255, 1], NONE, NONE, NONE, ""), "not aligned"),
        row(11, "no findings at an odd address", lists_at([255, 0], NONE, NONE, NONE, ""), "not aligned"),
        row(11, "scores at a half address", lists_at(NONE, NONE, [4, 1], NONE, ""), "not aligned"),
        allows(11, "no findings behind the end", lists_at([65_536, 0], NONE, NONE, NONE, ""), ""),
    ]
}

fn alternatives() -> Vec<Row> {
    let row = |name, wasm, why| fails(10, name, wasm, "", BadOutput, why);
    vec![
        row("effect 77", says(&[0, 77], ""), "discriminant"),
        row("effect 3", says(&[0, 3], ""), "discriminant"),
        row("result 9", says(&[9], ""), "discriminant"),
        fails(10, "result 9 in a fiber", says(&[9], ""), FIBER, BadOutput, "discriminant"),
        row("result 2", says(&[2], ""), "discriminant"),
        row("severity 5", one_finding(|finding| finding[2] = 5, ""), "discriminant"),
        row("option 2 of a place", one_finding(|finding| finding[5] = 2, ""), "discriminant"),
        row("option 255 of a start", one_finding(|finding| finding[8] = 255, ""), "discriminant"),
        // Of a word only the first byte says which it is.
        judged(10, "deny, and garbage behind it", says(&[0, 0xffff_ff02], ""), "", Expected::Effect(Effect::Deny)),
        judged(10, "one finding", one_finding(|_| (), ""), "", Expected::Finding("m")),
    ]
}

fn numbers() -> Vec<Row> {
    let score = |bits: u64| {
        let score = [512, 1, bits as u32, (bits >> 32) as u32];
        let words = words(256, &[&[512, 1], &score[2..]].concat());
        lists_at(NONE, NONE, [256, 1], NONE, &format!("{words} (data (i32.const 512) \"s\")"))
    };
    let row = |name, number: f64, why| fails(10, name, score(number.to_bits()), "", BadOutput, why);
    let twice = words(256, &[512, 1, 0, 0, 512, 1, 0, 0]);
    vec![
        row("a score of NaN", f64::NAN, "at `/scores/s`: expected a number"),
        row("an endless score", f64::INFINITY, "expected a number"),
        row("a score without beginning", f64::NEG_INFINITY, "expected a number"),
        row("a score above one", 1.000_000_1, "from 0 to 1"),
        row("a score below zero", -f64::MIN_POSITIVE, "from 0 to 1"),
        allows(10, "a score of minus nothing", score((-0.0f64).to_bits()), ""),
        allows(26, "the smallest score", score(1), ""),
        fails(26, "a NaN with a message", score(0x7ff0_dead_beef_0001), "", BadOutput, "expected a number"),
        fails(
            10,
            "a score twice",
            lists_at(NONE, NONE, [256, 2], NONE, &format!("{twice} (data (i32.const 512) \"s\")")),
            "",
            BadOutput,
            "duplicate key",
        ),
    ]
}

/// A component with so many pages of memory, and one item at 4096 that is written again and again from page 2 on.
fn many(which: usize, size: u32, item: &[u32], count: u32, more: &str) -> Vec<u8> {
    const FIRST: u32 = 2 << 16;
    let mut lists = [NONE; 4];
    lists[which] = [FIRST, count];
    let [findings, edits, scores, obligations] = lists;
    let answer = words(128, &[&[0, 0], &[findings, edits, scores, obligations].concat()[..]].concat());
    let pages = 2 + (count * size).div_ceil(1 << 16);
    let fill = format!(
        r#"(local $i i32)
           (drop (memory.grow (i32.const {pages})))
           (memory.copy (i32.const {FIRST}) (i32.const 256) (i32.const {size}))
           (local.set $i (i32.const 1))
           (loop $double
             (memory.copy (i32.add (i32.const {FIRST}) (i32.mul (local.get $i) (i32.const {size}))) (i32.const {FIRST})
               (i32.mul (select (local.get $i) (i32.sub (i32.const {count}) (local.get $i))
                 (i32.lt_u (i32.mul (local.get $i) (i32.const 2)) (i32.const {count}))) (i32.const {size})))
             (br_if $double (i32.lt_u (local.tee $i (i32.mul (local.get $i) (i32.const 2))) (i32.const {count}))))
           (i32.const 128)"#
    );
    component(&format!("{answer} {} (data (i32.const 512) \"cm\") {more}", words(256, item)), &fill)
}

/// Rows 9 and 10: what is small in the guest and large in the host.
fn lists() -> Vec<Row> {
    const OUTPUT: &str = "(limit `output`)";
    let small = finding([512, 1], 0, [513, 1], NONE);
    let findings = |count| many(0, 80, &small, count, "");
    // Between the first page and the items lies a page of zeros: a text, or 8,000 empty ones.
    let sharing_text = |count| many(0, 80, &finding([512, 1], 0, [1 << 16, 1 << 16], NONE), count, "");
    let sharing_list = |count| many(3, 16, &[512, 1, 1 << 16, 8_000], count, "");
    vec![
        fails(
            9,
            "100,000 findings",
            findings(100_000),
            "limits = { memory = \"16 MiB\", fuel = 15_000_000 }",
            BadOutput,
            OUTPUT,
        ),
        fails(9, "the same in a fiber", findings(100_000), FIBER, BadOutput, OUTPUT),
        fails(
            10,
            "100,000 findings in an answer of 16 MiB",
            findings(100_000),
            VAST,
            BadOutput,
            "more than 4096 items",
        ),
        fails(9, "2,000,000 findings", findings(2_000_000), VAST, BadOutput, OUTPUT),
        fails(
            10,
            "4,097 findings",
            findings(4_097),
            "limits = { output = \"1 MiB\" }",
            BadOutput,
            "more than 4096 items",
        ),
        judged(10, "4,096 findings", findings(4_096), "limits = { output = \"1 MiB\" }", Expected::Finding("m")),
        // 4 GiB of text, written down once.
        fails(9, "65,536 findings that share their text", sharing_text(65_536), VAST, BadOutput, OUTPUT),
        fails(9, "1,000 findings that share their text", sharing_text(1_000), "", BadOutput, OUTPUT),
        // Each has a list of 8,000 empty texts, which is the same list.
        fails(9, "10,000 obligations that share their reasons", sharing_list(10_000), VAST, BadOutput, OUTPUT),
        fails(9, "100 obligations that share their reasons", sharing_list(100), "", BadOutput, OUTPUT),
        // Control characters are six bytes in JSON, and one in the guest.
        fails(9, "a text that unfolds", unfolds(60_000), "", BadOutput, OUTPUT),
        fails(9, "a text that unfolds to a gigabyte", unfolds(100_000_000), VAST, BadOutput, OUTPUT),
        fails(9, "a text as long as its memory", unfolds(250_000_000), VAST, BadOutput, OUTPUT),
    ]
}

/// An error of so many control characters.
fn unfolds(length: u32) -> Vec<u8> {
    const FIRST: u32 = 2 << 16;
    let pages = 2 + length.div_ceil(1 << 16);
    let fill = format!(
        r#"(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))
           (memory.fill (i32.const {FIRST}) (i32.const 1) (i32.const {length}))
           (i32.const 128)"#
    );
    component(&words(128, &[1, FIRST, length]), &fill)
}

fn edits() -> Vec<Row> {
    let edit = |at: &str, start: u32, end: u32| {
        let length = at.len() as u32;
        let edit = words(256, &[512, length, start, end, 640, 1]);
        lists_at(
            NONE,
            [256, 1],
            NONE,
            NONE,
            &format!("{edit} (data (i32.const 512) \"{at}\") (data (i32.const 640) \"x\")"),
        )
    };
    let row = |name, wasm, why| fails(10, name, wasm, "", BadOutput, why);
    vec![
        allows(10, "an edit", edit("/content/0/text", 0, 5), ""),
        row("an edit outside the text", edit("/content/0/text", 0, u32::MAX), "at `/edits/0`"),
        row("an edit backwards", edit("/content/0/text", 5, 4), "at `/edits/0`"),
        row("an edit of nothing", edit("/content/9/text", 0, 1), "at `/edits/0/at`"),
        row("an edit of the tenant", edit("/tenant", 0, 1), "at `/edits/0/at`"),
        row("an edit of no place", edit("content", 0, 1), "JSON pointer"),
    ]
}

/// What terminals obey, in UTF-8.
const NASTY: &str = "\\1b[31mred\\0d\\0a\\07\\e2\\80\\aeforged: allow\\e2\\80\\a8\\c2\\85";
const NASTY_LENGTH: u32 = 8 + 2 + 1 + 3 + 13 + 3 + 2;

fn texts() -> Vec<Row> {
    let error = |text: &str, length| says(&[1, 512, length], &format!("(data (i32.const 512) \"{text}\")"));
    let message = |text: &str, length| {
        one_finding(
            |finding| (finding[3], finding[4]) = (1024, length),
            &format!("(data (i32.const 1024) \"{text}\")"),
        )
    };
    let code = |text: &str, length| {
        one_finding(
            |finding| (finding[0], finding[1]) = (1024, length),
            &format!("(data (i32.const 1024) \"{text}\")"),
        )
    };
    let in_utf16 = |data: &str, length| {
        let parts = format!("{} (data (i32.const 512) \"{data}\")", words(128, &[1, 512, length]));
        component_in(UTF16, POLICY, &judge(&parts, REALLOC, OK, "(i32.const 128)"))
    };
    vec![
        fails(10, "an error that is not UTF-8", error("\\ff\\fe", 2), "", BadOutput, "utf-8"),
        fails(10, "a message that is not UTF-8", message("a\\e2\\82", 3), "", BadOutput, "utf-8"),
        fails(10, "half a pair in UTF-16", in_utf16("\\00\\d8", 1), "", BadOutput, "surrogate"),
        fails(10, "UTF-16 of four gigabytes", in_utf16("", u32::MAX), "", BadOutput, "out of bounds"),
        fails(22, "an error in UTF-16", in_utf16("n\\00o\\00", 2), "", GuestError, "no"),
        fails(
            22,
            "error with orders for a terminal",
            error(NASTY, NASTY_LENGTH),
            "",
            GuestError,
            " [31mred    forged: allow  ",
        ),
        fails(22, "an empty error", error("", 0), "", GuestError, ""),
        fails(22, "error of 60 kB", unfolds(40_000), "", GuestError, "    "),
        judged(
            22,
            "finding with orders",
            message(NASTY, NASTY_LENGTH),
            "",
            Expected::Finding(" [31mred    forged: allow  "),
        ),
        fails(10, "code with a line break", code("a\\0ab", 3), "", BadOutput, "at `/findings/0/code`"),
        fails(10, "no code", code("", 0), "", BadOutput, "at `/findings/0/code`"),
    ]
}

fn requests() -> Vec<Row> {
    vec![
        story(14, "requests of all sizes", large_requests),
        story(14, "requests at the edge of what may be", odd_requests),
    ]
}

/// Whatever is a request for the host is one for a component.
fn odd_requests(label: &str) {
    let cases = [
        r#""id":"\u0061\ud83e\udd80""#,
        r#""time":"-009999-01-02T01:59:59Z""#,
        r#""time":"9999-12-30T22:00:00.999999999Z""#,
        r#""content":[{"\u0074ext":"","\u006frigin":"\u0075ser","role":""}]"#,
        r#""content":[],"measures":[]"#,
        r#""measures":[{"name":"","group":"\u0000","value":-1.7976931348623157e308,"count":18446744073709551615}]"#,
        r#""measures":[{"name":"m","value":-0},{"name":"m","value":5e-324,"count":0},{"name":"m","value":1E+2}]"#,
        r#""subject":{"type":"","id":"","properties":{"a":[{}]}},"resource":{"id":"b","type":"a"},"action":{"name":"\\"}"#,
        r#""context":{"":null,"a":1.2300},"payload":[1e9999,"\u2028",[[[[]]]]]"#,
        r#""payload":null,"system":"s""#,
    ];
    let host = host_of(component("", OK), "");
    for case in cases {
        let decision = host.evaluate_blocking(asked(&format!(r#"{{"checkpoint":"test",{case}}}"#)));
        assert_eq!(decision.effect(), Effect::Allow, "{label}: {case}: {decision:?}");
    }
}

/// Each is taken as a whole, in every encoding, and costs the same twice.
fn large_requests(label: &str) {
    let text = |letter: &str, times: usize| {
        format!(r#"{{"checkpoint":"test","content":[{{"text":"{}"}}]}}"#, letter.repeat(times))
    };
    let parts =
        |count: usize| format!(r#"{{"checkpoint":"test","content":[{}]}}"#, vec![r#"{"text":"ä"}"#; count].join(","));
    let measure = r#"{"name":"m","value":1}"#;
    let measures = format!(r#"{{"checkpoint":"test","measures":[{}]}}"#, vec![measure; 40_000].join(","));
    let requests = [
        text("a", 1_000_000),
        text("ä", 500_000),
        text("\u{1f980}", 250_000),
        text("\\u0001", 170_000),
        parts(4096),
        measures,
    ];
    for encoding in [UTF8, UTF16, CompactUTF16] {
        for lines in ["limits = { fuel = 15_000_000 }", FIBER] {
            let host = host_of(component_in(encoding, POLICY, &judge("", REALLOC, OK, OK)), lines);
            for json in &requests {
                let [first, second] = [(); 2].map(|()| host.evaluate_blocking(asked(json)).policies()[0].clone());
                assert!(first.outcome.is_ok(), "{label}: {encoding:?}: {first:?}");
                assert_eq!((first.fuel, first.memory_bytes), (second.fuel, second.memory_bytes), "{label}");
            }
        }
    }
    let small = host_of(component("", OK), "limits = { memory = \"512 KiB\" }");
    let decision = small.evaluate_blocking(asked(&requests[0]));
    let failure = decision.policies()[0].outcome.as_ref().expect_err("there is no room");
    assert_eq!(failure.kind, Memory, "{label}: {failure}");
    assert_eq!(small.evaluate_blocking(request()).effect(), Effect::Allow, "{label}");
}
