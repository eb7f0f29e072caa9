//! A set that changes under a host, and those who ask it: `eval --follow`, `status`, `generations`, `rollback`, `lock`.

use std::fs;
use std::time::SystemTime;

use serde_json::Value;

use crate::compiling::compilers_of;
use crate::host::{Host, pause, until};
use crate::{Place, SET, bomb, constant};

fn deny() -> Vec<u8> {
    constant(r#"{"effect":"deny"}"#)
}

#[test]
fn a_changed_module_is_in_force_and_a_rollback_brings_the_former_back() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    assert_eq!(host.ask("allow")["generation"]["number"], 1);
    host.says("weir: generation 1 is in force (sha256:");

    place.replace("set/allow.wasm", deny());
    assert_eq!(host.judged_by(2)["effect"], "deny");
    host.says("weir: generation 2 is in force (sha256:");
    host.says("…), 1 policy changed: allow\n");

    let table = place.weir("generations set");
    assert!(table.code == Some(0) && table.stdout.lines().count() == 3, "{table:?}");
    assert!(table.stdout.lines().last().unwrap().ends_with(" in force"), "{table:?}");
    let shown = place.weir("generations set --diff 1 2");
    assert!(shown.code == Some(0) && shown.stdout.lines().count() == 2, "{shown:?}");
    assert!(shown.stdout.contains("policy allow  digest  sha256:") && shown.stdout.contains('…'), "{shown:?}");
    let diff = place.json("generations set --diff 1 2", 0);
    let change = &diff["diff"]["changes"][0];
    assert_eq!(
        (&change["section"], &change["name"], &change["what"]),
        (&"policies".into(), &"allow".into(), &"digest".into())
    );
    assert_eq!(change["after"], weir::Digest::of(&deny()).to_string());
    assert_eq!(diff["generations"].as_array().unwrap().len(), 2);

    let back = place.weir("rollback set");
    assert_eq!(back.stdout, "generation 3 is in force, the policies of generation 1\n", "{back:?}");
    let decision = host.ask("allow");
    assert_eq!((&decision["generation"]["number"], &decision["effect"]), (&3.into(), &"allow".into()));
    host.says("weir: generation 3 is in force, the policies of generation 1\n");
    let status = place.json("status set", 0);
    assert_eq!((&status["generation"]["restores"], &status["generations"]), (&1.into(), &Value::from(vec![1, 2, 3])));
    let forward = place.json("rollback set 2", 0);
    assert_eq!((&forward["generation"], &forward["restores"]), (&4.into(), &2.into()));
    assert_eq!(host.ask("allow")["effect"], "deny");
    assert!(place.weir("generations set").stdout.contains("in force, restores 2"));
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn what_cannot_be_brought_back_or_compared_is_said() {
    let place = Place::new();
    let host = Host::start(&place, "eval set --follow");
    for (arguments, code, told) in [
        ("rollback set", 1, "there is no generation before the one in force"),
        ("rollback set 1", 1, "generation 1 is in force already"),
        ("rollback set 7", 1, "generation 7 is not loaded"),
        ("generations set --diff 1 7", 2, "generation 7 is not loaded; there is 1"),
        ("generations set --diff 1", 2, "--diff"),
        ("rollback set x", 2, "'x'"),
    ] {
        let refused = place.weir(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""), "{arguments}: {refused:?}");
        assert!(refused.stderr.contains(told), "{arguments}: {refused:?}");
    }
    assert_eq!(place.json("rollback set 7", 1)["error"]["kind"], "refused");
    assert_eq!(place.json("generations set --diff 7 1", 2)["error"]["kind"], "not_loaded");
    let same = place.weir("generations set --diff 1 1");
    assert!(same.code == Some(0) && same.stdout.contains("they are the same set"), "{same:?}");
    assert_eq!(place.json("status set", 0)["generation"]["number"], 1);
    drop(host);
}

