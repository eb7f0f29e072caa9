//! What a terminal shows: colour where it is wanted, numbers as people read them, and nothing it would obey.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// Whether to colour what goes to one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colour on a terminal, unless `NO_COLOR` says otherwise (no-color.org) or the terminal is a dumb one.
    pub(crate) fn for_stream(stream: &impl IsTerminal) -> Paint {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Paint(stream.is_terminal() && !set("NO_COLOR") && !dumb)
    }

    /// Never any colour.
    #[cfg(test)]
    pub(crate) fn none() -> Paint {
        Paint(false)
    }

    pub(crate) fn bold(self, text: impl Display) -> String {
        self.with("1", text)
    }

    pub(crate) fn faint(self, text: impl Display) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: impl Display) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn green(self, text: impl Display) -> String {
        self.with("1;32", text)
    }

    pub(crate) fn yellow(self, text: impl Display) -> String {
        self.with("1;33", text)
    }

    pub(crate) fn cyan(self, text: impl Display) -> String {
        self.with("1;36", text)
    }

    pub(crate) fn effect(self, effect: weir::Effect, text: impl Display) -> String {
        match effect {
            weir::Effect::Allow => self.green(text),
            weir::Effect::Review => self.yellow(text),
            weir::Effect::Deny => self.red(text),
        }
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// A line for people, on stderr.
pub(crate) fn say(line: &str) {
    // When stderr is gone there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Last words on stderr: who does not read them keeps no process alive.
pub(crate) fn say_at_the_end(line: &str) {
    let (lines, teller) = Teller::start(say);
    let told = lines.try_send(line.to_owned());
    told.expect("the queue is new");
    drop(lines);
    teller.end();
}

/// Writes lines in a thread of its own: nobody may read them for a while, and that must keep nobody else waiting.
pub(crate) struct Teller {
    /// Closed once all is written.
    told: Receiver<()>,
}

/// Where lines wait; what finds no place is lost, since whoever does not read has no use for more.
pub(crate) type Lines = SyncSender<String>;

impl Teller {
    pub(crate) fn start(say: impl Fn(&str) + Send + 'static) -> (Lines, Teller) {
        const WAITING: usize = 256;
        let (lines, waiting) = mpsc::sync_channel::<String>(WAITING);
        let (open, told) = mpsc::channel::<()>();
        // Nobody joins it: it may stand in a write that never ends, and the end of the process ends it.
        std::thread::spawn(move || {
            waiting.iter().for_each(|line| say(&line));
            drop(open);
        });
        (lines, Teller { told })
    }

    /// Waits a moment for the last lines.
    pub(crate) fn end(self) {
        const MOMENT: Duration = Duration::from_secs(1);
        let _ = self.told.recv_timeout(MOMENT);
    }
}

/// `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 request`, `2 requests`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let (plural, noun) = match noun.strip_suffix('y') {
        Some(stem) if number != 1 => ("ies", stem),
        _ if number != 1 => ("s", noun),
        _ => ("", noun),
    };
    format!("{} {noun}{plural}", count(number))
}

/// `850 ns`, `12.3 µs`, `4.5 ms`, `1.20 s`.
pub(crate) fn time(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => return format!("{:.2} s", nanos as f64 / 1e9),
    };
    if value < 99.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// `512 B`, `64.0 KiB`, `1.1 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// One fact of many: its name in the background, and the text.
pub(crate) fn fact(out: &mut impl Write, paint: Paint, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{}  {text}", paint.faint(format!("{name:<9}")))
}

/// The first `most` characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// Enough of a digest to tell it from others: `sha256:1234567890ab…`.
pub(crate) fn short_digest(digest: impl Display) -> String {
    shortened(&digest.to_string(), "sha256:".len() + 12)
}

/// `2026-11-23 09:00:00 UTC`.
pub(crate) fn moment(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Somebody else's text on one line, without anything a terminal would obey or reorder.
pub(crate) fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// The text in lines of at most `width` characters, broken between words where there are some.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a last line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [counted(1, "policy"), counted(2, "policy"), counted(1, "request")],
            ["1 policy", "2 policies", "1 request"]
        );
        assert_eq!([time(850), time(12_345), time(450_000)], ["850 ns", "12.3 µs", "450 µs"]);
        assert_eq!([time(4_500_000), time(1_200_000_000)], ["4.5 ms", "1.20 s"]);
        assert_eq!(moment(jiff::Timestamp::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
        assert_eq!([size(10), size(65_536), size(1_153_434)], ["10 B", "64.0 KiB", "1.1 MiB"]);
    }

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(plain("a\x1b[2J\nb\u{202e}"), "a\u{fffd}[2J b\u{fffd}");
        assert_eq!(Paint::none().red("x"), "x");
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!([shortened("abcdef", 3), shortened("abc", 3)], ["abc…", "abc"]);
        assert_eq!(short_digest(weir::Digest::of(b"")), "sha256:e3b0c44298fc…");
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
    }
}
