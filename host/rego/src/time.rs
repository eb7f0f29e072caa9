//! `time.*`: moments as nanoseconds since 1970, in time zones of a database that is part of this crate.
//!
//! `Local` is UTC, whatever zone the machine is in.

mod civil;
mod duration;
mod layout;
mod reading;

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use self::civil::{Civil, days_of};
use crate::arguments::{number, text, text_read, whole, wrong};
use crate::{Answer, Builtin, Context, Error, Number, Value};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "time.now_ns", arguments: 0, call: now_ns },
    Builtin { name: "time.parse_ns", arguments: 2, call: parse_ns },
    Builtin { name: "time.parse_rfc3339_ns", arguments: 1, call: parse_rfc3339_ns },
    Builtin { name: "time.parse_duration_ns", arguments: 1, call: parse_duration_ns },
    Builtin { name: "time.format", arguments: 1, call: format },
    Builtin { name: "time.date", arguments: 1, call: date },
    Builtin { name: "time.clock", arguments: 1, call: clock },
    Builtin { name: "time.weekday", arguments: 1, call: weekday },
    Builtin { name: "time.add_date", arguments: 4, call: add_date },
    Builtin { name: "time.diff", arguments: 2, call: diff },
];

/// What finding a time zone and its rules costs.
const ZONE_WORK: u64 = 2_000;
/// What a byte of a layout costs, in which parts are looked for.
const LAYOUT_WORK: u64 = 10;
const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

fn now_ns(context: &Context, _: &[Value]) -> Answer {
    Ok(context.now_ns.into())
}

fn parse_ns(context: &Context, arguments: &[Value]) -> Answer {
    let layout = text_read(context, &arguments[0], 1)?;
    let value = text_read(context, &arguments[1], 2)?;
    context.work(LAYOUT_WORK * layout.len() as u64)?;
    nanoseconds(reading::read(layout::named(layout), value)?)
}

fn parse_rfc3339_ns(context: &Context, arguments: &[Value]) -> Answer {
    nanoseconds(reading::read(layout::RFC3339, text_read(context, &arguments[0], 1)?)?)
}

fn parse_duration_ns(context: &Context, arguments: &[Value]) -> Answer {
    let text = text_read(context, &arguments[0], 1)?;
    let why = || Error::from(format!("time: invalid duration {text:?}"));
    duration::nanoseconds(text).map(Value::from).ok_or_else(why)
}

fn format(context: &Context, arguments: &[Value]) -> Answer {
    let (moment, layout) = moment(context, &arguments[0])?;
    let layout = if layout.is_empty() { layout::RFC3339_NANO } else { layout::named(layout) };
    // The longest name, `September`, is three times as long as what stands for it.
    context.work(LAYOUT_WORK * layout.len() as u64)?;
    Ok(layout::write(layout, &moment.local()).into())
}

fn date(context: &Context, arguments: &[Value]) -> Answer {
    let local = moment(context, &arguments[0])?.0.local();
    Ok(list([local.year, local.month, local.day]))
}

fn clock(context: &Context, arguments: &[Value]) -> Answer {
    let local = moment(context, &arguments[0])?.0.local();
    Ok(list([local.hour, local.minute, local.second]))
}

fn weekday(context: &Context, arguments: &[Value]) -> Answer {
    let local = moment(context, &arguments[0])?.0.local();
    Ok(layout::WEEKDAYS[local.weekday as usize].into())
}

/// Adds to the parts of the date on the wall, then finds when that is.
fn add_date(context: &Context, arguments: &[Value]) -> Answer {
    let (moment, _) = moment(context, &arguments[0])?;
    let [years, months, days] = [(1, 2), (2, 3), (3, 4)].map(|(at, place)| whole(&arguments[at], place));
    let (years, months, days) = (i128::from(years?), i128::from(months?), i128::from(days?));
    let local = moment.local();
    let months = months + i128::from(local.month) - 1;
    let year = i128::from(local.year) + years + months.div_euclid(12);
    let day = days_of(year, months.rem_euclid(12) + 1, i128::from(local.day) + days);
    let wall = day * i128::from(DAY_SECONDS) + i128::from(local.hour * 3_600 + local.minute * 60 + local.second);
    // Zones are only asked about moments that could have a value.
    let near = i64::try_from(wall).ok().filter(|wall| wall.abs() < i64::MAX / NANOS + 2 * DAY_SECONDS);
    let wall = near.ok_or_else(outside)?;
    nanoseconds((moment.zone.when(wall), local.nanosecond))
}

