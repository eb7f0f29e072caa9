//! Ranges of numbers, and what looks like chance: it follows from the context's seed, so that a decision can be repeated.

use digest::Digest;
use num_bigint::{BigInt, Sign};
use sha2_next::Sha256;

use crate::arguments::{big, text, whole};
use crate::value::{Number, Value};
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "numbers.range_step", arguments: 3, call: range_step },
    Builtin { name: "rand.intn", arguments: 2, call: below },
    Builtin { name: "uuid.rfc4122", arguments: 1, call: random_id },
    Builtin { name: "uuid.parse", arguments: 1, call: parse_id },
];

fn range_step(context: &Context, arguments: &[Value]) -> Answer {
    /// What a number costs beside its digits.
    const NUMBER: u64 = 32;
    let (mut at, end) = (big(context, &arguments[0], 1)?, big(context, &arguments[1], 2)?);
    let mut step = big(context, &arguments[2], 3)?;
    if step.sign() != Sign::Plus {
        return Err("step must be a positive integer".into());
    }
    let down = at > end;
    if down {
        step = -step;
    }
    let mut numbers = Vec::new();
    while if down { at >= end } else { at <= end } {
        context.work(NUMBER + at.bits() / 2)?;
        numbers.extend(Number::parse(&at.to_string()).map(Value::Number));
        at += &step;
    }
    Ok(Value::Array(numbers))
}

/// Bits that follow from the seed, the function and its arguments.
fn bits(context: &Context, name: &str, arguments: &str) -> Result<[u8; 32], Error> {
    context.work(arguments.len() as u64)?;
    let mut hash = Sha256::new();
    hash.update(context.seed.to_le_bytes());
    for part in [name, arguments] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(hash.finalize().into())
}

/// A number from zero up to another one; the same for the same arguments within an evaluation.
fn below(context: &Context, arguments: &[Value]) -> Answer {
    let (name, limit) = (text(&arguments[0], 1)?, whole(&arguments[1], 2)?);
    if limit == 0 {
        return Ok(0.into());
    }
    let limit = limit.unsigned_abs();
    let bits = bits(context, "rand.intn", &format!("{name}-{limit}"))?;
    // Of 256 bits, the remainder favours no number by more than one in 2^193.
    let number = BigInt::from_bytes_le(Sign::Plus, &bits) % limit;
    i64::try_from(number).map(Value::from).map_err(|_| "beyond 64 bits".into())
}

fn random_id(context: &Context, arguments: &[Value]) -> Answer {
    let argument = arguments[0].to_string();
    let bits = bits(context, "uuid.rfc4122", &argument)?;
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&bits[..16]);
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into())
}

fn parse_id(context: &Context, arguments: &[Value]) -> Answer {
    let text = text(&arguments[0], 1)?;
    context.work(text.len().min(64) as u64)?;
    let bytes = id_bytes(text).ok_or("invalid UUID")?;
    let version = bytes[6] >> 4;
    let variant = match bytes[8] >> 5 {
        0b100 | 0b101 => "RFC4122",
        0b110 => "Microsoft",
        0b111 => "Future",
        _ => "Reserved",
    };
    let mut fields = vec![("version", i64::from(version).into()), ("variant", variant.into())];
    if matches!(version, 1 | 2) {
        fields.extend(of_time(&bytes));
    }
    if version == 2 {
        let domain = match bytes[9] {
            0 => "Person".to_owned(),
            1 => "Group".to_owned(),
            2 => "Org".to_owned(),
            other => format!("Domain{other}"),
        };
        let id = i64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        fields.extend([("id", id.into()), ("domain", domain.into())]);
    }
    Ok(Value::Object(fields.into_iter().map(|(key, value)| (key.into(), value)).collect()))
}

