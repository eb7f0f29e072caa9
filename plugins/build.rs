//! Builds the policies we ship and leaves them in `OUT_DIR`, where `src/lib.rs` embeds them.
//!
//! The build is a second cargo inside the first. What keeps the two apart, in the order of the code:
//!
//! - its own target directory, `<target>/guests`, so that it never waits for a lock of the cargo that waits for it;
//!   all outer builds of a workspace share it, one after the other;
//! - none of the outer build's wishes: flags, wrappers, profiles and targets of the host (clippy, coverage) do not
//!   change what ships;
//! - paths that are the same on every machine, because a module's digest is its name in records.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The packages that become modules.
const GUESTS: [&str; 4] = ["pii-secrets", "fairness-gate", "token-budget", "tool-guard"];
const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "guest";

/// What says how the host is built, and nothing about guests.
const HOST_ONLY: [&str; 4] = ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_INCREMENTAL"];
const HOST_ONLY_PREFIXES: [&str; 3] = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_"];

/// What went wrong, in words for whoever ran the outer cargo.
type Fault = String;

fn main() {
    if let Err(fault) = build() {
        // Cargo shows these lines and fails, without the noise of a panic.
        fault.lines().for_each(|line| println!("cargo::error={line}"));
    }
}

fn build() -> Result<(), Fault> {
    let plugins = directory("CARGO_MANIFEST_DIR");
    let workspace = plugins.parent().expect("the crate lies in the workspace");
    let out = directory("OUT_DIR");
    watch(workspace);
    endless_loop(&plugins, &out)?;
    install_target()?;
    let guests = guests_directory(&out);
    // Held until the copies are made: another outer build could replace the modules in between.
    let _lock = lock(&guests)?;
    compile(workspace, &guests)?;
    for package in GUESTS {
        let file = format!("{}.wasm", package.replace('-', "_"));
        let built = guests.join(TARGET).join(PROFILE).join(&file);
        fs::copy(&built, out.join(&file)).map_err(|error| format!("cannot copy {}: {error}", built.display()))?;
    }
    Ok(())
}

/// The directory that cargo names in a variable.
fn directory(variable: &str) -> PathBuf {
    PathBuf::from(env::var_os(variable).expect("cargo sets it for build scripts"))
}

/// Everything that can change a module; the inner cargo then knows best whether it did.
fn watch(workspace: &Path) {
    let guests = GUESTS.map(|package| format!("plugins/{package}"));
    let others =
        ["Cargo.toml", "Cargo.lock", "plugin-sdk/rust", "plugins/tool-calls", "plugins/build.rs", "plugins/hostile"];
    for path in guests.iter().map(String::as_str).chain(others) {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
}

fn endless_loop(plugins: &Path, out: &Path) -> Result<(), Fault> {
    let wasm = wat::parse_file(plugins.join("hostile/endless_loop.wat")).map_err(|error| error.to_string())?;
    let path = out.join("endless_loop.wasm");
    fs::write(&path, wasm).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Makes sure that Rust's library for wasm is there, through rustup where the toolchain is rustup's.
fn install_target() -> Result<(), Fault> {
    let has_target = || {
        let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets it for build scripts"));
        let printed = run(rustc.args(["--print", "target-libdir", "--target", TARGET]))?;
        let library = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
        Ok::<bool, Fault>(printed.status.success() && library.is_dir())
    };
    if has_target()? {
        return Ok(());
    }
    let Ok(toolchain) = env::var("RUSTUP_TOOLCHAIN") else {
        return Err(format!(
            "the policies need Rust's library for {TARGET}, and this toolchain is not rustup's: install Rust with \
             rustup (https://rustup.rs), run `rustup target add {TARGET}` and build again"
        ));
    };
    let added = Command::new("rustup").args(["target", "add", "--toolchain", &toolchain, TARGET]).output();
    if added.is_ok_and(|added| added.status.success()) && has_target()? {
        return Ok(());
    }
    Err(format!(
        "the policies need Rust's library for {TARGET}, which could not be installed: run `rustup target add \
         --toolchain {toolchain} {TARGET}` and build again"
    ))
}

/// `<target>/guests`, for `<target>/debug/build/<package>/out` and its siblings.
fn guests_directory(out: &Path) -> PathBuf {
    let build = out.ancestors().find(|path| path.ends_with("build"));
    let target = build.and_then(Path::parent).and_then(Path::parent);
    target.unwrap_or(out).join("guests")
}

fn lock(guests: &Path) -> Result<File, Fault> {
    let path = guests.join("weir-plugins.lock");
    let file = fs::create_dir_all(guests).and_then(|()| File::create(&path));
    let locked = file.and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| format!("cannot lock {}: {error}", path.display()))
}

fn compile(workspace: &Path, guests: &Path) -> Result<(), Fault> {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it for build scripts"));
    cargo.args(["build", "--quiet", "--color", "never", "--locked", "--profile", PROFILE, "--target", TARGET]);
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml")).arg("--target-dir").arg(guests);
    cargo.args(GUESTS.iter().flat_map(|package| ["-p", package]));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if HOST_ONLY.contains(&&*text) || HOST_ONLY_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    // Set, not removed: flags in the environment silence those in configuration files.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace));
    let built = run(&mut cargo)?;
    match built.status.success() {
        true => Ok(()),
        false => Err(format!("the policies do not compile:\n{}", String::from_utf8_lossy(&built.stderr))),
    }
}

/// Flags as cargo encodes them: this machine's directories are taken out of panic messages, and a guest has a stack of 128 KiB
/// instead of a mebibyte, since the kernel looks through all of a fresh instance's memory.
fn flags(workspace: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = OsString::from("-Clink-arg=-zstack-size=131072\u{1f}--remap-path-prefix=");
    flags.push(workspace);
    flags.push("=weir");
    if let Some(home) = home {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(home);
        flags.push("=cargo");
    }
    flags
}

fn run(command: &mut Command) -> Result<Output, Fault> {
    command.output().map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))
}
