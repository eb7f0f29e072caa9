//! Where the demo speaks: stdout, with a bar on stderr while a terminal watches.

use std::io::{self, IsTerminal, Write};

use super::cards::Card;
use crate::progress::Progress;
use crate::terminal::{Paint, count};

/// What is said, and how.
pub(super) struct Stage {
    pub(super) paint: Paint,
    /// Whether somebody reads along.
    pub(super) paced: bool,
    quiet: bool,
    progress: Progress,
}

impl Stage {
    pub(super) fn new(quiet: bool) -> Stage {
        let watched = io::stdout().is_terminal() && !quiet;
        let progress = Progress::of_bytes(None, watched);
        Stage { paint: Paint::for_stream(&io::stdout()), paced: watched, quiet, progress }
    }

    /// From here on even a quiet demo speaks, and the bar is gone.
    pub(super) fn loud(&mut self) {
        self.quiet = false;
        self.progress.finish();
    }

    pub(super) fn title(&self, text: &str) -> io::Result<()> {
        self.gap()?;
        self.line(&self.paint.bold(text))?;
        self.line(&self.paint.faint("-".repeat(text.chars().count())))
    }

    pub(super) fn gap(&self) -> io::Result<()> {
        self.line("")
    }

    pub(super) fn line(&self, text: &str) -> io::Result<()> {
        self.lines([text])
    }

    /// Lines that belong together: the bar moves out of their way once.
    pub(super) fn lines<T: AsRef<str>>(&self, lines: impl IntoIterator<Item = T>) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        self.progress.above(|| {
            let mut stdout = io::stdout().lock();
            lines.into_iter().try_for_each(|line| writeln!(stdout, "{}", line.as_ref()))
        })
    }

    pub(super) fn show(&self, card: &Card<'_>) -> io::Result<()> {
        self.lines([String::new()].into_iter().chain(card.lines(self.paint)))
    }

    pub(super) fn progress(&self, done: u64, total: u64) {
        self.news(|| format!("{} of {} requests", count(done), count(total)));
    }

    /// A line that stays at the bottom until there is another one.
    pub(super) fn news(&self, text: impl FnOnce() -> String) {
        self.progress.update(0, text);
    }
}
