//! Which of several readings of the same bytes counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::kinds::Kind;
use crate::rule::Evidence;

/// A kind at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    pub(crate) evidence: Evidence,
    pub(crate) named: bool,
}

/// What decides between two readings, in this order: it grants access; it is more than a doubt; it is longer; a word
/// names it; its evidence; its place in the table of kinds, where smaller odds come first.
fn rank(found: &Found) -> impl Ord + use<> {
    let length = found.end - found.start;
    let sure = found.named || found.evidence == Evidence::Firm;
    let strength = (found.kind.is_secret(), sure, length, found.named, found.evidence);
    (Reverse(strength), found.kind, found.start)
}

/// Keeps the readings that count, in the order of the text. They do not overlap.
pub(crate) fn resolve(mut found: Vec<Found>) -> Vec<Found> {
    if found.len() < 2 {
        return found;
    }
    found.sort_unstable_by_key(rank);
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    found.retain(|candidate| {
        let before = taken.range(..candidate.end).next_back();
        let free = before.is_none_or(|(_, end)| *end <= candidate.start);
        if free {
            taken.insert(candidate.start, candidate.end);
        }
        free
    });
    found.sort_unstable_by_key(|found| found.start);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    fn found(kind: Kind, start: usize, end: usize, evidence: Evidence, named: bool) -> Found {
        Found { kind, start, end, evidence, named }
    }

    #[track_caller]
    fn check(found: Vec<Found>, expected: &[Kind]) {
        let kinds: Vec<Kind> = resolve(found).iter().map(|found| found.kind).collect();
        assert_eq!(kinds, expected);
    }

    #[test]
    fn the_longer_the_named_and_the_checked_reading_wins() {
        use Evidence::{Firm, Unchecked, Weak};
        check(vec![found(Kind::Phone, 2, 14, Firm, false), found(Kind::Card, 0, 19, Firm, false)], &[Kind::Card]);
        check(vec![found(Kind::PlPesel, 0, 11, Firm, false), found(Kind::ItVat, 0, 11, Weak, true)], &[Kind::ItVat]);
        check(
            vec![found(Kind::Password, 3, 9, Firm, false), found(Kind::Email, 0, 20, Firm, false)],
            &[Kind::Password],
        );
        check(vec![found(Kind::InPan, 0, 30, Unchecked, false), found(Kind::Ip, 5, 9, Firm, false)], &[Kind::Ip]);
    }

    #[test]
    fn neighbours_stay() {
        let found = vec![
            found(Kind::Email, 30, 40, Evidence::Firm, false),
            found(Kind::Iban, 10, 30, Evidence::Firm, false),
            found(Kind::Card, 29, 31, Evidence::Firm, false),
        ];
        check(found, &[Kind::Iban, Kind::Email]);
    }
}
