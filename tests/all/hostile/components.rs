//! The same list for components: what a typed ABI adds to it, and what it must not take from it.
//!
//! Most guests are a module in WAT that `wit-component` gives the types of `policy.wit`; the bytes of what they answer are
//! written out word by word, since no toolchain would write what is wrong here.

mod answers;
mod asking;
mod bounds;
mod inside;
mod loading;
mod mutated;
mod running;
mod worlds;

use super::{Expected, Row, allows, fails, judged, refused, story};
use crate::harness::{OK, POLICY, REALLOC, component, component_of, judge};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = running::rows();
    rows.extend(answers::rows());
    rows.extend(asking::rows());
    rows.extend(worlds::rows());
    rows.extend(inside::rows());
    rows.extend(loading::rows());
    rows.extend(bounds::rows());
    rows.extend(mutated::rows());
    rows
}

/// Data of little-endian numbers at an address.
fn words(at: u32, words: &[u32]) -> String {
    let bytes: String =
        words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{bytes}\")")
}

/// A component with a memory of this type, which allows when it has done some work.
fn with_memory(memory: &str, work: &str) -> Vec<u8> {
    let fields = judge("", REALLOC, OK, &format!("{work} {OK}"));
    component_of(POLICY, &fields.replace("\"memory\") 1)", &format!("\"memory\") {memory})")))
}

/// The harmless component with more behind it; its own module is the first.
fn beside(fields: &str) -> Vec<u8> {
    /// Length of what every module and component begins with.
    const HEADER: usize = 8;
    // A section of an empty module stands for the one that is there.
    let more = wat::parse_str(format!("(component (core module) {fields})")).expect("the test's own WAT parses");
    let mut wasm = component("", OK);
    wasm.extend_from_slice(&more[2 * HEADER + 2..]);
    wasm
}

/// A component by hand: `before` may define what its module imports, as `$m` is instantiated `with` it. The bodies of the
/// module are those of a harmless policy but for `evaluate`, and `parts` are more of its fields.
fn by_hand(before: &str, with: &str, parts: &str, evaluate: &str) -> Vec<u8> {
    let text = format!("(component {})", hand_written(before, with, parts, evaluate));
    wat::parse_str(text).expect("the test's own WAT parses")
}

/// The same beside another component, whose function `f` of this type the module imports as `beside` `f`.
fn with_sibling(sibling: &str, ty: &str, memory: &str, parts: &str, evaluate: &str) -> Vec<u8> {
    let before = format!(
        r#"(import "f" (func $f {ty})) {memory} (core func $lowered (canon lower (func $f) (memory $memory)))
           (core instance $host (export "f" (func $lowered)))"#
    );
    let judge = hand_written(&before, "(with \"beside\" (instance $host))", parts, evaluate);
    let text = format!(
        r#"(component
             (component $sibling {sibling}) (instance $s (instantiate $sibling))
             (component $judge {judge}) (instance $j (instantiate $judge (with "f" (func $s "f"))))
             (export "weir:policy/judge@1.0.0" (instance $j "weir:policy/judge@1.0.0")))"#
    );
    wat::parse_str(text).expect("the test's own WAT parses")
}

fn hand_written(before: &str, with: &str, parts: &str, evaluate: &str) -> String {
    let fields = judge(parts, REALLOC, OK, evaluate);
    let types = "origin entity action part measure request effect severity finding edit score obligation verdict";
    let named: String = types.split(' ').map(|name| format!("(export \"{name}\" (type ${name}))")).collect();
    format!(
        r#"{before}
           {TYPES}
           (core module $m {fields})
           (core instance $i (instantiate $m {with}))
           (func $configure (param "config" string) (result (result (error string)))
             (canon lift (core func $i "weir:policy/judge@1.0.0#configure") (memory $i "memory")
               (realloc (func $i "cabi_realloc"))))
           (func $evaluate (param "request" $request) (result (result $verdict (error string)))
             (canon lift (core func $i "weir:policy/judge@1.0.0#evaluate") (memory $i "memory")
               (realloc (func $i "cabi_realloc"))))
           (instance $judge {named} (export "configure" (func $configure)) (export "evaluate" (func $evaluate)))
           (export "weir:policy/judge@1.0.0" (instance $judge))"#
    )
}

/// The types of `policy.wit`, named as a component has to name what its functions take and give.
const TYPES: &str = r#"
    (type $origin (enum "system" "user" "model" "tool" "retrieved"))
    (type $entity (record (field "kind" string) (field "id" string) (field "properties" string)))
    (type $action (record (field "name" string) (field "properties" string)))
    (type $part (record (field "role" string) (field "origin" $origin) (field "text" string)))
    (type $measure
      (record (field "name" string) (field "group" string) (field "value" f64) (field "count" u64)))
    (type $request (record
      (field "id" string) (field "checkpoint" string) (field "tenant" string) (field "system" string)
      (field "time-ms" u64) (field "subject" $entity) (field "action" $action) (field "resource" $entity)
      (field "context" string) (field "content" (list $part)) (field "measures" (list $measure))
      (field "payload" string)))
    (type $effect (enum "allow" "review" "deny"))
    (type $severity (enum "info" "low" "medium" "high" "critical"))
    (type $finding (record
      (field "code" string) (field "severity" $severity) (field "message" string) (field "at" (option string))
      (field "start" (option u32)) (field "end" (option u32)) (field "measured" (option string))
      (field "threshold" (option string)) (field "because" (list string))))
    (type $edit (record (field "at" string) (field "start" u32) (field "end" u32) (field "replacement" string)))
    (type $score (record (field "name" string) (field "value" f64)))
    (type $obligation (record (field "name" string) (field "because" (list string))))
    (type $verdict (record
      (field "effect" $effect) (field "findings" (list $finding)) (field "edits" (list $edit))
      (field "scores" (list $score)) (field "obligations" (list $obligation))))"#;
