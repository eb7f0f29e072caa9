//! Rows 9 to 12, 15 and 26: answers that are no verdict, or not where they are said to be.

use weir::{Effect, FailureKind::BadOutput};

use super::{Expected, Row, allows, fails, judged};
use crate::harness::{ALLOW, constant, guest};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = places();
    rows.extend(bytes());
    rows.extend(verdicts());
    rows.extend(numbers());
    rows
}

/// A guest that answers `pointer << 32 | length` as it stands here.
fn at(answer: &str) -> Vec<u8> {
    guest(ALLOW, &format!("(i64.const {answer})"))
}

fn places() -> Vec<Row> {
    // The verdict is written over the request, and answered from there.
    let over_input = r#"
        (memory.copy (local.get $ptr) (i32.const 0) (i32.const 18))
        (i64.or (i64.shl (i64.extend_i32_u (local.get $ptr)) (i64.const 32)) (i64.const 18))"#;
    let row = |number, name, answer, says| fails(number, name, at(answer), "", BadOutput, says);
    vec![
        row(9, "four gigabytes less one", "0xffff_ffff", "an answer of 4294967295 bytes, the limit is 262144"),
        row(9, "64 MiB", "0x400_0000", "an answer of 67108864 bytes"),
        fails(
            9,
            "one byte over its own limit",
            at("1025"),
            "limits = { output = \"1 KiB\" }",
            BadOutput,
            "an answer of 1025 bytes, the limit is 1024 (limit `output`)",
        ),
        row(11, "starts outside", "0xffff_ffff_0000_0001", "outside the memory of 65536 bytes"),
        row(11, "ends outside", "0xffff_0000_0002", "an answer at 65535 to 65537, outside the memory"),
        row(11, "the sum passes 32 bits", "0xffff_fff0_0000_0020", "outside the memory"),
        allows(12, "the answer overlaps the request", guest(ALLOW, over_input), ""),
        row(15, "negative length", "-1", "an answer of 4294967295 bytes"),
        row(15, "smallest number", "-0x8000_0000_0000_0000", "an answer at 2147483648"),
        row(15, "a length of the sign bit", "0x8000_0000", "an answer of 2147483648 bytes"),
    ]
}