/// The difference by parts of date and time, from the earlier one to the later one.
fn diff(context: &Context, arguments: &[Value]) -> Answer {
    let (mut one, _) = moment(context, &arguments[0])?;
    let (another, _) = moment(context, &arguments[1])?;
    let mut ns = another.ns;
    if one.ns > ns {
        std::mem::swap(&mut one.ns, &mut ns);
    }
    let first = one.local();
    one.ns = ns;
    let last = one.local();
    let [mut years, mut months, mut days] = [last.year - first.year, last.month - first.month, last.day - first.day];
    let [mut hours, mut minutes, mut seconds] =
        [last.hour - first.hour, last.minute - first.minute, last.second - first.second];
    let carry = |low: &mut i64, high: &mut i64, size: i64| {
        if *low < 0 {
            *low += size;
            *high -= 1;
        }
    };
    carry(&mut seconds, &mut minutes, 60);
    carry(&mut minutes, &mut hours, 60);
    carry(&mut hours, &mut days, 24);
    carry(&mut days, &mut months, civil::days_in(first.year, first.month));
    carry(&mut months, &mut years, 12);
    Ok(list([years, months, days, hours, minutes, seconds]))
}

/// A moment in UTC, in a layout.
pub(crate) fn written(ns: i64, layout: &str) -> String {
    layout::write(layout, &Moment { ns, zone: Zone::Utc }.local())
}

/// Whether a text is a moment in a layout; costs time in the lengths of both.
pub(crate) fn fits(layout: &str, text: &str) -> bool {
    reading::read(layout, text).is_ok()
}

/// A moment and where one looks at it from.
struct Moment {
    ns: i64,
    zone: Zone,
}

impl Moment {
    fn local(&self) -> Civil {
        let seconds = self.ns.div_euclid(NANOS);
        let (offset, name) = self.zone.at(seconds);
        let mut local = Civil::of(seconds + offset);
        local.nanosecond = self.ns.rem_euclid(NANOS);
        local.offset = offset;
        local.zone = name;
        local
    }
}

enum Zone {
    Utc,
    Named(TimeZone),
}

impl Zone {
    fn named(context: &Context, name: &str) -> Result<Zone, Error> {
        if matches!(name, "" | "UTC" | "Local") {
            return Ok(Zone::Utc);
        }
        context.work(ZONE_WORK)?;
        // The database does not tell upper from lower case; OPA does.
        let zone = ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name));
        zone.map(Zone::Named).ok_or_else(|| format!("unknown time zone {name}").into())
    }

    /// By how many seconds a moment is later on the wall, and what the zone is called then.
    fn at(&self, seconds: i64) -> (i64, String) {
        match (self, jiff::Timestamp::from_second(seconds)) {
            (Zone::Named(zone), Ok(moment)) => {
                let info = zone.to_offset_info(moment);
                (info.offset().seconds().into(), info.abbreviation().to_owned())
            }
            _ => (0, "UTC".to_owned()),
        }
    }

    /// When it is so late on the wall; about a change of the clock as Go guesses it.
    fn when(&self, wall: i64) -> i64 {
        let guess = self.at(wall).0;
        if guess == 0 { wall } else { wall - self.at(wall - guess).0 }
    }
}

/// A moment and its layout: `ns`, `[ns]`, `[ns, zone]` or `[ns, zone, layout]`.
fn moment<'a>(context: &Context, value: &'a Value) -> Result<(Moment, &'a str), Error> {
    let parts = match value {
        Value::Number(_) => std::slice::from_ref(value),
        Value::Array(parts) if !parts.is_empty() => parts,
        _ => return Err(wrong(value, 1, "either number (ns) or [number (ns), string (tz)]")),
    };
    let ns = number(&parts[0], 1)?;
    let zone = parts.get(1).map_or(Ok(""), |zone| text(zone, 1))?;
    let zone = Zone::named(context, zone)?;
    let layout = parts.get(2).map_or(Ok(""), |layout| text(layout, 1))?;
    let ns = exact(ns).ok_or("timestamp too big")?;
    Ok((Moment { ns, zone }, layout))
}

/// The whole number that a number is, with an exponent, too.
fn exact(number: &Number) -> Option<i64> {
    let text = number.as_str();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let after = after.trim_end_matches('0');
    let zeros = exponent.parse::<i64>().ok()?.checked_sub(after.len() as i64)?;
    let digits = [before, after].concat();
    if digits.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
        return Some(0);
    }
    let trimmed = digits.trim_end_matches('0');
    let zeros = zeros + (digits.len() - trimmed.len()) as i64;
    let zeros = u32::try_from(zeros).ok().filter(|zeros| *zeros < 19)?;
    trimmed.parse::<i64>().ok()?.checked_mul(10_i64.pow(zeros))
}

fn nanoseconds((seconds, nanosecond): (i64, i64)) -> Answer {
    let ns = i128::from(seconds) * i128::from(NANOS) + i128::from(nanosecond);
    i64::try_from(ns).map(Value::from).map_err(|_| outside())
}

