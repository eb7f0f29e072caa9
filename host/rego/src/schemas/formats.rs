//! Formats of texts. Where a format is not known, all texts fit.

use std::net::IpAddr;

use super::email;
use super::patterns;
use crate::url::Url;
use crate::{Context, Error, time};

/// What a byte costs that is looked at in several ways.
const BYTE_WORK: u64 = 16;
/// Most bytes of a name of a host.
const LONGEST_HOST: usize = 255;
const LONGEST_LABEL: usize = 63;
/// Lengths of the parts of a UUID, of hexadecimal digits.
const UUID_PARTS: [usize; 5] = [8, 4, 4, 4, 12];

const DATE: &str = "2006-01-02";
const TIMES: [&str; 2] = ["15:04:05", "15:04:05Z07:00"];
const DATE_TIME: &str = "2006-01-02T15:04:05Z07:00";

pub(super) fn fits(context: &Context, format: &str, text: &str) -> Result<bool, Error> {
    context.work(BYTE_WORK * (16 + text.len() as u64))?;
    Ok(match format {
        "date" => time::fits(DATE, text),
        "time" => is_time(text),
        "date-time" => is_time(text) || time::fits(DATE, text) || time::fits(DATE_TIME, text),
        "hostname" => is_host(text),
        "email" | "idn-email" => email::is_address(text),
        "ipv4" => text.contains('.') && text.parse::<IpAddr>().is_ok(),
        "ipv6" => text.contains(':') && text.parse::<IpAddr>().is_ok(),
        "uri" | "iri" => url(text).is_some_and(|url| !url.scheme.is_empty()),
        "uri-reference" | "iri-reference" => url(text).is_some(),
        "uri-template" => url(text).is_some_and(|url| has_closed_braces(&url.path)),
        "uuid" => is_uuid(text),
        "regex" => text.is_empty() || patterns::compiled(context, text)?.is_some(),
        "json-pointer" => is_pointer(text),
        "relative-json-pointer" => is_relative_pointer(text),
        _ => true,
    })
}

fn is_time(text: &str) -> bool {
    TIMES.iter().any(|layout| time::fits(layout, text))
}

fn url(text: &str) -> Option<Url> {
    if text.contains('\\') { None } else { Url::parse(text).ok() }
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let ends_fit = !label.starts_with('-') && !label.ends_with('-');
        (1..=LONGEST_LABEL).contains(&label.len()) && ends_fit && label.bytes().all(fits)
    };
    text.len() <= LONGEST_HOST && text.split('.').all(is_label)
}

/// Whether what opens closes again; what is inside does not matter.
fn has_closed_braces(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, inside)) = rest.split_once('{') {
        let Some((_, after)) = inside.split_once('}') else { return false };
        rest = after;
    }
    true
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_part =
        |(part, length): (&&str, usize)| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.len() == UUID_PARTS.len() && parts.iter().zip(UUID_PARTS).all(is_part)
}

fn is_pointer(text: &str) -> bool {
    let escapes_fit = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes_fit
}

fn is_relative_pointer(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let is_number = number == "0" || !number.is_empty() && !number.starts_with('0');
    is_number && (rest == "#" || is_pointer(rest))
}
