//! What compiling a pattern costs: it grows with the states it becomes, of which a short pattern can have many.

/// What compiling a state costs, beside what a pattern costs by its length: `\pL{100}` is short and has many.
const STATE_WORK: u64 = 100;
/// About as many states as a compiled pattern may have; beyond them compiling ends.
const MOST_STATES: u64 = 1 << 18;
/// What a class of Unicode costs, and one that reaches beyond ASCII, in states of single bytes.
const CLASS_STATES: u64 = 1_500;
const SIGN_STATES: u64 = 64;

/// The work of compiling a pattern, beside reading it.
pub(super) fn work(pattern: &str) -> u64 {
    STATE_WORK * states(pattern).min(MOST_STATES)
}

/// About how many states a pattern has once its repetitions are written out.
fn states(pattern: &str) -> u64 {
    // Where case does not matter, letters of ASCII have equals beyond it.
    let sign = if pattern.contains("(?") { SIGN_STATES } else { 1 };
    // Sums of the groups that are open, and what the last piece has.
    let (mut open, mut sum, mut last) = (Vec::new(), 0_u64, 0_u64);
    let mut rest = pattern.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'(' => {
                open.push(sum);
                sum = 0;
                continue;
            }
            b')' => {
                last = sum;
                sum = open.pop().unwrap_or(0);
            }
            b'{' => {
                let more = count(rest).saturating_sub(1);
                sum = sum.saturating_add(last.saturating_mul(more));
                last = last.saturating_mul(more + 1);
                continue;
            }
            b'[' => (last, rest) = class(rest, sign),
            b'\\' => (last, rest) = escape(rest),
            b'.' | 0x80.. => last = SIGN_STATES,
            _ => last = sign,
        }
        sum = sum.saturating_add(last);
    }
    open.into_iter().fold(sum, u64::saturating_add)
}

/// The states of what follows a backslash, and what comes behind it.
fn escape(rest: &[u8]) -> (u64, &[u8]) {
    let after = rest.get(1..).unwrap_or_default();
    match (rest.first(), after.first()) {
        (Some(b'p' | b'P'), Some(b'{')) => {
            let end = after.iter().position(|byte| *byte == b'}').map_or(after.len(), |end| end + 1);
            (CLASS_STATES, &after[end..])
        }
        (Some(b'p' | b'P'), Some(_)) => (CLASS_STATES, &after[1..]),
        _ => (SIGN_STATES, after),
    }
}

/// The states of what stands in brackets, and what follows them.
fn class(inside: &[u8], sign: u64) -> (u64, &[u8]) {
    let (mut states, mut at) = (sign, 0);
    while let Some(byte) = inside.get(at) {
        match byte {
            b']' if at > 0 && inside[..at] != *b"^" => return (states, &inside[at + 1..]),
            b'\\' => {
                let large = matches!(inside.get(at + 1), Some(b'p' | b'P'));
                states += if large { CLASS_STATES } else { SIGN_STATES };
                at += 1;
            }
            b'^' | 0x80.. => states += SIGN_STATES,
            _ => {}
        }
        at += 1;
    }
    (states, &[])
}

/// How often a piece is there at most, by what follows a brace.
fn count(rest: &[u8]) -> u64 {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b',');
    let (largest, number) = digits.fold((1, 0_u64), |(largest, number), byte| match byte {
        b',' => (largest.max(number), 0),
        digit => (largest, number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    });
    largest.max(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted_with_what_they_repeat() {
        for (pattern, expected) in [
            ("abc", 3),
            ("a{10}", 10),
            ("(ab){2,30}c", 61),
            // The signs of a repetition count as if they stood for themselves.
            ("((a{10}){10}){10}", 1_333),
            ("[^])(]{3}b", 3 * (1 + SIGN_STATES) + 1),
            (r"\pL{100}", 100 * CLASS_STATES + 1),
            (r"\P{Greek}{10}", 10 * CLASS_STATES + 1),
            (r"[\]é{]{2}", 2 * (1 + 3 * SIGN_STATES)),
            ("x{", 1),
            (")))", 0),
            ("(((a", 1),
            (r"\", SIGN_STATES),
            ("[", 1),
        ] {
            assert!(states(pattern).abs_diff(expected) <= 5, "{pattern}: {}", states(pattern));
        }
    }
}
