//! Builds the measured policies as modules, as `plugins/build.rs` builds those that ship, which explains the choices; one of
//! them as a component, too.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

/// Packages and the folders they lie in.
const GUESTS: [(&str, &str); 3] = [
    ("weir-bench-guest", "guest"),
    ("weir-bench-regex-guest", "regex-guest"),
    ("weir-bench-grants-guest", "grants-guest"),
];
const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "guest";

fn main() {
    if let Err(fault) = build() {
        fault.lines().for_each(|line| println!("cargo::error={line}"));
    }
}

fn build() -> Result<(), String> {
    let directory = |variable| PathBuf::from(env::var_os(variable).expect("cargo sets it for build scripts"));
    let (benches, out) = (directory("CARGO_MANIFEST_DIR"), directory("OUT_DIR"));
    for path in [
        "guest",
        "regex-guest",
        "grants-guest",
        "build.rs",
        "../plugin-sdk/rust",
        "../plugin-sdk/wit",
        "../Cargo.toml",
        "../Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", benches.join(path).display());
    }
    let build = out.ancestors().find(|path| path.ends_with("build"));
    let target = build.and_then(Path::parent).and_then(Path::parent).unwrap_or(&out);
    let guests = target.join("guests");
    compile(&benches, &guests, &GUESTS.map(|(package, _)| package), &[])?;
    let built = |package: &str| guests.join(TARGET).join(PROFILE).join(format!("{}.wasm", package.replace('-', "_")));
    for (package, folder) in GUESTS {
        let copied = fs::copy(built(package), out.join(format!("{folder}.wasm")));
        copied.map_err(|error| format!("cannot copy {package}: {error}"))?;
    }
    let (package, folder) = GUESTS[0];
    compile(&benches, &guests, &[package], &["--features", "component"])?;
    let component = fs::read(built(package)).map_err(|error| format!("cannot read {package}: {error}"))?;
    let component = ComponentEncoder::default().module(&component).and_then(|mut encoder| encoder.encode());
    let component = component.map_err(|error| format!("{package} is no component: {error:#}"))?;
    let written = fs::write(out.join(format!("{folder}-component.wasm")), component);
    written.map_err(|error| format!("cannot write a component: {error}"))
}

/// Compiles guests with a cargo of their own.
fn compile(benches: &Path, guests: &Path, packages: &[&str], more: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it for build scripts"));
    cargo.args(["build", "--quiet", "--locked", "--profile", PROFILE, "--target", TARGET]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package])).args(more);
    cargo.arg("--manifest-path").arg(benches.join("../Cargo.toml")).arg("--target-dir").arg(guests);
    let host_only = |name: &str| {
        let prefixes = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_"];
        ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_INCREMENTAL"].contains(&name)
            || prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(host_only)) {
        cargo.env_remove(name);
    }
    // A stack of 128 KiB instead of a mebibyte: the kernel looks through all of a fresh instance's memory.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Clink-arg=-zstack-size=131072");
    let built = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !built.status.success() {
        return Err(format!("the policy does not compile:\n{}", String::from_utf8_lossy(&built.stderr)));
    }
    Ok(())
}
