//! From a line to an answer: the only place that acts on a command.

use serde::Serialize;
use weir::{GenerationNumber, Isolation, RollbackError, Runtime};

use super::message::{
    Command, Diff, Error, Generation, Generations, Problem, ProblemKind, RolledBack, Status, VERSION,
};

/// What a host says about itself beside its runtime.
#[derive(Debug)]
pub(crate) struct About {
    /// When it was started.
    pub(crate) started: jiff::Timestamp,
    /// The folder it follows, and the folder of its records.
    pub(crate) folder: String,
    pub(crate) audit: String,
}

/// Carries out what a line says. Blocks for moments: a rollback is written down before it is in force.
pub(super) fn answer(line: &[u8], runtime: &Runtime, about: &About) -> Vec<u8> {
    let answered = serde_json::from_slice(line)
        .map_err(|error| problem(ProblemKind::BadCommand, format!("not a command: {error}")))
        .and_then(|command| match command {
            Command::Status {} => Ok(json(&status(runtime, about))),
            Command::Generations { diff } => generations(runtime, diff).map(|answer| json(&answer)),
            Command::Rollback { to } => rollback(runtime, to).map(|answer| json(&answer)),
        });
    answered.unwrap_or_else(refusal)
}

/// The answer that says that nothing was done.
pub(super) fn refusal(error: Problem) -> Vec<u8> {
    json(&Error { error })
}

pub(super) fn problem(kind: ProblemKind, message: impl Into<String>) -> Problem {
    Problem { kind, message: message.into() }
}

fn json(answer: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).expect("answers always serialise");
    line.push(b'\n');
    line
}

fn status(runtime: &Runtime, about: &About) -> Status {
    let following = runtime.following();
    let loaded = runtime.generations();
    let in_force = loaded.last().expect("one generation is always in force");
    Status {
        v: VERSION,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: about.started,
        set: in_force.name().to_owned(),
        folder: about.folder.clone(),
        audit: about.audit.clone(),
        generation: Generation { in_force: true, ..Generation::from(&**in_force) },
        generations: loaded.iter().map(|generation| generation.id().number.get()).collect(),
        files: following.as_ref().and_then(|following| following.files),
        refused: following.as_ref().and_then(|following| following.refused.clone()),
        watch: following.map(|following| following.watch),
        reused: reused(in_force),
        metrics: serde_json::to_value(runtime.metrics()).expect("counters always serialise"),
    }
}

fn reused(generation: &weir::Generation) -> Vec<String> {
    let reused = generation.plan().policies.iter().filter(|policy| policy.isolation == Isolation::Reuse);
    reused.map(|policy| policy.name.clone()).collect()
}

fn generations(runtime: &Runtime, diff: Option<[u64; 2]>) -> Result<Generations, Problem> {
    let loaded = runtime.generations();
    let find = |number: u64| {
        let found = loaded.iter().find(|generation| generation.id().number.get() == number);
        found.ok_or_else(|| {
            let there: Vec<String> = loaded.iter().map(|generation| generation.id().number.to_string()).collect();
            let message = format!("generation {number} is not loaded; there is {}", there.join(", "));
            problem(ProblemKind::NotLoaded, message)
        })
    };
    let diff =
        diff.map(|[from, to]| Ok(Diff { from, to, changes: find(to)?.plan().changes_from(find(from)?.plan()) }));
    let in_force = loaded.len() - 1;
    let described = |(position, generation): (usize, &std::sync::Arc<weir::Generation>)| Generation {
        in_force: position == in_force,
        ..Generation::from(&**generation)
    };
    Ok(Generations {
        v: VERSION,
        set: loaded[in_force].name().to_owned(),
        generations: loaded.iter().enumerate().map(described).collect(),
        diff: diff.transpose()?,
    })
}

fn rollback(runtime: &Runtime, to: Option<u64>) -> Result<RolledBack, Problem> {
    let refused = |message: String| problem(ProblemKind::Refused, message);
    let restores = match to {
        Some(number) => GenerationNumber::new(number),
        None => {
            before(runtime).ok_or_else(|| refused("there is no generation before the one in force".to_owned()))?
        }
    };
    let rolled_back = tokio::runtime::Handle::current().block_on(runtime.rollback(restores));
    let generation = rolled_back.map_err(|error: RollbackError| refused(error.to_string()))?;
    Ok(RolledBack { v: VERSION, generation: generation.get(), restores: restores.get() })
}

/// The last generation before the one in force, or before the one that it brought back: rolling back twice goes back
/// further, and never to what was rolled back.
fn before(runtime: &Runtime) -> Option<GenerationNumber> {
    let in_force = runtime.generation();
    let origin = in_force.restores().unwrap_or(in_force.id().number);
    let loaded = runtime.generations();
    let mut former = loaded.iter().rev().filter(|generation| generation.id().number < origin);
    former.find(|generation| generation.id().digest != in_force.id().digest).map(|generation| generation.id().number)
}
