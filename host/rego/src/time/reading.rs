//! Reading a moment by a layout, with what Go lets pass and what it does not.

use super::civil::{days_in, days_of, is_leap};
use super::layout::{self, MONTHS, Offset, Padding, Part, SHORT, WEEKDAYS};

/// Seconds since 1970 and nanoseconds, or what is wrong.
pub(super) fn read(layout: &str, value: &str) -> Result<(i64, i64), String> {
    let mut reader = Reader { rest: value.as_bytes(), ..Reader::default() };
    let why = |what: &str| format!("parsing time {value:?} as {layout:?}: {what}");
    let mut left = layout;
    loop {
        let (before, part, after) = layout::next(left);
        reader.skip(before.as_bytes()).ok_or_else(|| why("other text"))?;
        left = after;
        let Some(part) = part else { break };
        reader.part(part, after).ok_or_else(|| why(&format!("no {part:?}")))?;
    }
    match reader.rest {
        [] => reader.moment().ok_or_else(|| why("no such day")),
        _ => Err(why("extra text")),
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader<'a> {
    rest: &'a [u8],
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    /// Whether it is after noon, where the text tells.
    afternoon: Option<bool>,
    /// Whether the text says UTC, whatever else it says of a zone.
    utc: bool,
    offset: Option<i64>,
}

impl<'a> Reader<'a> {
    /// Goes past a text, in which a run of spaces is as good as another.
    fn skip(&mut self, mut text: &[u8]) -> Option<()> {
        while let Some(first) = text.first() {
            if *first == b' ' {
                if self.rest.first().is_some_and(|byte| *byte != b' ') {
                    return None;
                }
                text = without_spaces(text);
                self.rest = without_spaces(self.rest);
            } else {
                self.rest = self.rest.strip_prefix(&text[..1])?;
                text = &text[1..];
            }
        }
        Some(())
    }

    fn part(&mut self, part: Part, after: &str) -> Option<()> {
        let fixed = |padding| padding == Padding::Zero;
        match part {
            Part::LongMonth => self.month = Some(self.name(&MONTHS, None)? + 1),
            Part::ShortMonth => self.month = Some(self.name(&MONTHS, Some(SHORT))? + 1),
            Part::LongWeekday => _ = self.name(&WEEKDAYS, None)?,
            Part::ShortWeekday => _ = self.name(&WEEKDAYS, Some(SHORT))?,
            Part::Month(padding) => {
                self.month = Some(self.digits(2, fixed(padding)).filter(|month| (1..=12).contains(month))?);
            }
            Part::Day(padding) => {
                self.spaces(padding, 1);
                self.day = Some(self.digits(2, fixed(padding))?);
            }
            Part::DayOfYear(padding) => {
                self.spaces(padding, 2);
                self.day_of_year = Some(self.digits(3, fixed(padding))?);
            }
            Part::Hour => self.hour = self.digits(2, false).filter(|hour| *hour < 24)?,
            Part::Hour12(padding) => {
                self.hour = self.digits(2, fixed(padding)).filter(|hour| *hour <= 12)?;
            }
            Part::Minute(padding) => {
                self.minute = self.digits(2, fixed(padding)).filter(|minute| *minute < 60)?;
            }
            Part::Second(padding) => self.second_and_fraction(fixed(padding), after)?,
            Part::LongYear => {
                let digits = self.take(4)?;
                self.year = digits.iter().all(u8::is_ascii_digit).then(|| number(digits))?;
            }
            Part::ShortYear => self.short_year()?,
            Part::HalfDay(capitals) => self.half_day(capitals)?,
            Part::ZoneName => self.zone_name()?,
            Part::Offset(offset) => self.offset(offset)?,
            Part::Fraction { digits, trimmed: false, .. } => self.fraction(digits)?,
            Part::Fraction { trimmed: true, .. } => self.any_fraction(),
        }
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn spaces(&mut self, padding: Padding, most: usize) {
        for _ in 0..if padding == Padding::Space { most } else { 0 } {
            self.rest = self.rest.strip_prefix(b" ").unwrap_or(self.rest);
        }
    }

    /// Up to so many digits; at least one, or exactly so many.
    fn digits(&mut self, most: usize, fixed: bool) -> Option<i64> {
        let length = count_digits(self.rest).min(most);
        if length == 0 || fixed && length != most {
            return None;
        }
        self.take(length).map(number)
    }

    /// The place of the first name that comes next, in capitals or not.
    fn name(&mut self, names: &[&str], length: Option<usize>) -> Option<i64> {
        let place = names.iter().position(|name| {
            let name = &name.as_bytes()[..length.unwrap_or(name.len())];
            self.rest.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name))
        })?;
        self.take(length.unwrap_or(names[place].len()))?;
        Some(place as i64)
    }

    /// Seconds may have a fraction of which the layout does not know.
    fn second_and_fraction(&mut self, fixed: bool, after: &str) -> Option<()> {
        self.second = self.digits(2, fixed).filter(|second| *second < 60)?;
        if !matches!(layout::next(after).1, Some(Part::Fraction { .. })) {
            self.any_fraction();
        }
        Some(())
    }

    fn any_fraction(&mut self) {
        if let [b'.' | b',', digits @ ..] = self.rest {
            let length = count_digits(digits);
            if length > 0 {
                self.nanosecond = nanoseconds(&digits[..length]);
                self.rest = &digits[length..];
            }
        }
    }

    fn fraction(&mut self, length: usize) -> Option<()> {
        let [b'.' | b',', digits @ ..] = self.take(length + 1)? else { return None };
        // Digits beyond nanoseconds are not even looked at.
        let digits = &digits[..digits.len().min(9)];
        self.nanosecond = match digits {
            [b'+', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => nanoseconds_of(digits, digits.len() + 1),
            [b'-', digits @ ..] if digits.iter().all(|digit| *digit == b'0') => 0,
            _ if digits.iter().all(u8::is_ascii_digit) => nanoseconds(digits),
            _ => return None,
        };
        Some(())
    }

    /// Two places, of which the first may be a sign; from 69 on a year is one of the last century.
    fn short_year(&mut self) -> Option<()> {
        let year = match self.take(2)? {
            [b'+', digit] if digit.is_ascii_digit() => number(&[*digit]),
            [b'-', digit] if digit.is_ascii_digit() => -number(&[*digit]),
            digits if digits.iter().all(u8::is_ascii_digit) => number(digits),
            _ => return None,
        };
        self.year = year + if year >= 69 { 1_900 } else { 2_000 };
        Some(())
    }

    fn half_day(&mut self, capitals: bool) -> Option<()> {
        self.afternoon = Some(match (capitals, self.take(2)?) {
            (true, b"PM") | (false, b"pm") => true,
            (true, b"AM") | (false, b"am") => false,
            _ => return None,
        });
        Some(())
    }

    fn offset(&mut self, offset: Offset) -> Option<()> {
        if offset.z && self.rest.starts_with(b"Z") {
            self.utc = true;
            return self.take(1).map(|_| ());
        }
        let sign = match self.take(1)? {
            b"+" => 1,
            b"-" => -1,
            _ => return None,
        };
        let mut fields = [0; 3];
        for (place, (field, most)) in fields.iter_mut().zip([24, 60, 60]).take(offset.fields).enumerate() {
            if place > 0 && offset.colon {
                self.skip(b":")?;
            }
            *field = self.digits(2, true).filter(|number| *number <= most)?;
        }
        self.offset = Some(sign * (fields[0] * 3_600 + fields[1] * 60 + fields[2]));
        Some(())
    }

    /// What looks like the name of a zone, which says nothing about its distance from UTC.
    fn zone_name(&mut self) -> Option<()> {
        if self.rest.starts_with(b"UTC") {
            self.utc = true;
        }
        self.take(zone_length(self.rest)?).map(|_| ())
    }

    fn moment(mut self) -> Option<(i64, i64)> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        let (month, day) = match self.day_of_year {
            Some(day_of_year) => self.within_year(day_of_year)?,
            None => (self.month.unwrap_or(1), self.day.unwrap_or(1)),
        };
        if day < 1 || day > days_in(self.year, month) {
            return None;
        }
        let days = i64::try_from(days_of(self.year.into(), month.into(), day.into())).ok()?;
        let seconds = days * 86_400 + self.hour * 3_600 + self.minute * 60 + self.second;
        // A second before UTC is how Go says that there is no offset.
        let offset = self.offset.filter(|offset| !self.utc && *offset != -1).unwrap_or(0);
        Some((seconds - offset, self.nanosecond))
    }

    /// Month and day of a day of the year, which must be those that the text tells.
    fn within_year(&self, day_of_year: i64) -> Option<(i64, i64)> {
        let mut day = day_of_year;
        if !(1..=365 + i64::from(is_leap(self.year))).contains(&day) {
            return None;
        }
        let mut month = 1;
        while day > days_in(self.year, month) {
            day -= days_in(self.year, month);
            month += 1;
        }
        let agrees = self.month.is_none_or(|told| told == month) && self.day.is_none_or(|told| told == day);
        agrees.then_some((month, day))
    }
}

