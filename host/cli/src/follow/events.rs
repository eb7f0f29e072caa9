//! What becomes of a host's set, in lines for people.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use weir::{Change, Generation, GenerationEvent, GenerationId, Runtime, WatchState};

use crate::task::Task;
use crate::terminal::{Lines, counted, plain, short_digest};

/// Names of policies in one line, before the others are only counted.
const MOST_NAMED: usize = 8;

/// Says what happens from now on, and first what is in force.
pub(super) fn tell(runtime: &Arc<Runtime>, lines: Lines) -> Task {
    let say = move |line: String| drop(lines.try_send(line));
    let (runtime, events) = (Arc::clone(runtime), runtime.events());
    let first = runtime.generation();
    let policies = counted(first.plan().policies.len() as u64, "policy");
    say(format!("weir: {} and followed, {policies}", in_force(first.id())));
    if let Some(restored) = rolled_back(&runtime) {
        say(restored);
    }
    Task::spawn(|mut stopped| async move {
        let mut events = std::pin::pin!(events);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // What has happened by then is still told.
                () = stopped.wait() => break,
            };
            let Some(event) = event else { return };
            say(line(&event, &runtime));
        }
        while let Some(Some(event)) = events.next().now_or_never() {
            say(line(&event, &runtime));
        }
    })
}

/// A rollback outlives its host, and nobody may remember it.
fn rolled_back(runtime: &Runtime) -> Option<String> {
    let differs = runtime.files()? != runtime.generation().id().digest && runtime.refused().is_none();
    differs.then(|| {
        "weir: that is a rollback; the files are another set, and count again once one of them changes".to_owned()
    })
}

fn line(event: &GenerationEvent, runtime: &Runtime) -> String {
    match event {
        GenerationEvent::Published(id) => {
            let changes = changes(&runtime.generations(), *id).map(|changes| format!(", {}", changed(&changes)));
            format!("weir: {}{}", in_force(*id), changes.unwrap_or_default())
        }
        GenerationEvent::RolledBack { to, restores } => {
            format!("weir: generation {} is in force, the policies of generation {restores}", to.number)
        }
        GenerationEvent::Refused(report) => {
            let stays = runtime.generation().id().number;
            format!("{report}\nweir: the set is refused, generation {stays} stays in force")
        }
        GenerationEvent::Watch(WatchState::Watching) => "weir: changes of the set are heard of again".to_owned(),
        GenerationEvent::Watch(WatchState::Degraded(why)) => {
            format!("weir: changes of the set are only found by looking from time to time: {}", plain(why))
        }
        GenerationEvent::Missed(number) => {
            let missed = counted(*number, "event");
            format!("weir: {missed} of the set came too fast to be told; {}", in_force(runtime.generation().id()))
        }
        // Kinds that a later library has.
        event => format!("weir: {event:?}"),
    }
}

fn in_force(id: GenerationId) -> String {
    format!("generation {} is in force ({})", id.number, short_digest(id.digest))
}

/// What a generation changed; none where it or its predecessor is not loaded any more.
fn changes(loaded: &[Arc<Generation>], id: GenerationId) -> Option<Vec<Change>> {
    let position = loaded.iter().position(|generation| generation.id() == id)?;
    let former = loaded.get(position.checked_sub(1)?)?;
    Some(loaded[position].plan().changes_from(former.plan()))
}

/// `2 policies changed: pii, guard (new); checkpoints changed`.
fn changed(changes: &[Change]) -> String {
    let named = |change: &Change| match (change.what.as_str(), &change.before) {
        ("", None) => format!("{} (new)", plain(&change.name)),
        ("", Some(_)) => format!("{} (gone)", plain(&change.name)),
        _ => plain(&change.name),
    };
    let of_policies = |change: &&Change| change.section == "policies";
    let mut names: Vec<String> = changes.iter().filter(of_policies).map(named).collect();
    // The changes of one policy stand together.
    names.dedup();
    let mut sections: Vec<&str> =
        changes.iter().filter(|change| !of_policies(change)).map(|c| c.section.as_str()).collect();
    sections.dedup();
    let mut told = Vec::new();
    if !names.is_empty() {
        let more = match names.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let policies = counted(names.len() as u64, "policy");
        names.truncate(MOST_NAMED);
        told.push(format!("{policies} changed: {}{more}", names.join(", ")));
    }
    told.extend(sections.iter().map(|section| format!("{section} changed")));
    if told.is_empty() { "no policy changed".to_owned() } else { told.join("; ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_named_once_and_many_are_counted() {
        let change = |policy: &str, what: &str| Change {
            section: "policies".to_owned(),
            name: policy.to_owned(),
            what: what.to_owned(),
            before: None,
            after: Some(json!(1)),
        };
        assert_eq!(changed(&[]), "no policy changed");
        assert_eq!(changed(&[change("pii", "digest")]), "1 policy changed: pii");
        let gone = Change { before: Some(json!({})), after: None, ..change("old", "") };
        let several = [change("guard", ""), gone, change("pii", "config.a"), change("pii", "digest")];
        assert_eq!(changed(&several), "3 policies changed: guard (new), old (gone), pii");
        let checkpoint = Change { section: "checkpoints".to_owned(), ..change("a.b", "when_unbound") };
        assert_eq!(changed(&[checkpoint, change("pii", "digest")]), "1 policy changed: pii; checkpoints changed");
        let many: Vec<Change> = (0..10).map(|number| change(&format!("p{number}"), "digest")).collect();
        assert_eq!(changed(&many), "10 policies changed: p0, p1, p2, p3, p4, p5, p6, p7 and 2 more");
    }
}
