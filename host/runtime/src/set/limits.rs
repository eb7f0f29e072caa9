//! What one evaluation of a policy may use.
//!
//! Each setting has its default, its bounds and their wording side by side. The bounds are those of the host, not of
//! taste: below them no module starts, above them one policy could take the machine.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use toml::de::DeValue;

use super::reader::{Errors, Value, assign};
use crate::text::quoted;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What one evaluation of a policy may use; each bound that is reached is a failure of its own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Limits {
    /// `fuel`: steps of the guest; the same request always takes the same. Default 5 million.
    pub fuel: u64,
    /// `memory`: bytes of linear memory. Default 16 MiB.
    pub memory_bytes: u64,
    /// `deadline`: time on the clock, with waiting and host calls. Default 20 ms.
    pub deadline: Duration,
    /// `output`: bytes of the answer. Default 256 KiB.
    pub output_bytes: u64,
    /// `host_calls`: calls into the host. Default 1000.
    pub host_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            fuel: 5_000_000,
            memory_bytes: 16 * MIB,
            deadline: Duration::from_millis(20),
            output_bytes: 256 * KIB,
            host_calls: 1_000,
        }
    }
}

const FUEL: (RangeInclusive<u64>, &str) = (1..=10_000_000_000, "1 to 10_000_000_000");
const MEMORY: (RangeInclusive<u64>, &str) = (64 * KIB..=256 * MIB, "64 KiB to 256 MiB");
const DEADLINE: (RangeInclusive<Duration>, &str) =
    (Duration::from_millis(1)..=Duration::from_secs(60), "1 ms to 60 s");
const OUTPUT: (RangeInclusive<u64>, &str) = (KIB..=16 * MIB, "1 KiB to 16 MiB");
const HOST_CALLS: (RangeInclusive<u64>, &str) = (0..=1_000_000, "0 to 1_000_000");

