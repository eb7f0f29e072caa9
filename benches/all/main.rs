//! What Weir costs: `cargo bench -p weir-benches -- [--json] [--list] [PART OF A FIGURE'S NAME]...`
//!
//! Figures are ratios against floors that are measured in the same run, see `measure`. Before anything is timed, its
//! answers are checked. Without `--bench`, which `cargo bench` adds and `cargo test` does not, one short round is run.
//!
//! Parts: `measure` how things are compared, `report` how figures are printed, `hosts` and `floor` the two sides;
//! `instances`, `crowd`, `peers`, `rego`, `evaluation`, `selection`, `throughput`, `serving`, `budgets` and `swapping` the
//! figures.

mod budgets;
mod crowd;
mod evaluation;
mod floor;
mod hosts;
mod instances;
mod measure;
mod overload;
mod peers;
mod rego;
mod report;
mod selection;
mod serving;
mod swapping;
mod throughput;

use std::io::Write;
use std::process::ExitCode;

use measure::Effort;
use report::Figure;

/// Figures that are measured together.
struct Group {
    names: &'static [&'static str],
    measure: fn(Effort) -> Vec<Figure>,
}

const GROUPS: [Group; 27] = [
    Group {
        names: &["warm_call", "noop_overhead_ns", "restore_call", "fresh_call"],
        measure: instances::over_warm_calls,
    },
    Group { names: &["restore_call_regex", "restore_call_large"], measure: instances::restored },
    Group { names: &["fresh_gain", "snapshot_gain"], measure: instances::gains },
    Group { names: &["component_over_core", "component_over_core_fresh"], measure: instances::components },
    Group { names: &["two_thread_cpu"], measure: instances::two_threads },
    Group { names: &["policies_1000_per_call"], measure: crowd::policies_in_turn },
    Group { names: &["ready_instance_kib", "ready_10000_mib"], measure: crowd::ready_memory },
    Group { names: &["vs_regorus", "vs_cedar"], measure: peers::over_weir },
    Group { names: &["rego_restore", "rego_big_data", "rego_ready_kib"], measure: rego::restored },
    Group {
        names: &["rego_vs_regorus", "rego_vs_bytecode", "rego_words_vs_bytecode", "rego_rules_vs_bytecode"],
        measure: rego::over_regorus,
    },
    Group { names: &["rego_vs_opa"], measure: rego::served },
    Group { names: &["evaluate_call"], measure: evaluation::over_native },
    Group {
        names: &["evaluate_over_fresh", "evaluate_over_fresh_by_turns", "parse_and_evaluate_over_fresh"],
        measure: evaluation::over_fresh,
    },
    Group { names: &["scheduler_idle_ns"], measure: evaluation::idle_scheduler },
    Group { names: &["record_cost"], measure: evaluation::record_cost },
    Group { names: &["selection_10k", "load_10000_ms"], measure: selection::ten_thousand },
    Group {
        names: &["eval_requests_per_second_1", "eval_requests_per_second_2", "eval_two_cores_over_one"],
        measure: throughput::requests_per_second,
    },
    Group { names: &["http_rps", "http_cpu", "http_cpu_recorded", "batch_100"], measure: serving::over_warm_handler },
    Group {
        names: &["overload_goodput", "overload_quiet_served", "overload_quiet_p99", "refusal_cpu_us"],
        measure: overload::one_noisy_tenant,
    },
    Group { names: &["http_p99_at_80"], measure: overload::at_four_fifths },
    Group { names: &["take_ns", "take_contended_ns", "take_logged_us"], measure: budgets::takes },
    Group { names: &["state_100k_keys_mib"], measure: budgets::memory },
    Group { names: &["tool_guard_us"], measure: budgets::tool_guard },
    Group { names: &["publish_to_answer_us"], measure: swapping::publish_to_answer },
    Group { names: &["file_to_answer_ms"], measure: swapping::file_to_answer },
    Group { names: &["swap_p99"], measure: swapping::while_swapping },
    Group { names: &["compile_bomb_p99", "compile_child_ms"], measure: swapping::while_compiling },
];

/// A round takes some milliseconds: long against the clock, short against what else the machine does.
const WHOLE: Effort = Effort { rounds: 200, batch: 200 };
const SHORT: Effort = Effort { rounds: 1, batch: 10 };

fn main() -> ExitCode {
    // A host that is measured has its modules compiled by this very program.
    if std::env::args().nth(1).is_some_and(|command| command == "compile-worker") {
        return weir::compile_worker();
    }
    if let [_, word, kind, keys] = std::env::args().collect::<Vec<_>>().as_slice()
        && word == overload::SERVER
    {
        return overload::serve(kind, keys);
    }
    let (options, filters): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let has = |option: &str| options.iter().any(|given| given == option);
    let unknown = options.iter().find(|option| !["--bench", "--json", "--list"].contains(&option.as_str()));
    if let Some(unknown) = unknown {
        let _ = writeln!(std::io::stderr(), "unknown option {unknown}: expected --json, --list or parts of names");
        return ExitCode::from(2);
    }
    let effort = if has("--bench") { WHOLE } else { SHORT };
    match run(effort, has("--json"), has("--list"), &filters) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot print: {error}");
            ExitCode::from(4)
        }
    }
}

fn run(effort: Effort, json: bool, list: bool, filters: &[String]) -> std::io::Result<()> {
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part.as_str()));
    for Group { names, measure } in GROUPS {
        if !names.iter().any(|name| wanted(name)) {
            continue;
        }
        if list {
            names.iter().try_for_each(|name| writeln!(std::io::stdout(), "{name}"))?;
            continue;
        }
        measure(effort).iter().filter(|figure| wanted(figure.name())).try_for_each(|figure| figure.print(json))?;
    }
    Ok(())
}
