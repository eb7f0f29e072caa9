//! Modules as `opa build -t wasm` makes them, by hand: their memory is imported, their text ends with a zero. What real ones answer
//! is tried by the examples `rego_conformance` and `rego_differential`, which need OPA.

use std::fs;

use weir::{Compiler, Effect, FailureKind, Recorder, Runtime, Source};

use crate::harness::{asked, host, module, patient, request};

const SET: &str = "set = \"test\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"test\"]\n";

/// A module of OPA's whose result is the text at 4096, and whose `opa_eval` does `work` before.
fn opa(result: &str, entry_points: &str, builtins: &str, work: &str) -> Vec<u8> {
    module(&fields(result, entry_points, builtins, work))
}

/// One that says nothing, with something in its text replaced.
fn lying(from: &str, to: &str) -> Vec<u8> {
    module(&fields("set()", r#"{"policy/main":0}"#, "{}", "").replacen(from, to, 1))
}

fn fields(result: &str, entry_points: &str, builtins: &str, work: &str) -> String {
    let text = |text: &str| text.replace('"', "\\22") + "\\00";
    format!(
        r#"(import "env" "memory" (memory 2))
           (import "env" "opa_abort" (func $abort (param i32)))
           (import "env" "opa_builtin1" (func $builtin (param i32 i32 i32) (result i32)))
           (global $heap (mut i32) (i32.const 65536))
           (global (export "opa_wasm_abi_version") i32 (i32.const 1))
           (data (i32.const 1024) "{}")
           (data (i32.const 2048) "{}")
           (data (i32.const 3072) "no more\0a\1b[31m\00")
           (data (i32.const 3584) "[{{\22result\22:true}}]\00 7\00 \22open\00")
           (data (i32.const 4096) "{}")
           (func (export "opa_malloc") (param $length i32) (result i32)
             (global.get $heap)
             (global.set $heap (i32.add (global.get $heap) (local.get $length))))
           (func (export "opa_heap_ptr_get") (result i32) (global.get $heap))
           (func (export "opa_heap_ptr_set") (param i32) (global.set $heap (local.get 0)))
           (func (export "opa_json_parse") (param i32 i32) (result i32) (local.get 0))
           (func (export "opa_json_dump") (param i32) (result i32) (local.get 0))
           (func (export "opa_value_parse") (param i32 i32) (result i32) (local.get 0))
           (func (export "opa_value_dump") (param i32) (result i32) (local.get 0))
           (func (export "opa_free") (param i32))
           (func (export "builtins") (result i32) (i32.const 2048))
           (func (export "entrypoints") (result i32) (i32.const 1024))
           (func (export "opa_eval") (param $reserved i32) (param $entry i32) (param $data i32) (param $input i32)
             (param $length i32) (param $heap i32) (param $format i32) (result i32)
             (local $answer i32)
             {work}
             (select (local.get $answer) (i32.const 4096) (local.get $answer)))"#,
        text(entry_points),
        text(builtins),
        text(result),
    )
}

fn policy(result: &str, work: &str) -> Vec<u8> {
    opa(result, r#"{"policy/main":0}"#, "{}", work)
}

#[test]
fn a_document_is_a_verdict_in_kept_and_in_fresh_instances() {
    for (result, effect) in [
        (r#"{{"result":true}}"#, Effect::Allow),
        (r#"{{"result":false}}"#, Effect::Deny),
        ("set()", Effect::Deny),
        (r#"{{"result":{"allow":true,"deny":{"no"}}}}"#, Effect::Deny),
        (r#"{{"result":{"effect":"review"}}}"#, Effect::Review),
    ] {
        for isolation in ["restore", "fresh", "reuse"] {
            let set = format!("{SET}isolation = \"{isolation}\"\n");
            // Something is written each time, so that there is something to put back.
            let work = "(i32.store (i32.const 70000) (local.get $input))";
            let host = host(&set, &[("p.wasm", policy(result, work))]).unwrap_or_else(|report| panic!("{report}"));
            let [first, second] = [(); 2].map(|()| host.evaluate_blocking(request()));
            assert_eq!(first.effect(), effect, "{result}: {first:?}");
            assert_eq!(first.policies()[0].fuel, second.policies()[0].fuel, "{result} in {isolation}");
            assert_eq!(host.generation().plan().policies[0].isolation.as_str(), isolation);
        }
    }
}

#[test]
fn the_request_is_the_input_where_the_heap_begins() {
    // Its first bytes, and the place it says it has.
    let work = r#"(i32.store8 (i32.const 4109) (i32.load8_u (local.get $input)))
                  (if (i32.ne (global.get $heap) (i32.add (local.get $input) (local.get $length))) (then unreachable))
                  (if (i32.ne (global.get $heap) (local.get $heap)) (then unreachable))"#;
    let result = r#"{{"result":{"x first byte"}}}"#;
    let host = host(SET, &[("p.wasm", policy(result, work))]).unwrap();
    for _ in 0..3 {
        let decision = host.evaluate_blocking(asked(r#"{"checkpoint":"test","payload":1}"#));
        assert_eq!(decision.findings()[0].finding.message, "{ first byte", "{decision:?}");
    }
}

#[test]
fn an_abort_is_the_policys_own_error() {
    let host = host(SET, &[("p.wasm", policy("set()", "(call $abort (i32.const 3072))"))]).unwrap();
    let decision = host.evaluate_blocking(request());
    let failure = decision.policies()[0].outcome.as_ref().unwrap_err();
    assert_eq!((failure.kind, failure.detail.as_str()), (FailureKind::GuestError, "no more  [31m"));
}

#[test]
fn what_is_not_to_be_had_is_told_while_a_set_is_loaded() {
    for (entry_points, builtins, says) in [
        (r#"{"a":0,"b":1}"#, "{}", "has 2 entry points (`a`, `b`)"),
        ("{}", "{}", "has no entry point"),
        (
            r#"{"a":0}"#,
            r#"{"http.send":7}"#,
            "needs built-in functions that are not to be had: `http.send` (a policy has no network",
        ),
        ("nothing", "{}", "tells no names and numbers"),
    ] {
        let report = host(SET, &[("p.wasm", opa("set()", entry_points, builtins, ""))]).map(|_| ()).unwrap_err();
        assert!(report.to_string().contains(says), "{says}: {report}");
    }
    let no_module = module(r#"(import "env" "memory" (memory 1)) (func (export "opa_eval"))"#);
    let report = host(SET, &[("p.wasm", no_module)]).map(|_| ()).unwrap_err().to_string();
    assert!(report.contains("a module of OPA's exports `opa_malloc`"), "{report}");
}

/// What a module makes of the answer of function 7 to the text at an address.
fn asks(address: u32) -> Vec<u8> {
    let work = format!("(local.set $answer (call $builtin (i32.const 7) (i32.const 0) (i32.const {address})))");
    opa("set()", r#"{"policy/main":0}"#, r#"{"cast_set":7}"#, &work)
}

#[test]
fn a_function_of_the_host_answers_in_kept_and_in_fresh_instances() {
    for isolation in ["restore", "fresh", "reuse"] {
        let set = format!("{SET}isolation = \"{isolation}\"\n");
        let fuel = [(3584, Effect::Allow), (3602, Effect::Deny)].map(|(address, effect)| {
            let host = host(&set, &[("p.wasm", asks(address))]).unwrap_or_else(|report| panic!("{report}"));
            let decisions = [(); 3].map(|()| host.evaluate_blocking(request()));
            assert_eq!(decisions[0].effect(), effect, "{:?}", decisions[0]);
            let fuel = decisions.each_ref().map(|decision| decision.policies()[0].fuel);
            assert_eq!(fuel, [fuel[0]; 3], "{isolation}");
            fuel[0]
        });
        // An answer is paid for.
        assert!(fuel[0] > fuel[1] + 17, "{fuel:?}");
    }
}

#[test]
fn a_function_of_the_host_is_refused_what_is_no_value() {
    for (address, says) in
        [(3605, "built-in function `cast_set`: expected a closing quote"), (200_000, "expected a value")]
    {
        let host = host(SET, &[("p.wasm", asks(address))]).unwrap_or_else(|report| panic!("{report}"));
        let decision = host.evaluate_blocking(request());
        let failure = decision.policies()[0].outcome.as_ref().unwrap_err();
        assert_eq!(failure.kind, FailureKind::RefusedHostCall, "{failure}");
        assert!(failure.detail.contains(says), "{failure}");
    }
}

#[test]
fn one_of_several_entry_points_is_asked_and_the_input_is_what_the_set_says() {
    // The number of the entry point, as a reason; the first byte of the input, as another.
    let work = r#"(i32.store8 (i32.const 4109) (i32.add (i32.const 48) (local.get $entry)))
                  (if (local.get $length) (then (i32.store8 (i32.const 4111) (i32.load8_u (local.get $input)))))"#;
    let module = opa(r#"{{"result":{"x y"}}}"#, r#"{"a":0,"b/c":1}"#, "{}", work);
    for (lines, says) in [
        ("entrypoint = \"b/c\"", "1 {"),
        ("entrypoint = \"a\"\ninput = \"/payload/n\"", "0 7"),
        ("entrypoint = \"a\"\ninput = \"/payload/nothing\"", "0 y"),
        ("entrypoint = \"a\"\ninput = { n = \"/payload/n\" }", "0 {"),
    ] {
        let host = host(&format!("{SET}{lines}\n"), &[("p.wasm", module.clone())])
            .unwrap_or_else(|report| panic!("{report}"));
        let decision = host.evaluate_blocking(asked(r#"{"checkpoint":"test","payload":{"n":7}}"#));
        assert_eq!(decision.findings()[0].finding.message, says, "{lines}: {decision:?}");
    }
    let report = host(&format!("{SET}input = \"payload\"\n"), &[("p.wasm", module.clone())]).map(|_| ()).unwrap_err();
    assert!(report.to_string().contains("is no JSON pointer into the request"), "{report}");
    let report = host(&format!("{SET}entrypoint = \"d\"\n"), &[("p.wasm", module)]).map(|_| ()).unwrap_err();
    assert!(report.to_string().contains("has no entry point `d`, it has `a`, `b/c`"), "{report}");
}

#[test]
fn entry_points_and_inputs_are_for_modules_of_opas() {
    let guest = crate::harness::constant(r#"{"effect":"allow"}"#);
    for line in ["entrypoint = \"a\"", "input = \"/payload\""] {
        let report = host(&format!("{SET}{line}\n"), &[("p.wasm", guest.clone())]).map(|_| ()).unwrap_err();
        assert!(report.to_string().contains("is for modules of `opa build -t wasm`"), "{report}");
    }
}

#[test]
fn modules_that_lie_about_their_abi_are_refused_or_fail_alone() {
    let honest = policy("set()", "");
    let text = |from: &str, to: &str| {
        let lies = lying(from, to);
        assert_ne!(lies, honest, "{from}");
        lies
    };
    // Of another type than the functions that are put in call it by.
    let wrong = text("(func (export \"opa_free\") (param i32))", "(func (export \"opa_free\"))");
    let report = host(SET, &[("p.wasm", wrong)]).map(|_| ()).unwrap_err().to_string();
    assert!(report.contains("invalid module"), "{report}");
    // Room that is nowhere, and an answer that is.
    let wrong = text("(global.get $heap)\n", "(i32.const -8)\n");
    let report = host(SET, &[("p.wasm", wrong)]).map(|_| ()).unwrap_err().to_string();
    assert!(report.contains("cannot be started"), "{report}");
    let wrong = text("(i32.const 4096) (local.get $answer)", "(i32.const -8) (local.get $answer)");
    let host = host(SET, &[("p.wasm", wrong)]).unwrap_or_else(|report| panic!("{report}"));
    let decision = host.evaluate_blocking(request());
    assert_eq!(decision.policies()[0].outcome.as_ref().unwrap_err().kind, FailureKind::Trap, "{decision:?}");
}

/// A module with so many entry points, which lists them at 131072.
fn crowded(count: usize) -> Vec<u8> {
    let names: Vec<String> = (0..count).map(|number| format!("\\22p/{number:05}\\22:{number}")).collect();
    let data = format!("(data (i32.const 131072) \"{{{}}}\\00\")", names.join(","));
    let many = fields("set()", "{}", "{}", "")
        .replacen("(memory 2)", "(memory 64)", 1)
        .replacen("(i32.const 65536)", "(i32.const 3200000)", 1)
        .replacen("(result i32) (i32.const 1024))", "(result i32) (i32.const 131072))", 1)
        .replacen("(global (export", &format!("{data} (global (export"), 1);
    module(&many)
}

#[test]
fn many_entry_points_are_told_in_a_line_and_too_many_are_refused() {
    let set = format!("{SET}limits = {{ fuel = 100_000_000 }}\n");
    let refused = |set: &str, count| host(set, &[("p.wasm", crowded(count))]).map(|_| ()).unwrap_err().to_string();
    let report = refused(&set, 50_000);
    assert!(
        report.contains("has 50000 entry points (`p/00000`") && report.contains("and 49980 more"),
        "{report:.500}"
    );
    assert!(report.len() < 2_000, "{report}");
    let one = format!("{set}entrypoint = \"p/43210\"\n");
    let host = host(&one, &[("p.wasm", crowded(50_000))]).unwrap_or_else(|report| panic!("{report}"));
    assert!(host.evaluate_blocking(request()).policies()[0].outcome.is_ok());
    assert!(refused(&one, 100_000).contains("the limit is 1048576"));
    assert!(refused(SET, 100_000).contains("fuel: limit 5000000"));
}

#[test]
fn a_bundle_may_be_a_folder_of_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, content: &[u8]| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let open = || {
        let builder = Runtime::builder().recorder(Recorder::memory(10)).ready_instances(8);
        pollster::block_on(builder.open(Source::dir(folder.path()))).map_err(|error| error.to_string())
    };
    write("weir.toml", patient(&SET.replace("p.wasm", "authz")).as_bytes());
    write("authz/policy.wasm", &policy(r#"[{"result":true}]"#, ""));
    write("authz/.manifest", br#"{"roots":["roles"]}"#);
    write("authz/roles/data.yaml", b"admins: [ann, bob]\n");
    write("authz/notes.txt", b"no part of it");
    let host = open().unwrap();
    assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow);
    let digest = host.generation().plan().digest;
    write("authz/notes.txt", b"still none");
    assert_eq!(open().unwrap().generation().plan().digest, digest);
    write("authz/roles/data.yaml", b"admins: [ann]\n");
    assert_ne!(open().unwrap().generation().plan().digest, digest);
    // What it is made of can be inspected from the folder, too.
    let inspected = weir::inspect(&weir::read_module(&folder.path().join("authz")).unwrap()).unwrap();
    assert_eq!(inspected.abi.to_string(), "rego-1");
    for (path, content, says) in [
        ("authz/roles/data.yaml", &b"admins: [ann"[..], "`roles/data.yaml` in the bundle: yaml: "),
        ("authz/roles/data.yaml", b"", "data is an object"),
        ("authz/data.json", br#"{"others":1}"#, "`others` is outside of its roots"),
    ] {
        let former = fs::read(folder.path().join(path)).ok();
        write(path, content);
        let refused = weir::check(&Source::dir(folder.path()), Compiler::in_process()).unwrap_err().to_string();
        assert!(refused.contains(says), "{says}: {refused}");
        match former {
            Some(former) => write(path, &former),
            None => fs::remove_file(folder.path().join(path)).unwrap(),
        }
    }
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("authz/data.json")).unwrap();
    assert!(open().map(|_| ()).unwrap_err().contains("its `data.json`: it leads out of the folder"));
    fs::remove_file(folder.path().join("authz/data.json")).unwrap();
    fs::remove_file(folder.path().join("authz/policy.wasm")).unwrap();
    assert!(open().map(|_| ()).unwrap_err().contains("a folder without `policy.wasm` is no bundle"));
}