fn bytes() -> Vec<Row> {
    let raw = |text: &str, length: usize| {
        guest(&format!("(data (i32.const 0) \"{text}\")"), &format!("(i64.const {length})"))
    };
    let deep = format!("{{\"effect\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    vec![
        fails(10, "nothing", at("0"), "", BadOutput, ""),
        fails(10, "not UTF-8", raw("\\ff\\fe{}", 4), "", BadOutput, "UTF-8"),
        fails(10, "UTF-8 in pieces", raw("{\\22effect\\22:\\22\\e2\\82", 13), "", BadOutput, "UTF-8"),
        fails(10, "not JSON", constant("allow"), "", BadOutput, ""),
        fails(10, "JSON and more", constant(r#"{"effect":"allow"}{"effect":"deny"}"#), "", BadOutput, ""),
        fails(10, "a NUL behind it", constant("{\"effect\":\"allow\"}\0"), "", BadOutput, ""),
        fails(10, "nested 20,000 deep", constant(&deep), "", BadOutput, "deep"),
    ]
}

fn verdicts() -> Vec<Row> {
    let row = |name, answer, says| fails(10, name, constant(answer), "", BadOutput, says);
    vec![
        row("an array", r#"["allow"]"#, "expected an object"),
        row("no effect", "{}", "`effect` is missing"),
        row("an unknown effect", r#"{"effect":"permit"}"#, "at `/effect`"),
        row("an effect in capitals", r#"{"effect":"ALLOW"}"#, "at `/effect`"),
        row("two effects", r#"{"effect":"deny","effect":"allow"}"#, "duplicate key"),
        row("an unknown key", r#"{"effect":"allow","override":true}"#, "at `/override`"),
        row("an effect and an error", r#"{"effect":"allow","error":"x"}"#, ""),
        row("a score above one", r#"{"effect":"allow","scores":{"s":1.5}}"#, "at `/scores/s`"),
        row("an endless score", r#"{"effect":"allow","scores":{"s":1e999}}"#, "at `/scores/s`"),
        row("no number", r#"{"effect":"allow","scores":{"s":NaN}}"#, ""),
        row(
            "an edit of nothing",
            r#"{"effect":"allow","edits":[{"at":"/content/9/text","start":0,"end":1,"replacement":""}]}"#,
            "at `/edits/0/at`",
        ),
        row(
            "an edit outside the text",
            r#"{"effect":"allow","edits":[{"at":"/content/0/text","start":0,"end":4294967295,"replacement":""}]}"#,
            "at `/edits/0`",
        ),
        row(
            "an edit of the checkpoint's neighbours",
            r#"{"effect":"allow","edits":[{"at":"/content","start":0,"end":1,"replacement":""}]}"#,
            "at `/edits/0/at`",
        ),
        row(
            "an unknown severity",
            r#"{"effect":"allow","findings":[{"code":"c","severity":"!","message":""}]}"#,
            "severity",
        ),
    ]
}

/// Row 26: whatever a guest puts into a NaN, arithmetic gives the one canonical NaN, whose bits end in the verdict.
fn numbers() -> Vec<Row> {
    // Bits of a signalling and of a negative quiet NaN, with payloads.
    let (f32_nan, f64_nan) = ("(f32.const -nan:0x200001)", "(f64.const -nan:0x4000000000001)");
    let (x4, x2) = (format!("(f32x4.splat {f32_nan})"), format!("(f64x2.splat {f64_nan})"));
    let bits32 = |number: &str| format!("(i64.extend_i32_u (i32.reinterpret_f32 {number}))");
    let bits64 = |number: &str| format!("(i64.reinterpret_f64 {number})");
    let lane = |vector: &str| format!("(i64x2.extract_lane 1 {vector})");
    let (one32, one64) = ("00000000 7fc00000", "7ff80000 00000000");
    let both32 = "7fc00000 7fc00000";
    let row = |name, bits: String, expected| judged(26, name, says_bits(&bits), "", Expected::Finding(expected));
    vec![
        row("f32 sum", bits32(&format!("(f32.add {f32_nan} (f32.const 1))")), one32),
        row("f32 root", bits32("(f32.sqrt (f32.const -1))"), one32),
        row("f32 smallest", bits32(&format!("(f32.min (f32.const 0) {f32_nan})")), one32),
        row("f64 quotient", bits64("(f64.div (f64.const 0) (f64.const 0))"), one64),
        row("f64 product", bits64(&format!("(f64.mul {f64_nan} {f64_nan})")), one64),
        row("f64 rounded", bits64(&format!("(f64.nearest {f64_nan})")), one64),
        row("f32 to f64", bits64(&format!("(f64.promote_f32 {f32_nan})")), one64),
        row("f64 to f32", bits32(&format!("(f32.demote_f64 {f64_nan})")), one32),
        row("f32x4 sum", lane(&format!("(f32x4.add {x4} {x4})")), both32),
        row("f32x4 largest", lane(&format!("(f32x4.max {x4} {x4})")), both32),
        row("f64x2 difference", lane(&format!("(f64x2.sub {x2} {x2})")), one64),
        row("f64x2 root", lane(&format!("(f64x2.sqrt {x2})")), one64),
        judged(26, "NaN is no allowing comparison", says_nan_is_less(), "", Expected::Effect(Effect::Deny)),
    ]
}

/// A guest whose finding is the hexadecimal text of an `i64`.
fn says_bits(bits: &str) -> Vec<u8> {
    const ANSWER: &str =
        r#"{"effect":"allow","findings":[{"code":"bits","severity":"info","message":"???????? ????????"}]}"#;
    let hole = ANSWER.find('?').expect("the answer has a hole");
    let write = format!(
        r#"(local $bits i64) (local $i i32) (local $digit i32)
           (local.set $bits {bits})
           (loop $next
             (local.set $digit (i32.wrap_i64 (i64.shr_u (local.get $bits) (i64.const 60))))
             (local.set $bits (i64.shl (local.get $bits) (i64.const 4)))
             (i32.store8
               (i32.add (i32.const {hole}) (i32.add (local.get $i) (i32.ge_u (local.get $i) (i32.const 8))))
               (i32.add (local.get $digit)
                 (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $next (i32.lt_u (local.get $i) (i32.const 16))))
           (i64.const {})"#,
        ANSWER.len()
    );
    guest(&format!("(data (i32.const 0) {})", crate::harness::wat_text(ANSWER)), &write)
}

/// Allows if a NaN compares as less or equal.
fn says_nan_is_less() -> Vec<u8> {
    let parts = format!("{ALLOW} (data (i32.const 64) \"{{\\22effect\\22:\\22deny\\22}}\")");
    let compare = "(f64.le (f64.div (f64.const 0) (f64.const 0)) (f64.const 1))";
    guest(&parts, &format!("(select (i64.const 18) (i64.const 0x40_0000_0011) {compare})"))
}
