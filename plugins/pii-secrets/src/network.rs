//! IP and MAC addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::bytes::{self, DIGIT, HEX, WORD};
use crate::checksum::number;
use crate::rule::Evidence;

/// An IPv4 address (RFC 791 in dotted form) with an optional prefix length (RFC 4632).
pub(crate) fn ipv4(text: &[u8], start: usize) -> Option<Range<usize>> {
    let (mut end, mut dots) = (start, 0);
    while end < text.len() && end - start < 16 && (bytes::is(text[end], DIGIT) || text[end] == b'.') {
        dots += u32::from(text[end] == b'.');
        end += 1;
    }
    // Decimals and dates are refused here, before anything is parsed.
    if dots < 3 {
        return None;
    }
    if text[end - 1] == b'.' {
        end -= 1;
    }
    let before = bytes::before(text, start);
    let inner = matches!(before, b'.' | b'-') || before == b'/' && bytes::is(bytes::before(text, start - 1), WORD);
    if inner || bytes::is(bytes::at(text, end), WORD) || is_version(text, start) {
        return None;
    }
    let address = str::from_utf8(&text[start..end]).ok()?.parse::<Ipv4Addr>();
    address.ok().map(|_| start..prefix(text, end, 32))
}

/// `version 1.2.3.4` is no address.
fn is_version(text: &[u8], start: usize) -> bool {
    const NAMES: [&[u8]; 4] = [b"version", b"ver", b"release", b"build"];
    let mut word = text[start.saturating_sub(12)..start].trim_ascii_end();
    if let [rest @ .., b':' | b'=' | b'#'] = word {
        word = rest.trim_ascii_end();
    }
    let ends = |name: &&[u8]| word.len() >= name.len() && word[word.len() - name.len()..].eq_ignore_ascii_case(name);
    NAMES.iter().any(ends)
}

/// An IPv6 address (RFC 4291 section 2.2) with an optional zone (RFC 4007) and prefix length.
pub(crate) fn ipv6(text: &[u8], start: usize) -> Option<(Range<usize>, Evidence)> {
    // Behind a word or a closing bracket `::` is a path of a programming language.
    let before = bytes::before(text, start);
    if bytes::is(before, WORD) || matches!(before, b':' | b'>' | b')' | b']') {
        return None;
    }
    let (mut end, mut colons) = (start, 0);
    while end < text.len() && end - start < 48 && (bytes::is(text[end], HEX) || matches!(text[end], b':' | b'.')) {
        colons += u32::from(text[end] == b':');
        end += 1;
    }
    // Times are refused here, before anything is parsed.
    if colons < 2 {
        return None;
    }
    if text[end - 1] == b'.' || text[end - 1] == b':' && !text[..end].ends_with(b"::") {
        end -= 1;
    }
    if bytes::is(bytes::at(text, end), WORD) {
        return None;
    }
    let run = &text[start..end];
    str::from_utf8(run).ok()?.parse::<Ipv6Addr>().ok()?;
    // `a::b` is also a path in several languages, `[::2]` a step, `::` a separator.
    let groups = run.split(|byte| *byte == b':').filter(|group| !group.is_empty()).count();
    // Addresses that are in use start with four digits, or with none before a v4 address, or have more groups.
    let usual = groups >= 3 || groups == 2 && run.get(4) == Some(&b':') || run.contains(&b'.');
    let firm = usual && run.iter().any(u8::is_ascii_digit);
    let evidence = if firm { Evidence::Firm } else { Evidence::Weak };
    if bytes::at(text, end) == b'%' {
        end = bytes::run(text, end + 1, 16, WORD);
    }
    Some((start..prefix(text, end, 128), evidence))
}

/// Takes a `/24` behind an address along.
fn prefix(text: &[u8], end: usize, most: u32) -> usize {
    let digits = bytes::run(text, end + 1, 4, DIGIT);
    let length = text.get(end + 1..digits).unwrap_or_default();
    let bits = number(length);
    let is_prefix = bytes::at(text, end) == b'/' && (1..=3).contains(&length.len()) && bits <= most;
    if is_prefix && !bytes::is(bytes::at(text, digits), WORD) { digits } else { end }
}

