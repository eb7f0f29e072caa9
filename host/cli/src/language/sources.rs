//! The files of templates, with the SDKs they bring along.

use super::Language;

type File = (&'static str, &'static str);

macro_rules! sdk {
    ($path:literal) => {
        include_str!(concat!("../../../../plugin-sdk/", $path))
    };
}

const CASES: File = ("cases.toml", sdk!("cases.toml"));
const NODE_IGNORED: File = (".gitignore", "/build\n/node_modules\n");
const SDK_WIT: File = ("sdk/policy.wit", sdk!("wit/policy.wit"));
const WIT: File = ("wit/policy.wit", sdk!("wit/policy.wit"));
const IGNORED: File = (".gitignore", "/build\n/target\n");
const MANIFEST: File = ("manifest.json", sdk!("c/template/manifest.json"));

const RUST: &[File] = &[
    ("Cargo.toml", sdk!("rust/template/Cargo.toml")),
    ("config.schema.json", sdk!("rust/template/config.schema.json")),
    ("samples.json", sdk!("rust/template/samples.json")),
    ("src/lib.rs", sdk!("rust/template/lib.rs")),
    WIT,
    ("sdk/Cargo.toml", sdk!("rust/template/sdk.toml")),
    ("sdk/README.md", sdk!("rust/README.md")),
    ("sdk/src/abi.rs", sdk!("rust/src/abi.rs")),
    ("sdk/src/component.rs", sdk!("rust/src/component.rs")),
    ("sdk/src/lib.rs", sdk!("rust/src/lib.rs")),
    ("sdk/src/log.rs", sdk!("rust/src/log.rs")),
    ("sdk/src/manifest.rs", sdk!("rust/src/manifest.rs")),
    ("sdk/src/policy.rs", sdk!("rust/src/policy.rs")),
    ("sdk/src/request.rs", sdk!("rust/src/request.rs")),
    ("sdk/src/state.rs", sdk!("rust/src/state.rs")),
    ("sdk/src/verdict.rs", sdk!("rust/src/verdict.rs")),
    CASES,
    IGNORED,
];

const C: &[File] =
    &[("policy.c", sdk!("c/template/policy.c")), ("sdk/weir.h", sdk!("c/weir.h")), MANIFEST, CASES, IGNORED];

const ZIG: &[File] = &[
    ("policy.zig", sdk!("zig/template/policy.zig")),
    ("sdk/weir.zig", sdk!("zig/weir.zig")),
    MANIFEST,
    CASES,
    IGNORED,
];

const GO: &[File] = &[
    ("policy.go", sdk!("go/template/policy.go")),
    ("go.mod", sdk!("go/template/go.mod.txt")),
    ("sdk/weir.go", sdk!("go/weir.go")),
    MANIFEST,
    CASES,
    IGNORED,
];

const ASSEMBLYSCRIPT: &[File] = &[
    ("policy.ts", sdk!("assemblyscript/template/policy.ts")),
    ("package.json", sdk!("assemblyscript/template/package.json")),
    ("sdk/weir.ts", sdk!("assemblyscript/weir.ts")),
    MANIFEST,
    CASES,
    NODE_IGNORED,
];

const JAVASCRIPT: &[File] = &[
    ("policy.js", sdk!("js/template/policy.js")),
    ("policy.test.js", sdk!("js/template/policy.test.js")),
    ("package.json", sdk!("js/template/package.json")),
    ("sdk/component.js", sdk!("js/component.js")),
];

const TYPESCRIPT: &[File] = &[
    ("policy.mts", sdk!("js/typescript/policy.mts")),
    ("policy.test.mts", sdk!("js/typescript/policy.test.mts")),
    ("package.json", sdk!("js/typescript/package.json")),
    ("tsconfig.json", sdk!("js/typescript/tsconfig.json")),
    ("sdk/component.js", sdk!("js/typescript/component.js")),
];

/// What templates of JavaScript and TypeScript have in common.
const QUICKJS: &[File] = &[
    ("sdk/weir.js", sdk!("js/weir.js")),
    ("sdk/weir.d.ts", sdk!("js/weir.d.ts")),
    ("sdk/world.js", sdk!("js/world.js")),
    ("sdk/state.js", sdk!("js/state.js")),
    ("sdk/state.d.ts", sdk!("js/state.d.ts")),
    ("sdk/testing.js", sdk!("js/testing.js")),
    ("sdk/testing.d.ts", sdk!("js/testing.d.ts")),
    SDK_WIT,
    MANIFEST,
    CASES,
    NODE_IGNORED,
];

const PYTHON: &[File] = &[
    ("policy.py", sdk!("python/template/policy.py")),
    ("test_policy.py", sdk!("python/template/test_policy.py")),
    ("requirements.txt", sdk!("python/template/requirements.txt")),
    ("sdk/component.py", sdk!("python/component.py")),
    ("sdk/config.py", sdk!("python/config.py")),
    ("sdk/state.py", sdk!("python/state.py")),
    ("sdk/testing.py", sdk!("python/testing.py")),
    ("sdk/weir.py", sdk!("python/weir.py")),
    SDK_WIT,
    MANIFEST,
    CASES,
    (".gitignore", "/build\n__pycache__\n"),
];

const REGO: &[File] = &[
    ("policy.rego", sdk!("rego/template/policy.rego")),
    ("cases.toml", sdk!("rego/template/cases.toml")),
    (".gitignore", "/build\n"),
];

pub(super) fn of(language: Language) -> impl Iterator<Item = &'static File> {
    let (own, shared): (_, &[File]) = match language {
        Language::Rust => (RUST, &[]),
        Language::C => (C, &[]),
        Language::Zig => (ZIG, &[]),
        Language::Go => (GO, &[]),
        Language::Assemblyscript => (ASSEMBLYSCRIPT, &[]),
        Language::Javascript => (JAVASCRIPT, QUICKJS),
        Language::Typescript => (TYPESCRIPT, QUICKJS),
        Language::Python => (PYTHON, &[]),
        Language::Rego => (REGO, &[]),
    };
    own.iter().chain(shared)
}
