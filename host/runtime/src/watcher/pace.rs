//! When the next look is due: reckoned from hints and the instants they came at, without a clock of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Patience;

/// Writers that are remembered at once; whoever comes above that only hints, so a storm cannot grow this.
const MOST_WRITERS: usize = 128;

/// What is known of hints, writers and looks.
pub(super) struct Pace {
    patience: Patience,
    /// Whether hints come; while they do not, looks without a hint come faster.
    pub(super) trusted: bool,
    /// Hints that no look has answered yet.
    asked: Option<Asked>,
    /// Files that were written to and not closed since.
    writers: HashMap<PathBuf, Writer>,
    /// When the last look ended; the looks without a hint count from here.
    rested: Instant,
    /// No look comes before, so that a storm does not keep the loader busy.
    earliest: Instant,
}

struct Asked {
    first: Instant,
    last: Instant,
    /// When the last writer closed after it had held the look back: the next file of the same copy may follow at once.
    released: Option<Instant>,
}

enum Writer {
    /// Holds looks back, since then.
    Holds(Instant),
    /// Has used up its patience: a log, a very slow copy. It neither holds nor hints until its file is closed.
    Ignored,
}

impl Pace {
    /// Counts from `now`, and asks for a first look.
    pub(super) fn new(patience: Patience, now: Instant) -> Pace {
        let asked = Some(Asked { first: now, last: now, released: None });
        Pace { patience, trusted: true, asked, writers: HashMap::new(), rested: now, earliest: now }
    }

    /// Something may have changed.
    pub(super) fn hint(&mut self, now: Instant) {
        self.asked.get_or_insert(Asked { first: now, last: now, released: None }).last = now;
    }

    /// Somebody writes to the file, so it is open and may be torn.
    pub(super) fn writes(&mut self, path: PathBuf, now: Instant) {
        match self.writers.get(&path) {
            Some(Writer::Ignored) => return,
            None if self.writers.len() < MOST_WRITERS => {
                self.writers.insert(path, Writer::Holds(now));
            }
            Some(Writer::Holds(_)) | None => {}
        }
        self.hint(now);
    }

    /// Whoever wrote to the file has closed it, or the path no longer leads to that file.
    pub(super) fn settles(&mut self, path: &Path, now: Instant) {
        let was_held = self.held_until().is_some();
        self.writers.remove(path);
        let overdue = self.asked.as_ref().is_some_and(|asked| self.ready(asked) <= now);
        let released = was_held && overdue && self.held_until().is_none();
        self.hint(now);
        if let Some(asked) = self.asked.as_mut().filter(|_| released) {
            asked.released = Some(now);
        }
    }

    /// Events were lost, and closings may be among them.
    pub(super) fn forget_writers(&mut self) {
        self.writers.clear();
    }

    /// A look begins: it answers all hints up to `now`.
    pub(super) fn look_begins(&mut self, now: Instant) {
        self.asked = None;
        for writer in self.writers.values_mut() {
            if matches!(writer, Writer::Holds(since) if *since + self.patience.writer <= now) {
                *writer = Writer::Ignored;
            }
        }
    }

    /// The look has ended.
    pub(super) fn look_ended(&mut self, now: Instant) {
        self.rested = now;
        self.earliest = now + self.patience.most;
    }

    /// When a look is due, as far as is known.
    pub(super) fn due(&self) -> Instant {
        let ready = self.ready_or_rescan();
        self.held_until().map_or(ready, |held| ready.max(held))
    }

    /// When it is worth reckoning again: writers come and go while hints settle, and only who is open after that matters.
    pub(super) fn next_thought(&self, now: Instant) -> Instant {
        let ready = self.ready_or_rescan();
        if ready > now { ready } else { self.due() }
    }

    fn ready_or_rescan(&self) -> Instant {
        let Patience { rescan, degraded_rescan, .. } = self.patience;
        match &self.asked {
            Some(asked) => self.ready(asked),
            None => self.rested + if self.trusted { rescan } else { degraded_rescan },
        }
    }