/// A MAC address (IEEE 802 EUI-48): six pairs with `:` or `-`, or three quadruples with dots. Broadcast and zero name nobody.
pub(crate) fn mac(text: &[u8], start: usize) -> Option<Range<usize>> {
    let (group, sign) = match (bytes::at(text, start + 2), bytes::at(text, start + 4)) {
        (sign @ (b':' | b'-'), _) => (2, sign),
        (_, b'.') => (4, b'.'),
        _ => return None,
    };
    let end = start + 12 + 12 / group - 1;
    let address = text.get(start..end)?;
    let before = bytes::before(text, start);
    let goes_on = |byte: u8| bytes::is(byte, WORD) || byte == sign;
    let longer = bytes::at(text, end) == sign && bytes::is(bytes::at(text, end + 1), HEX);
    if goes_on(before) || bytes::is(bytes::at(text, end), WORD) || longer {
        return None;
    }
    let place = |(index, byte): (usize, &u8)| match (index + 1) % (group + 1) {
        0 => *byte == sign,
        _ => bytes::is(*byte, HEX),
    };
    let mut hex = address.iter().filter(|byte| **byte != sign);
    let nobody = hex.clone().all(|byte| *byte == b'0') || hex.all(|byte| byte | 32 == b'f');
    (address.iter().enumerate().all(place) && !nobody).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(find: impl Fn(&[u8], usize) -> Option<Range<usize>>, text: &str, expected: Option<&str>) {
        let at = text.find('|').unwrap();
        let text = text.replace('|', "");
        assert_eq!(find(text.as_bytes(), at).map(|span| &text[span]), expected, "{text}");
    }

    #[test]
    fn four_numbers() {
        check(ipv4, "at |10.0.0.7.", Some("10.0.0.7"));
        check(ipv4, "|10.0.0.0/8 ", Some("10.0.0.0/8"));
        check(ipv4, "|10.0.0.0/33", Some("10.0.0.0"));
        check(ipv4, "//|10.0.0.7:80/", Some("10.0.0.7"));
        check(ipv4, "|10.0.0.256", None);
        check(ipv4, "|1.2.3.4.5", None);
        check(ipv4, "version: |1.2.3.4", None);
        check(ipv4, "Mozilla/|5.0.1.2", None);
        check(ipv4, "|10.0.0.7a", None);
    }

    #[test]
    fn eight_groups() {
        let find = |text: &[u8], at| ipv6(text, at).map(|(span, _)| span);
        check(find, "[|2001:db8::7]:80", Some("2001:db8::7"));
        check(find, "|fe80::1%eth0.", Some("fe80::1%eth0"));
        check(find, "|2001:db8::/32", Some("2001:db8::/32"));
        check(find, "|::ffff:10.0.0.7", Some("::ffff:10.0.0.7"));
        check(find, "|1:2:3:4:5:6:7:8", Some("1:2:3:4:5:6:7:8"));
        check(find, "Vec<u8>|::a1", None);
        check(find, "|12:34:56", None);
        check(find, "|2001:db8::7x", None);
        assert_eq!(ipv6(b"a::b1", 0).map(|(_, evidence)| evidence), Some(Evidence::Weak));
        assert_eq!(ipv6(b"::", 0).map(|(_, evidence)| evidence), Some(Evidence::Weak));
    }

    #[test]
    fn six_pairs() {
        check(mac, "|00:1a:2B:3c:4d:5e.", Some("00:1a:2B:3c:4d:5e"));
        check(mac, "|00-1a-2b-3c-4d-5e", Some("00-1a-2b-3c-4d-5e"));
        check(mac, "|001a.2b3c.4d5e", Some("001a.2b3c.4d5e"));
        check(mac, "|00:1a:2b:3c:4d:5e:6f:70", None);
        check(mac, "|00:1a-2b:3c:4d:5e", None);
        check(mac, "|ff:ff:ff:ff:ff:ff", None);
        check(mac, "|00:00:00:00:00:00", None);
        check(mac, "|00:1a:2b:3c:4d", None);
    }
}
