//! Any bytes are looked into, and loaded or refused with a report; what loads judges within its limits.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir::{Recorder, Runtime, Source};

const SET: &str = "set = 's'\n[policies.p]\nmodule = 'p.wasm'\nlimits = { fuel = 100_000, deadline = '50 ms' }\ngrants = ['log']\n";

static HOST: LazyLock<Runtime> = LazyLock::new(|| {
    let empty = Source::memory("set = 'empty'", Vec::<(&str, &[u8])>::new());
    pollster::block_on(Runtime::builder().recorder(Recorder::discard()).open(empty)).expect("an empty set opens")
});

fuzz_target!(|bytes: &[u8]| {
    let looked = weir::inspect(bytes);
    let loaded = HOST.check(Source::memory(SET, [("p.wasm", bytes)]));
    if let Err(problems) = looked {
        assert!(!problems.is_empty() && loaded.is_err(), "{problems:?}");
    }
    if let Err(report) = loaded {
        assert!(!report.to_string().is_empty());
    }
});