fn without_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b' ').count()..]
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Few digits as a number.
fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}

fn nanoseconds(digits: &[u8]) -> i64 {
    nanoseconds_of(digits, digits.len())
}

/// Nanoseconds of a fraction that takes so many places.
fn nanoseconds_of(digits: &[u8], places: usize) -> i64 {
    number(&digits[..digits.len().min(9)]) * 10_i64.pow(9 - places.min(9) as u32)
}

/// How long the name of a zone is that comes next: three capitals, or four or five that end with T; a few are special.
fn zone_length(text: &[u8]) -> Option<usize> {
    let capitals = text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
    match text {
        [] | [_] | [_, _] => None,
        _ if text.starts_with(b"ChST") || text.starts_with(b"MeST") => Some(4),
        [b'G', b'M', b'T', after @ ..] => Some(3 + signed_length(after).unwrap_or(0)),
        [b'+' | b'-', ..] => signed_length(text),
        _ => match capitals {
            3 => Some(3),
            4 if text.starts_with(b"WITA") => Some(4),
            4 | 5 if text[capitals - 1] == b'T' => Some(capitals),
            _ => None,
        },
    }
}

/// The length of a sign and hours up to 23.
fn signed_length(text: &[u8]) -> Option<usize> {
    let [b'+' | b'-', digits @ ..] = text else { return None };
    let length = count_digits(digits);
    let hours = std::str::from_utf8(&digits[..length]).ok()?.parse::<u64>().ok()?;
    (hours <= 23).then_some(length + 1)
}