#[test]
fn status_tells_what_a_host_has_done() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    host.ask("review");
    host.ask("deny");
    let status = place.json("status set", 0);
    assert_eq!((&status["v"], &status["pid"], &status["set"]), (&1.into(), &host.pid().into(), &"test".into()));
    assert_eq!(status["folder"], place.path("set").display().to_string());
    assert_eq!((&status["watch"]["state"], &status["refused"]), (&"watching".into(), &Value::Null));
    let metrics = &status["metrics"];
    assert_eq!((&metrics["allowed"], &metrics["reviews"], &metrics["denied"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!((&metrics["records"]["written"], &metrics["sets"]["compilations"]), (&3.into(), &6.into()));
    assert!(status["generation"]["digest"].as_str().unwrap().starts_with("sha256:"), "{status}");
    let shown = place.weir("status set");
    assert!(shown.code == Some(0) && shown.stderr.is_empty(), "{shown:?}");
    for part in [
        &format!("process {}, weir 0.", host.pid()),
        "generation 1 since 2",
        "watching",
        "3: 1 allow, 1 review, 1 deny",
        "none",
        "6 modules, 0 found compiled",
        &place.path("audit").display().to_string(),
    ] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    assert_eq!(place.weir("status set/weir.toml").code, Some(0));
    drop(host);
}

#[test]
fn a_touched_file_changes_nothing_and_code_is_compiled_once() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    let compiled = |status: &Value| status["metrics"]["sets"]["compilations"].as_u64().unwrap();
    // Each module once as it is, and once as its snapshot.
    assert_eq!(compiled(&place.json("status set", 0)), 6);
    for name in ["set/weir.toml", "set/allow.wasm"] {
        fs::File::options().append(true).open(place.path(name)).unwrap().set_modified(SystemTime::now()).unwrap();
    }
    // Long enough for a look, most of the time; that nothing comes of it shows below, too, in the number of the next one.
    for _ in 0..20 {
        assert_eq!(place.json("status set", 0)["generation"]["number"], 1);
        pause();
    }
    place.replace("set/weir.toml", format!("{SET}\n# A remark.\n"));
    host.judged_by(2);
    let status = place.json("status set", 0);
    assert_eq!((compiled(&status), &status["generation"]["number"]), (6, &2.into()), "{status}");
    host.says("no policy changed\n");
    let shown = place.weir("generations set --diff 1 2");
    assert!(shown.stdout.contains("nothing differs") && shown.stdout.contains("only comments"), "{shown:?}");
    assert_eq!(host.end().code, Some(0));

    let host = Host::start(&place, "eval set --follow");
    let sets = place.json("status set", 0)["metrics"]["sets"].clone();
    assert_eq!((&sets["compilations"], &sets["stored_code_used"]), (&0.into(), &3.into()), "{sets}");
    drop(host);
}

#[test]
fn a_refused_set_is_reported_and_the_former_one_goes_on() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    place.replace("set/weir.toml", SET.replace("module = \"deny.wasm\"", "modul = \"deny.wasm\""));
    let refused = until("a refused set", || {
        Some(place.json("status set", 0)["refused"].clone()).filter(|refused| !refused.is_null())
    });
    assert!(refused["set"][0]["message"].as_str().unwrap().contains("modul"), "{refused}");
    let shown = place.weir("status set");
    assert!(shown.stdout.contains("refused, generation 1 stays in force:\nset/weir.toml:"), "{shown:?}");
    host.says("weir: the set is refused, generation 1 stays in force\n");
    assert!(host.said().contains("\nset/weir.toml:"), "{}", host.said());
    assert_eq!(host.ask("deny")["generation"]["number"], 1);

    place.replace("set/weir.toml", SET);
    until("a good set", || place.json("status set", 0)["refused"].is_null().then_some(()));
    assert_eq!(host.ask("deny")["generation"]["number"], 1);
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_summary_counts_policies_that_came_meanwhile() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow --summary summary.json");
    let more =
        "[policies.late]\nmodule = \"deny.wasm\"\n[policies.idle]\nmodule = \"deny.wasm\"\ncheckpoints = [\"x\"]";
    let shadow = "module = \"allow.wasm\"\nmode = \"shadow\"";
    let set = format!("{}{more}", SET.replace("module = \"allow.wasm\"", shadow));
    place.replace("set/weir.toml", &set);
    assert_eq!(host.judged_by(2)["effect"], "deny");
    host.says("3 policies changed: allow, idle (new), late (new)\n");
    let ended = host.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("2 generations, the last one is sha256:"), "{ended:?}");
    let summary: Value = serde_json::from_str(&place.read("summary.json")).unwrap();
    assert_eq!((&summary["generation"]["number"], &summary["generations"]), (&2.into(), &2.into()));
    let row = |name: &str, shadow: Value| {
        let mut rows = summary["policies"].as_array().unwrap().iter();
        let row = rows.find(|row| row["name"] == name && row["shadow"] == shadow);
        row.unwrap_or_else(|| panic!("{name}: {summary}"))["calls"].as_u64().unwrap()
    };
    let requests = summary["requests"].as_u64().unwrap();
    let before = row("allow", false.into());
    assert_eq!(before + row("late", false.into()), requests);
    assert_eq!(before + row("allow", true.into()), requests);
    assert_eq!(row("idle", Value::Null), 0);
}