/// The limits a table sets; the others keep their default.
pub(super) fn read(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Limits> {
    let mut table = value.table(errors)?;
    let mut limits = Limits::default();
    assign(&mut limits.fuel, table.get("fuel").and_then(|value| value.integer(errors, FUEL.0, FUEL.1)));
    assign(&mut limits.memory_bytes, table.get("memory").and_then(|value| bytes(errors, value, MEMORY)));
    assign(&mut limits.deadline, table.get("deadline").and_then(|value| time(errors, value)));
    assign(&mut limits.output_bytes, table.get("output").and_then(|value| bytes(errors, value, OUTPUT)));
    let host_calls = table.get("host_calls").and_then(|value| value.integer(errors, HOST_CALLS.0, HOST_CALLS.1));
    assign(&mut limits.host_calls, host_calls.and_then(|calls| calls.try_into().ok()));
    table.finish(errors);
    Some(limits)
}

/// A size with its unit, as in "16 MiB".
fn bytes(errors: &mut Errors<'_>, value: Value<'_>, bounds: (RangeInclusive<u64>, &str)) -> Option<u64> {
    let (text, size) = quantity(errors, value, "a size", "16 MiB", |text| text.parse::<ByteSize>().ok())?;
    match size.as_u64() {
        size if bounds.0.contains(&size) => Some(size),
        _ => value.out_of_range(errors, text, bounds.1),
    }
}

/// A time with its unit, as in "20 ms".
fn time(errors: &mut Errors<'_>, value: Value<'_>) -> Option<Duration> {
    let (text, time) = quantity(errors, value, "a time", "20 ms", |text| text.parse::<SignedDuration>().ok())?;
    match Duration::try_from(time) {
        Ok(time) if DEADLINE.0.contains(&time) => Some(time),
        _ => value.out_of_range(errors, text, DEADLINE.1),
    }
}

/// A number with its unit, as text and as what the text means.
fn quantity<'d, T>(
    errors: &mut Errors<'_>,
    value: Value<'d>,
    what: &str,
    example: &str,
    meaning: fn(&str) -> Option<T>,
) -> Option<(&'d str, T)> {
    let help = Some(format!("write it as in `{} = \"{example}\"`", value.key));
    if let DeValue::Integer(_) | DeValue::Float(_) = value.toml {
        return value.expected(errors, "text with a unit", help);
    }
    let text = value.text(errors)?;
    let has_unit = !text.ends_with(|last: char| last.is_ascii_digit());
    match meaning(text).filter(|_| has_unit) {
        Some(meaning) => Some((text, meaning)),
        None => value.wrong(errors, format!("{} is not {what} with a unit", quoted(text)), help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::parse;

    fn limits(setting: &str) -> Result<Limits, String> {
        let text = format!("set = 's'\n[policies.p]\nmodule = 'p'\nlimits = {{ {setting} }}");
        parse("weir.toml", &text).map(|set| set.policies[0].limits).map_err(|errors| errors[0].message.clone())
    }

    #[test]
    fn both_ends_of_every_range_are_inside() {
        let default = Limits::default();
        let cases = [
            ("fuel = 1", Limits { fuel: 1, ..default }),
            ("fuel = 10_000_000_000", Limits { fuel: 10_000_000_000, ..default }),
            ("memory = '64 KiB'", Limits { memory_bytes: 65_536, ..default }),
            ("memory = '256MiB'", Limits { memory_bytes: 268_435_456, ..default }),
            ("deadline = '1 ms'", Limits { deadline: Duration::from_millis(1), ..default }),
            ("deadline = '1m'", Limits { deadline: Duration::from_secs(60), ..default }),
            ("output = '1024 B'", Limits { output_bytes: 1_024, ..default }),
            ("output = '16 MiB'", Limits { output_bytes: 16_777_216, ..default }),
            ("host_calls = 0", Limits { host_calls: 0, ..default }),
            ("host_calls = 1_000_000", Limits { host_calls: 1_000_000, ..default }),
        ];
        for (setting, expected) in cases {
            assert_eq!(limits(setting), Ok(expected), "{setting}");
        }
    }

    #[test]
    fn errors_name_the_setting_the_value_and_the_range() {
        let cases = [
            ("fuel = 0", "`fuel`: `0` is out of range: it must be 1 to 10_000_000_000"),
            ("fuel = -1", "`fuel`: `-1` is out of range: it must be 1 to 10_000_000_000"),
            ("fuel = 10_000_000_001", "`fuel`: `10000000001` is out of range: it must be 1 to 10_000_000_000"),
            ("memory = '65535 B'", "`memory`: `65535 B` is out of range: it must be 64 KiB to 256 MiB"),
            ("memory = '1 GiB'", "`memory`: `1 GiB` is out of range: it must be 64 KiB to 256 MiB"),
            (
                "memory = '99999999999 EiB'",
                "`memory`: `99999999999 EiB` is out of range: it must be 64 KiB to 256 MiB",
            ),
            ("deadline = '999 us'", "`deadline`: `999 us` is out of range: it must be 1 ms to 60 s"),
            ("deadline = '-5 ms'", "`deadline`: `-5 ms` is out of range: it must be 1 ms to 60 s"),
            ("deadline = '61 s'", "`deadline`: `61 s` is out of range: it must be 1 ms to 60 s"),
            ("output = '1 kB'", "`output`: `1 kB` is out of range: it must be 1 KiB to 16 MiB"),
            ("host_calls = 1_000_001", "`host_calls`: `1000001` is out of range: it must be 0 to 1_000_000"),
        ];
        for (setting, message) in cases {
            assert_eq!(limits(setting), Err(message.to_owned()), "{setting}");
        }
    }

    #[test]
    fn sizes_and_times_need_a_unit() {
        let cases = [
            ("memory = 1", "`memory`: expected text with a unit, found an integer"),
            ("deadline = 0.5", "`deadline`: expected text with a unit, found a float"),
            ("memory = true", "`memory`: expected text, found a boolean"),
            ("memory = '65536'", "`memory`: `65536` is not a size with a unit"),
            ("output = '16 XB'", "`output`: `16 XB` is not a size with a unit"),
            ("deadline = '20'", "`deadline`: `20` is not a time with a unit"),
            ("deadline = '1 year'", "`deadline`: `1 year` is not a time with a unit"),
            ("fuel = 1.5", "`fuel`: expected an integer, found a float"),
        ];
        for (setting, message) in cases {
            assert_eq!(limits(setting), Err(message.to_owned()), "{setting}");
        }
    }
}
