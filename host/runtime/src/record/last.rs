//! Which generation a folder of records ended with: numbers go on from there, so that none names two sets in one folder.

use std::path::Path;

use serde::Deserialize;

use crate::generation::GenerationId;
use crate::journal::Journal;

/// Bytes at the end of the records that are looked at: a thousand records. An evaluation that began on an older generation
/// is recorded among them.
const TAIL: u64 = 1 << 20;
/// Segments that are looked at: the newest may have no decision yet.
const SEGMENTS: usize = 2;

/// What is read of a record.
#[derive(Deserialize)]
struct Line {
    decision: Decision,
}

#[derive(Deserialize)]
struct Decision {
    generation: GenerationId,
}

/// The newest generation among the last records; none where there is none, or nothing that can be read.
pub(super) fn last_generation(folder: &Path) -> Option<GenerationId> {
    Journal::tails(folder, SEGMENTS, TAIL).find_map(|tail| {
        let lines = tail.split(|byte| *byte == b'\n');
        let generations =
            lines.filter_map(|line| Some(serde_json::from_slice::<Line>(line).ok()?.decision.generation));
        generations.max_by_key(|generation| generation.number)
    })
}
