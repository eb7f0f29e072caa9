//! Layouts of Go: a text in which a reference moment stands for the parts of any.

use super::civil::Civil;

pub(super) const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
pub(super) const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Letters of a short name.
pub(super) const SHORT: usize = 3;

/// The layout that a name stands for, or the layout itself.
pub(super) fn named(layout: &str) -> &str {
    match layout {
        "ANSIC" => "Mon Jan _2 15:04:05 2006",
        "UnixDate" => "Mon Jan _2 15:04:05 MST 2006",
        "RubyDate" => "Mon Jan 02 15:04:05 -0700 2006",
        "RFC822" => "02 Jan 06 15:04 MST",
        "RFC822Z" => "02 Jan 06 15:04 -0700",
        "RFC850" => "Monday, 02-Jan-06 15:04:05 MST",
        "RFC1123" => "Mon, 02 Jan 2006 15:04:05 MST",
        "RFC1123Z" => "Mon, 02 Jan 2006 15:04:05 -0700",
        "RFC3339" => RFC3339,
        "RFC3339Nano" => RFC3339_NANO,
        _ => layout,
    }
}

/// What stands in a layout for a part of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    LongMonth,
    ShortMonth,
    Month(Padding),
    LongWeekday,
    ShortWeekday,
    Day(Padding),
    DayOfYear(Padding),
    Hour,
    Hour12(Padding),
    Minute(Padding),
    Second(Padding),
    LongYear,
    ShortYear,
    /// In capitals or not.
    HalfDay(bool),
    ZoneName,
    Offset(Offset),
    /// So many digits behind this mark; zeros at the end are left out or not.
    Fraction {
        mark: u8,
        digits: usize,
        trimmed: bool,
    },
}

/// What fills a number up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    None,
    Space,
    Zero,
}

/// How the distance from UTC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// UTC is `Z`.
    pub(super) z: bool,
    pub(super) colon: bool,
    /// Hours, minutes, seconds.
    pub(super) fields: usize,
}

const fn offset(z: bool, colon: bool, fields: usize) -> Part {
    Part::Offset(Offset { z, colon, fields })
}

/// What to look for, the first that fits.
const PARTS: [(&str, Part); 37] = [
    ("January", Part::LongMonth),
    ("Jan", Part::ShortMonth),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::ShortWeekday),
    ("MST", Part::ZoneName),
    ("01", Part::Month(Padding::Zero)),
    ("02", Part::Day(Padding::Zero)),
    ("03", Part::Hour12(Padding::Zero)),
    ("04", Part::Minute(Padding::Zero)),
    ("05", Part::Second(Padding::Zero)),
    ("06", Part::ShortYear),
    ("002", Part::DayOfYear(Padding::Zero)),
    ("15", Part::Hour),
    ("1", Part::Month(Padding::None)),
    ("2006", Part::LongYear),
    ("2", Part::Day(Padding::None)),
    ("_2", Part::Day(Padding::Space)),
    ("__2", Part::DayOfYear(Padding::Space)),
    ("3", Part::Hour12(Padding::None)),
    ("4", Part::Minute(Padding::None)),
    ("5", Part::Second(Padding::None)),
    ("PM", Part::HalfDay(true)),
    ("pm", Part::HalfDay(false)),
    ("-070000", offset(false, false, 3)),
    ("-07:00:00", offset(false, true, 3)),
    ("-0700", offset(false, false, 2)),
    ("-07:00", offset(false, true, 2)),
    ("-07", offset(false, false, 1)),
    ("Z070000", offset(true, false, 3)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z0700", offset(true, false, 2)),
    ("Z07:00", offset(true, true, 2)),
    ("Z07", offset(true, false, 1)),
    (".0", Part::Fraction { mark: b'.', digits: 1, trimmed: false }),
    (".9", Part::Fraction { mark: b'.', digits: 1, trimmed: true }),
    (",0", Part::Fraction { mark: b',', digits: 1, trimmed: false }),
    (",9", Part::Fraction { mark: b',', digits: 1, trimmed: true }),
];

/// The text up to the next part, that part, and the text behind it.
pub(super) fn next(layout: &str) -> (&str, Option<Part>, &str) {
    let found = (0..layout.len()).find_map(|at| {
        let (part, length) = part_at(&layout.as_bytes()[at..])?;
        Some((&layout[..at], Some(part), &layout[at + length..]))
    });
    found.unwrap_or((layout, None, ""))
}

