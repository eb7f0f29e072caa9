//! The command as a process: what goes in, what comes out, and the code it ends with.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../../src/demo/bomb.rs"]
mod bomb;

mod authors;
mod bench;
mod budget;
mod commands;
mod compiling;
mod control;
mod crowded;
mod endings;
mod eval;
mod following;
mod host;
mod replay;
mod restarting;
mod serving;
mod soak;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own for a test, with a set in `set`.
struct Place {
    folder: TempDir,
}

/// What a process said and how it ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A set whose checkpoints say what happens: `says.allow`, `says.review`, `says.deny`. The deadline is one that a busy
/// machine keeps.
const SET: &str = r#"
set = "test"
[policies.allow]
module = "allow.wasm"
checkpoints = ["*"]
limits = { deadline = "30 s" }
[policies.review]
module = "review.wasm"
checkpoints = ["says.review"]
limits = { deadline = "30 s" }
[policies.deny]
module = "deny.wasm"
checkpoints = ["says.deny"]
limits = { deadline = "30 s" }
"#;

impl Place {
    /// A folder with [`SET`].
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        place.write("set/weir.toml", SET);
        for effect in ["allow", "review", "deny"] {
            place.write(&format!("set/{effect}.wasm"), constant(&format!("{{\"effect\":\"{effect}\"}}")));
        }
        place
    }

    /// A folder with the shipped set.
    fn shipped() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        place.write("set/weir.toml", weir_plugins::SET);
        for module in weir_plugins::modules() {
            place.write(&format!("set/{}", module.name), module.wasm);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `weir` with these arguments, separated by spaces, in this folder.
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).env("TMPDIR", self.folder.path());
        command.env("XDG_CACHE_HOME", self.path("caches"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn weir(&self, arguments: &str) -> Ended {
        self.weir_with(arguments, "")
    }

    fn weir_with(&self, arguments: &str, stdin: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let (mut pipe, text) = (child.stdin.take().unwrap(), stdin.to_owned());
        // A command that ends early closes the pipe; what it did not read is its own affair.
        let writer = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
        let ended = ended(child);
        writer.join().unwrap();
        ended
    }

    /// The decisions in the record files, oldest first; a torn last line is none.
    fn records(&self, folder: &str) -> Vec<Value> {
        let entries = fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
        files.sort();
        files.iter().flat_map(|file| whole_lines(file)).filter(|record| record["kind"] == "decision").collect()
    }
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn whole_lines(file: &Path) -> Vec<Value> {
    let text = fs::read(file).unwrap();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// A request that the set answers by `effect`.
fn request(id: usize, effect: &str) -> String {
    let text = "x".repeat(id * 37 % 900);
    format!(r#"{{"id":"r-{id}","checkpoint":"says.{effect}","content":[{{"text":"{text}"}}]}}"#)
}

/// A module of the core ABI around an `evaluate` body that leaves an `i64`.
fn guest(parts: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {parts}
           (memory (export "memory") 2)
           (func (export "weir_abi_1"))
           (func (export "weir_alloc") (param i32) (result i32) (i32.const 65536))
           (func $weir_evaluate (export "weir_evaluate") (param i32 i32) (result i64) {body}))"#
    );
    wat::parse_str(text).unwrap()
}

/// A guest that always answers `answer`, found at address 0.
fn constant(answer: &str) -> Vec<u8> {
    let data: String = answer.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    // Fields after the memory are allowed in any order.
    guest(&format!("(data (i32.const 0) \"{data}\")"), &format!("(i64.const {})", answer.len()))
}
