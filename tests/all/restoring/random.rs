//! Modules nobody wrote, in kept and in fresh instances.

use arbitrary::Unstructured;
use wasm_smith::Module;
use weir::{Called, Isolation, Source, Trial, TrialOptions};

use crate::harness::{Random, one_policy};
use crate::hostile::random_config;

/// Calls in all; `.ci/full` asks for ten million.
fn calls() -> u64 {
    asked("WEIR_DIFFERENTIAL_CALLS").unwrap_or(2_000)
}

/// The seed before the first one: processes that share the work begin apart.
fn first_seed() -> u64 {
    asked("WEIR_DIFFERENTIAL_SEED").unwrap_or(0)
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Equal answers, equal fuel, equal memory: and the host compares the memory after each reset with the image.
#[test]
fn random_modules_cannot_tell_a_kept_instance_from_a_fresh_one() {
    const INPUTS: usize = 6;
    // A thousand modules where there is time for them.
    let rounds = (calls() / 1_000).max(14);
    let (mut done, mut seed) = (0, first_seed());
    while done < calls() {
        seed += 1;
        let mut random = Random(seed);
        let bytes = random.bytes(4096);
        let module = Module::new(random_config(seed), &mut Unstructured::new(&bytes)).unwrap();
        let Some((kept, fresh)) = trials(&module.to_bytes()) else { continue };
        let inputs: Vec<Vec<u8>> = (0..INPUTS).map(|size| random.bytes(size * size * 40)).collect();
        let expected: Vec<Called> = inputs.iter().map(|input| fresh.call(0, input)).collect();
        for _ in 0..rounds {
            let which = random.below(INPUTS);
            assert_eq!(kept.call(0, &inputs[which]), expected[which], "seed {seed}, input {which}");
        }
        done += INPUTS as u64 + rounds;
    }
}

/// The two sides; none where the module is refused, or its instances cannot be restored.
fn trials(wasm: &[u8]) -> Option<(Trial, Trial)> {
    if weir::inspect(wasm).is_ok_and(|inspection| inspection.plain.is_some()) {
        return None;
    }
    let open = |isolation: &str| {
        let lines = format!(
            "grants = [\"log\"]\nlimits = {{ fuel = 20_000, memory = \"1 MiB\" }}\nisolation = \"{isolation}\""
        );
        let options = TrialOptions { ready_instances: 4, ..TrialOptions::default() };
        Trial::open(&Source::memory(one_policy(&lines), [("p.wasm", wasm)]), options).ok()
    };
    let kept = open("restore").filter(|kept| kept.plan().policies[0].isolation == Isolation::Restore)?;
    Some((kept, open("fresh")?))
}