fn part_at(rest: &[u8]) -> Option<(Part, usize)> {
    // Most text stands for itself.
    if !rest.first().is_some_and(|first| b"JM012345_PpZ-.,".contains(first)) {
        return None;
    }
    let fits = PARTS.iter().filter(|(text, _)| rest.starts_with(text.as_bytes()));
    let (text, part) = fits.into_iter().find(|(text, part)| stands(*part, text, rest))?;
    match *part {
        Part::Fraction { mark, trimmed, .. } => {
            let digits = rest[1..].iter().take_while(|digit| **digit == rest[1]).count();
            // As wide as Go remembers it.
            Some((Part::Fraction { mark, digits: digits & 0xfff, trimmed }, digits + 1))
        }
        part => Some((part, text.len())),
    }
}

/// Whether what follows leaves the text its meaning: `Month` is no weekday, `_2006` no day.
fn stands(part: Part, text: &str, rest: &[u8]) -> bool {
    let after = &rest[text.len()..];
    match part {
        Part::ShortMonth | Part::ShortWeekday => !after.first().is_some_and(u8::is_ascii_lowercase),
        Part::Day(Padding::Space) => !after.starts_with(b"006"),
        Part::Fraction { .. } => !after.iter().find(|digit| **digit != rest[1]).is_some_and(u8::is_ascii_digit),
        _ => true,
    }
}

/// The moment in this layout.
pub(super) fn write(layout: &str, moment: &Civil) -> String {
    let (mut out, mut layout) = (String::new(), layout);
    while !layout.is_empty() {
        let (before, part, after) = next(layout);
        out.push_str(before);
        if let Some(part) = part {
            write_part(part, moment, &mut out);
        }
        layout = after;
    }
    out
}

fn write_part(part: Part, moment: &Civil, out: &mut String) {
    let month = MONTHS[moment.month as usize - 1];
    let weekday = WEEKDAYS[moment.weekday as usize];
    let hour12 = (moment.hour + 11) % 12 + 1;
    match part {
        Part::LongMonth => out.push_str(month),
        Part::ShortMonth => out.push_str(&month[..SHORT]),
        Part::LongWeekday => out.push_str(weekday),
        Part::ShortWeekday => out.push_str(&weekday[..SHORT]),
        Part::Month(padding) => write_number(moment.month, padding, 2, out),
        Part::Day(padding) => write_number(moment.day, padding, 2, out),
        Part::DayOfYear(padding) => write_number(moment.day_of_year(), padding, 3, out),
        Part::Hour => write_number(moment.hour, Padding::Zero, 2, out),
        Part::Hour12(padding) => write_number(hour12, padding, 2, out),
        Part::Minute(padding) => write_number(moment.minute, padding, 2, out),
        Part::Second(padding) => write_number(moment.second, padding, 2, out),
        Part::LongYear => write_number(moment.year, Padding::Zero, 4, out),
        Part::ShortYear => write_number(moment.year % 100, Padding::Zero, 2, out),
        Part::HalfDay(capitals) => out.push_str(match (capitals, moment.hour >= 12) {
            (true, true) => "PM",
            (true, false) => "AM",
            (false, true) => "pm",
            (false, false) => "am",
        }),
        Part::ZoneName => out.push_str(&moment.zone),
        Part::Offset(offset) => write_offset(offset, moment.offset, out),
        Part::Fraction { mark, digits, trimmed } => {
            write_fraction(mark, digits, trimmed, moment.nanosecond, out);
        }
    }
}

fn write_number(number: i64, padding: Padding, width: usize, out: &mut String) {
    out.push_str(&match padding {
        Padding::None => number.to_string(),
        Padding::Space => format!("{number:>width$}"),
        Padding::Zero => format!("{number:0>width$}"),
    });
}

fn write_offset(offset: Offset, seconds: i64, out: &mut String) {
    if offset.z && seconds == 0 {
        return out.push('Z');
    }
    // The sign is that of whole minutes.
    let minutes = seconds / 60;
    out.push(if minutes < 0 { '-' } else { '+' });
    let seconds = if minutes < 0 { -seconds } else { seconds };
    let fields = [minutes.abs() / 60, minutes.abs() % 60, seconds % 60];
    for (place, field) in fields.into_iter().take(offset.fields).enumerate() {
        if place > 0 && offset.colon {
            out.push(':');
        }
        write_number(field, Padding::Zero, 2, out);
    }
}

fn write_fraction(mark: u8, digits: usize, trimmed: bool, nanosecond: i64, out: &mut String) {
    let text = format!("{nanosecond:09}");
    let text = &text[..digits.min(text.len())];
    let text = if trimmed { text.trim_end_matches('0') } else { text };
    if !trimmed || !text.is_empty() {
        out.push(char::from(mark));
        out.push_str(text);
    }
}