/// What an id of a time and a place tells.
fn of_time(bytes: &[u8; 16]) -> [(&'static str, Value); 4] {
    /// Steps of 100 ns from 1582, when the Gregorian calendar began, to 1970.
    const CALENDAR: i64 = 122_192_928_000_000_000;
    let steps =
        i64::from_be_bytes([bytes[6] & 0xF, bytes[7], bytes[4], bytes[5], bytes[0], bytes[1], bytes[2], bytes[3]]);
    let node: Vec<_> = bytes[10..].iter().map(|byte| format!("{byte:02x}")).collect();
    let kind = match bytes[10] & 0b11 {
        0b11 => "local:multicast",
        0b01 => "global:multicast",
        0b10 => "local:unicast",
        _ => "global:unicast",
    };
    let sequence = i64::from(u16::from_be_bytes([bytes[8], bytes[9]]) & 0x3FFF);
    [
        // OPA lets it run over, too.
        ("time", (steps - CALENDAR).wrapping_mul(100).into()),
        ("nodeid", node.join("-").into()),
        ("macvariables", kind.into()),
        ("clocksequence", sequence.into()),
    ]
}

/// Digits with or without dashes, between any two signs, or behind `urn:uuid:`.
fn id_bytes(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let dashed = match bytes.len() {
        32 => return hex::decode(bytes).ok()?.try_into().ok(),
        36 => bytes,
        38 => &bytes[1..37],
        45 if bytes[..9].eq_ignore_ascii_case(b"urn:uuid:") => &bytes[9..],
        _ => return None,
    };
    let dash = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    let digits: Vec<u8> =
        dashed.iter().enumerate().filter(|(place, _)| !dash(*place)).map(|(_, byte)| *byte).collect();
    let dashes = dashed.iter().enumerate().all(|(place, byte)| !dash(place) || *byte == b'-');
    hex::decode(digits).ok().filter(|_| dashes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{bounded, call, check};

    #[test]
    fn ranges_and_ids_are_those_of_opa() {
        check(&[
            ("numbers.range_step", "[1, 10, 3]", Some("[1,4,7,10]")),
            ("numbers.range_step", "[10, 1e0, 4]", Some("[10,6,2]")),
            ("numbers.range_step", "[99999999999999999999, 100000000000000000001, 1]", Some("[99999999999999999999,100000000000000000000,100000000000000000001]")),
            ("numbers.range_step", "[1, 2, 0]", None),
            ("numbers.range_step", "[1, 2.5, 1]", None),
            ("uuid.parse", r#"["00000000-0000-1000-8000-000000000000"]"#, Some(r#"{"clocksequence":0,"macvariables":"global:unicast","nodeid":"00-00-00-00-00-00","time":-12219292800000000000,"variant":"RFC4122","version":1}"#.replace("-12219292800000000000", "6227451273709551616").as_str())),
            ("uuid.parse", r#"["URN:uuid:4d6ecfb4-9a85-4bd7-ab3b-a3d2a1c0bb0f"]"#, Some(r#"{"variant":"RFC4122","version":4}"#)),
            ("uuid.parse", r#"["4d6ecfb49a854bd7"]"#, None),
            ("uuid.parse", r#"["4d6ecfb4-9a85-4bd7-ab3b-a3d2a1c0bb0é"]"#, None),
            ("rand.intn", "[\"a\", 0]", Some("0")),
        ]);
    }

    #[test]
    fn chance_follows_from_the_seed_and_the_arguments() {
        let draw =
            |seed, name: &str| below(&Context::new(0, seed, 1000), &[name.into(), 1_000_000_000.into()]).unwrap();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert!(draw(1, "a") != draw(2, "a") && draw(1, "a") != draw(1, "b"));
        assert!(call("rand.intn", "[\"a\", -3]").unwrap().parse::<u8>().unwrap() < 3);
        assert!(call("rand.intn", "[\"a\", -9223372036854775808]").is_ok());
        let id = call("uuid.rfc4122", "[\"a\"]").unwrap();
        assert_eq!((id.len(), &id[15..16]), (38, "4"));
        assert_ne!(id, call("uuid.rfc4122", "[\"b\"]").unwrap());
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        bounded(&[
            ("numbers.range_step", "[0, 1e300, 1]".to_owned()),
            ("numbers.range_step", "[1e300, -1e300, 1]".to_owned()),
            ("uuid.rfc4122", format!("[\"{}\"]", "a".repeat(1_000_001))),
        ]);
    }
}