    /// When the look that was asked for is due, writers aside.
    fn ready(&self, asked: &Asked) -> Instant {
        let Patience { settle, most, .. } = self.patience;
        let quiet = (asked.last + settle).min(asked.first + most);
        let quiet = asked.released.map_or(quiet, |released| quiet.max(released + settle));
        quiet.max(self.earliest)
    }

    /// How long writers hold the look back: no writer longer than its patience, all together no longer than one.
    fn held_until(&self) -> Option<Instant> {
        let Asked { first, .. } = self.asked.as_ref()?;
        let since = |writer: &Writer| match writer {
            Writer::Holds(since) => Some(*since),
            Writer::Ignored => None,
        };
        let youngest = self.writers.values().filter_map(since).max()?;
        Some(youngest.min(*first) + self.patience.writer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SETTLE: u64 = 50;
    const MOST: u64 = 200;
    const WRITER: u64 = 10_000;
    const RESCAN: u64 = 30_000;
    const DEGRADED: u64 = 1_000;

    /// A pace and its clock, in milliseconds, after a look that ended at 0.
    struct Story {
        start: Instant,
        pace: Pace,
    }

    impl Story {
        fn new() -> Story {
            let start = Instant::now();
            let mut story = Story { start, pace: Pace::new(Patience::default(), start) };
            story.look(0);
            // Far from the last look, unless a test is about that.
            story.pace.earliest = start;
            story
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn hint(&mut self, at: u64) -> u64 {
            self.pace.hint(self.at(at));
            self.due()
        }

        fn writes(&mut self, path: &str, at: u64) -> u64 {
            self.pace.writes(path.into(), self.at(at));
            self.due()
        }

        fn settles(&mut self, path: &str, at: u64) -> u64 {
            self.pace.settles(Path::new(path), self.at(at));
            self.due()
        }

        fn look(&mut self, at: u64) -> u64 {
            self.pace.look_begins(self.at(at));
            self.pace.look_ended(self.at(at));
            self.due()
        }

        fn due(&self) -> u64 {
            (self.pace.due() - self.start).as_millis() as u64
        }
    }

    #[test]
    fn the_first_look_comes_once() {
        let start = Instant::now();
        let mut story = Story { start, pace: Pace::new(Patience::default(), start) };
        assert_eq!(story.due(), SETTLE);
        assert_eq!(story.look(SETTLE), SETTLE + RESCAN);
    }

    #[test]
    fn hints_settle_but_not_for_ever() {
        let mut story = Story::new();
        assert_eq!(story.hint(10), 10 + SETTLE);
        assert_eq!(story.hint(40), 40 + SETTLE);
        for at in 41..=MOST {
            assert!(story.hint(at) <= 10 + MOST);
        }
        assert_eq!(story.due(), 10 + MOST);
    }

    #[test]
    fn looks_keep_a_distance() {
        let mut story = Story::new();
        story.hint(10);
        story.pace.look_begins(story.at(60));
        // It came while the look was reading, so that look does not answer it.
        story.hint(70);
        story.pace.look_ended(story.at(500));
        assert_eq!(story.due(), 500 + MOST);
        assert_eq!(story.look(700), 700 + RESCAN);
    }

    #[test]
    fn a_look_without_hints_comes_slowly_and_faster_while_degraded() {
        let mut story = Story::new();
        assert_eq!(story.due(), RESCAN);
        story.pace.trusted = false;
        assert_eq!(story.due(), DEGRADED);
        assert_eq!(story.hint(10), 10 + SETTLE);
        assert_eq!(story.look(60), 60 + DEGRADED);
    }

    #[test]
    fn an_open_writer_holds_the_look_back_until_it_closes() {
        let mut story = Story::new();
        assert_eq!(story.writes("a", 10), 10 + WRITER);
        assert_eq!(story.writes("a", 3_000), 10 + WRITER);
        assert_eq!(story.hint(3_500), 10 + WRITER);
        assert_eq!(story.settles("a", 4_000), 4_000 + SETTLE);
        assert_eq!(story.look(4_050), 4_050 + RESCAN);
    }

    #[test]
    fn a_quick_write_does_not_delay() {
        let mut story = Story::new();
        story.writes("a", 10);
        assert_eq!(story.settles("a", 12), 12 + SETTLE);
    }

    #[test]
    fn the_files_of_one_copy_are_looked_at_together() {
        let mut story = Story::new();
        story.writes("a", 10);
        assert_eq!(story.settles("a", 1_000), 1_000 + SETTLE);
        assert!(story.writes("b", 1_001) > 3_000);
        assert_eq!(story.settles("b", 3_000), 3_000 + SETTLE);
        // However many there are.
        story.writes("c", 3_001);
        assert_eq!(story.due(), 10 + WRITER);
    }

    #[test]
    fn all_writers_have_to_close() {
        let mut story = Story::new();
        story.writes("a", 10);
        story.writes("b", 11);
        assert_eq!(story.settles("a", 1_000), 10 + WRITER);
        assert_eq!(story.settles("b", 1_100), 1_100 + SETTLE);
    }

    #[test]
    fn a_writer_that_never_closes_costs_one_look_and_holds_no_other() {
        let mut story = Story::new();
        let expired = story.writes("log", 10);
        assert_eq!(expired, 10 + WRITER);
        assert_eq!(story.look(expired), expired + RESCAN);
        assert_eq!(story.writes("log", 20_000), expired + RESCAN);
        assert_eq!(story.hint(20_100), 20_100 + SETTLE);
        story.look(20_150);
        assert_eq!(story.settles("log", 21_000), 21_000 + SETTLE);
        story.look(21_050);
        assert_eq!(story.writes("log", 22_000), 22_000 + WRITER);
    }

    #[test]
    fn a_younger_writer_keeps_what_is_left_of_its_patience() {
        let mut story = Story::new();
        story.writes("a", 10);
        story.writes("b", 9_000);
        assert_eq!(story.due(), 10 + WRITER);
        story.look(10 + WRITER);
        assert_eq!(story.hint(11_000), 9_000 + WRITER);
    }

    #[test]
    fn a_writer_holds_the_rescan_too() {
        let mut story = Story::new();
        story.writes("a", RESCAN - 100);
        assert_eq!(story.due(), RESCAN - 100 + WRITER);
        assert_eq!(story.settles("a", RESCAN + 500), RESCAN + 500 + SETTLE);
    }

    #[test]
    fn a_crowd_of_writers_is_not_remembered() {
        let mut story = Story::new();
        for file in 0..10_000 {
            story.writes(&file.to_string(), 10);
        }
        assert_eq!(story.pace.writers.len(), MOST_WRITERS);
        story.look(10 + WRITER);
        // Whoever is above the limit hints without holding.
        assert_eq!(story.writes("another", 12_000), 12_000 + SETTLE);
        story.pace.forget_writers();
        assert!(story.pace.writers.is_empty());
    }

    #[test]
    fn a_storm_of_quick_writes_still_gets_its_looks() {
        let mut story = Story::new();
        let mut looks = 0;
        for at in 0..20_000 {
            if story.due() <= at {
                story.look(at);
                looks += 1;
            }
            match at % 2 {
                0 => story.writes("a", at),
                _ => story.settles("a", at),
            };
        }
        assert!((50..=100).contains(&looks), "{looks} looks in 20 s");
    }

    #[test]
    fn thinking_again_is_rare_while_hints_settle() {
        let mut story = Story::new();
        story.writes("a", 10);
        assert_eq!(story.pace.next_thought(story.at(11)), story.at(10 + SETTLE));
        assert_eq!(story.pace.next_thought(story.at(100)), story.at(10 + WRITER));
    }
}