#[test]
fn locked_files_change_as_one() {
    let place = Place::new();
    assert_eq!(place.weir("lock set --check").code, Some(1));
    let locked = place.weir("lock set");
    assert!(locked.code == Some(0) && locked.stdout.contains("`set/weir.lock` is written: 4 files"), "{locked:?}");
    assert_eq!(place.weir("lock set --check").code, Some(0));
    let mut host = Host::start(&place, "eval set --follow");

    place.replace("set/allow.wasm", deny());
    let refused = until("a lock that does not fit", || {
        Some(place.json("status set", 0)["refused"].clone()).filter(|refused| !refused.is_null())
    });
    assert!(refused.to_string().contains("weir.lock"), "{refused}");
    place.replace("set/weir.toml", SET.replace("set = \"test\"", "set = \"tested\""));
    let check = place.weir("lock set --check");
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.stderr.contains("does not fit the files") && check.stderr.contains("`weir lock set`"), "{check:?}");
    assert_eq!(place.json("lock set --check", 1)["changed"], true);
    let decision = host.ask("allow");
    assert_eq!((&decision["generation"]["number"], &decision["effect"]), (&1.into(), &"allow".into()));

    let locked = place.weir("lock set");
    assert_eq!(locked.code, Some(0), "{locked:?}");
    for line in ["changed  allow.wasm  sha256:", "changed  weir.toml   sha256:"] {
        assert!(locked.stdout.contains(line), "{line}: {locked:?}");
    }
    assert_eq!(host.judged_by(2)["effect"], "deny");
    assert_eq!(place.json("status set", 0)["set"], "tested");
    let again = place.weir("lock set");
    assert!(again.code == Some(0) && again.stdout.contains("nothing changed: 4 files"), "{again:?}");
    let answer = place.json("lock set", 0);
    assert_eq!((&answer["changed"], answer["files"].as_object().unwrap().len()), (&false.into(), 4));
    let left: Vec<_> = fs::read_dir(place.path("set")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "{left:?}");
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_lock_needs_a_set_that_can_be_read() {
    let place = Place::new();
    fs::remove_file(place.path("set/deny.wasm")).unwrap();
    let refused = place.weir("lock set");
    assert!(refused.code == Some(1) && refused.stderr.contains("deny.wasm"), "{refused:?}");
    assert!(!place.path("set/weir.lock").exists());
    assert_eq!(place.weir("lock nowhere").code, Some(2));
    place.write("set/deny.wasm", deny());
    place.write("set/weir.lock", "something else");
    let check = place.weir("lock set --check");
    assert!(check.code == Some(1) && check.stderr.contains("weir.lock:1:1: not a lock"), "{check:?}");
    assert_eq!(place.weir("lock set").code, Some(0));
    assert_eq!(place.weir("lock set --check").code, Some(0));
}

#[test]
fn a_quiet_host_says_nothing() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow --quiet --rescan 1");
    place.replace("set/allow.wasm", deny());
    host.judged_by(2);
    assert_eq!(host.end().stderr, "");
    for arguments in ["eval set --rescan 5", "eval set --follow --rescan 0"] {
        assert_eq!(place.weir(arguments).code, Some(2), "{arguments}");
    }
}

/// [`SET`] with one more policy, whose module takes a compiler half a minute.
fn with_bomb(place: &Place) -> String {
    place.write("set/bomb.wasm", bomb::wasm(4_000));
    format!("{SET}\n[policies.bomb]\nmodule = \"bomb.wasm\"\ncheckpoints = [\"*\"]\n")
}

#[test]
fn a_set_that_its_files_no_longer_say_is_given_up() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    place.replace("set/weir.toml", with_bomb(&place));
    until("a compiler at work", || (!compilers_of(host.pid()).is_empty()).then_some(()));
    place.replace("set/weir.toml", format!("{SET}\n# Corrected.\n"));
    host.judged_by(2);
    let status = place.json("status set", 0);
    assert!(compilers_of(host.pid()).is_empty(), "its compiler was ended");
    let ended = host.end();
    assert!(status["refused"].is_null() && status["metrics"]["sets"]["refused"] == 0, "{status} {ended:?}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_signal_waits_for_no_compiler() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    let set = with_bomb(&place);
    place.replace("set/weir.toml", &set);
    let compiler = until("a compiler at work", || compilers_of(host.pid()).pop());
    host.signal("-TERM");
    let ended = host.ended();
    assert!(ended.code == Some(143) && !ended.stderr.contains("generation 2 is in force"), "{ended:?}");
    assert!(fs::metadata(format!("/proc/{compiler}/fd")).is_err(), "its compiler has ended with it");
    // The same while the host is starting.
    let mut starting = place.command("eval set --state elsewhere --follow").spawn().unwrap();
    until("a compiler at work", || compilers_of(starting.id()).pop());
    let pid = starting.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(until("its end", || starting.try_wait().unwrap()).code(), Some(130));
}

/// A pipe that nobody reads is full after 64 KiB.
#[test]
fn a_host_that_nobody_listens_to_judges_on() {
    let place = Place::new();
    let mut command = place.command("eval set --follow");
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let _unread = child.stderr.take().unwrap();
    let mut host = Host::over(child);
    for round in 0..4 {
        let wrong: String = (0..800).map(|key| format!("wrong-{round}-{key} = 1\n")).collect();
        place.replace("set/weir.toml", format!("{SET}\n{wrong}"));
        let refused = || place.json("status set", 0)["metrics"]["sets"]["refused"].as_u64().unwrap();
        until("the refusal", || (refused() > round).then_some(()));
        host.ask("allow");
    }
    host.signal("-TERM");
    assert_eq!(host.wait().code(), Some(143));
}