fn outside() -> Error {
    "time outside of valid range".into()
}

fn list<const N: usize>(numbers: [i64; N]) -> Value {
    Value::Array(numbers.into_iter().map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use crate::{Context, Error, Value, find};

    fn call(name: &str, arguments: &[&str]) -> String {
        let arguments: Vec<Value> = arguments.iter().map(|text| Value::parse(text).unwrap()).collect();
        match find(name).unwrap().call(&Context::new(17, 0, 1_000_000), &arguments) {
            Ok(value) => value.to_string(),
            Err(Error::Undefined(why)) => why,
            Err(Error::Exhausted) => "exhausted".to_owned(),
        }
    }

    #[test]
    fn moments_are_those_of_opa() {
        for (name, arguments, expected) in [
            ("time.now_ns", &[][..], "17"),
            ("time.parse_rfc3339_ns", &[r#""2019-10-12T07:20:50.52+02:00""#], "1570857650520000000"),
            ("time.parse_rfc3339_ns", &[r#""2262-04-12T00:00:00Z""#], "time outside of valid range"),
            ("time.parse_ns", &[r#""RFC822""#, r#""02 Jan 06 15:04 XYZ""#], "1136214240000000000"),
            ("time.parse_ns", &[r#""2006-002 3PM""#, r#""2024-366 12AM""#], "1735603200000000000"),
            ("time.parse_duration_ns", &[r#""1d""#], "86400000000000"),
            ("time.format", &["1e18"], r#""2001-09-09T01:46:40Z""#),
            (
                "time.format",
                &[r#"[1700000000123456789,"Europe/Berlin","UnixDate"]"#],
                r#""Tue Nov 14 23:13:20 CET 2023""#,
            ),
            (
                "time.format",
                &[r#"[1700000000123456789,"Asia/Kolkata","Janx Jan __2 .999,00 Z070000 pm é"]"#],
                r#""Janx Nov 319 .123,12 +053000 am é""#,
            ),
            ("time.date", &[r#"[1700000000123456789,"Asia/Tokyo"]"#], "[2023,11,15]"),
            ("time.clock", &["[1700000000123456789]"], "[22,13,20]"),
            ("time.weekday", &["-1"], r#""Wednesday""#),
            ("time.add_date", &["1706659200000000000", "0", "1", "0"], "1709337600000000000"),
            ("time.add_date", &[r#"[1679704200000000000,"Europe/Berlin"]"#, "0", "0", "1"], "1679790600000000000"),
            ("time.diff", &["1700000000123456789", "0"], "[53,10,13,22,13,20]"),
        ] {
            assert_eq!(call(name, arguments), expected, "{name} {arguments:?}");
        }
    }

    #[test]
    fn what_has_no_value_says_why() {
        for (name, arguments, says) in [
            ("time.format", &["[]"][..], "but got array"),
            ("time.format", &["1.5"], "too big"),
            ("time.format", &["1e19"], "too big"),
            ("time.format", &["1e308"], "too big"),
            ("time.format", &[r#"[1,"europe/berlin"]"#], "unknown time zone"),
            ("time.format", &[r#"[1,"Etc/Unknown"]"#], "unknown time zone"),
            ("time.format", &[r#"[1,"../Europe/Berlin"]"#], "unknown time zone"),
            ("time.format", &[r#"[1,"",3]"#], "but got number"),
            ("time.add_date", &["0", "0.5", "0", "0"], "integer"),
            ("time.add_date", &["0", "9223372036854775807", "-9223372036854775808", "0"], "outside"),
            ("time.add_date", &["0", "0", "0", "-9223372036854775808"], "outside"),
            ("time.parse_ns", &[r#""2006""#, r#""20x6""#], "parsing"),
            ("time.parse_ns", &[r#""2006 02""#, r#""2006 é2""#], "parsing"),
            ("time.parse_ns", &[r#""2006-01-02""#, r#""2023-02-29""#], "parsing"),
            ("time.parse_ns", &["1", "2"], "must be string"),
            ("time.weekday", &["null"], "but got null"),
        ] {
            let answer = call(name, arguments);
            assert!(answer.contains(says), "{name} {arguments:?}: {answer}");
        }
    }

    #[test]
    fn long_texts_are_paid_for() {
        let long = Value::from("Monday ".repeat(100_000));
        for arguments in [vec![long.clone(), long.clone()], vec![vec![1.into(), "UTC".into(), long.clone()].into()]] {
            let name = if arguments.len() == 2 { "time.parse_ns" } else { "time.format" };
            let answer = find(name).unwrap().call(&Context::new(0, 0, 100_000), &arguments);
            assert_eq!(answer, Err(Error::Exhausted));
        }
    }
}
