//! The statistics, on whole numbers of people.
//!
//! Only `+ - * /` and `sqrt` are used. IEEE 754 fixes the result of each to the last bit, so native code, Wasm and every
//! host agree without a mathematical library; that is why nothing here takes a logarithm.
//!
//! Ratios and differences come from integer fractions in lowest terms and are rounded once: 48 of 100 against 60 of 100
//! *is* the `0.8` of a configuration, and 40 % against 30 % *is* `0.1`, which rates divided first would miss.

use std::cmp::Ordering;

/// The largest group that is accepted. Up to here every product below fits 64 bits.
pub(crate) const MAX_PEOPLE: u64 = 1_000_000_000;

/// So many people of a group have something; `part <= whole`, and both are at most `MAX_PEOPLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) part: u64,
    pub(crate) whole: u64,
}

impl Share {
    pub(crate) fn new(part: u64, whole: u64) -> Share {
        debug_assert!(part <= whole && whole <= MAX_PEOPLE);
        Share { part, whole }
    }

    /// The share as a number; of nobody it is 0.
    pub(crate) fn rate(self) -> f64 {
        fraction(self.part, self.whole.max(1))
    }

    /// Compares rates exactly: a tie is a tie.
    pub(crate) fn cmp_rate(self, other: Share) -> Ordering {
        (self.part * other.whole).cmp(&(other.part * self.whole))
    }
}

/// The rate of a group over the reference's, 29 CFR 1607.4(D) and 6 RCNY 5-300 "impact ratio"; `None` when the
/// reference's rate is 0.
pub(crate) fn impact_ratio(group: Share, reference: Share) -> Option<f64> {
    let divisor = reference.part * group.whole;
    (divisor > 0).then(|| fraction(group.part * reference.whole, divisor))
}

/// The distance of two rates.
pub(crate) fn gap(one: Share, other: Share) -> f64 {
    let (left, right) = (one.part * other.whole, other.part * one.whole);
    fraction(left.abs_diff(right), (one.whole * other.whole).max(1))
}

/// One different person for one job: someone of the group is selected instead of someone of the reference
/// (UGESP Questions and Answers, 44 FR 11996, question 21: "one more … hired instead of …"). `None` when there is
/// nobody to exchange.
pub(crate) fn exchange(gains: Share, loses: Share) -> Option<(Share, Share)> {
    let possible = gains.part < gains.whole && loses.part > 0;
    possible.then(|| (Share::new(gains.part + 1, gains.whole), Share::new(loses.part - 1, loses.whole)))
}

/// How many standard deviations the rates lie apart: the pooled two-proportion z statistic, negative when the group's
/// rate is lower. Without variance (nobody or everybody selected) it is 0.
///
/// z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)) with p over both, multiplied out to one rounding per step.
pub(crate) fn deviations(group: Share, reference: Share) -> f64 {
    let table = Fourfold::new(group, reference);
    if table.selected == 0 || table.rejected == 0 {
        return 0.0;
    }
    let (left, right) = (group.part * reference.whole, reference.part * group.whole);
    let distance = left.abs_diff(right) as f64;
    let sizes = (group.whole * reference.whole) as f64;
    let variance = table.selected as f64 * table.rejected as f64 * sizes;
    let size = distance * (table.people as f64 / variance).sqrt();
    if left < right { -size } else { size }
}

/// The smallest expected cell of the two-by-two table when selection does not depend on the group. Below 5 the normal
/// approximation is not used (Cochran, Biometrics 10, 1954, p. 420).
pub(crate) fn smallest_expected(group: Share, reference: Share) -> f64 {
    let table = Fourfold::new(group, reference);
    let row = group.whole.min(reference.whole);
    let column = table.selected.min(table.rejected);
    row as f64 * column as f64 / (table.people as f64).max(1.0)
}

/// Fisher's exact test, two-sided: the probability, with all four margins fixed, of a table that is at most as probable
/// as the observed one (Fisher 1935; the definition of R and SciPy). Exactly 0 stands for "below every probability we
/// follow", see `Fourfold::floor`.
pub(crate) fn fisher(group: Share, reference: Share) -> f64 {
    let table = Fourfold::new(group, reference);
    let (mode, observed) = (table.mode(), group.part);
    // Every probability is taken relative to the most probable table's, so nothing needs a factorial, and the divisor
    // is their sum. Starting at the mode keeps every step a factor of at most 1.
    let mut ours = Walk::from(mode, observed >= mode);
    let mut sum = 1.0;
    while ours.count != observed && ours.step(&table) {
        if ours.weight < table.floor() {
            return 0.0;
        }
        sum += ours.weight;
    }
    let limit = ours.weight * (1.0 + TIE);
    if limit >= 1.0 {
        return 1.0;
    }
    // On the observed side weights only fall: `limit` has been reached, so the rest belongs to the tail.
    let mut tail = ours.weight;
    while ours.weight > NEGLIGIBLE * tail && ours.step(&table) {
        tail += ours.weight;
        sum += ours.weight;
    }
    let mut theirs = Walk::from(mode, observed < mode);
    while theirs.weight > NEGLIGIBLE * tail && theirs.step(&table) {
        sum += theirs.weight;
        if theirs.weight <= limit {
            tail += theirs.weight;
        }
    }
    (tail / sum).min(1.0)
}

/// Tables this close to the observed one count as equally probable: rounding must not split a true tie. R takes 1e-7.
const TIE: f64 = 1e-10;
/// What follows a weight this small, relative to the sum it would join, cannot change that sum's digits: the weights
/// fall faster than a geometric series, and at most about 10,000-fold stands behind one of them.
const NEGLIGIBLE: f64 = 1e-22;

/// A two-by-two table with its margins.
struct Fourfold {
    ours: u64,
    theirs: u64,
    selected: u64,
    rejected: u64,
    people: u64,
}

impl Fourfold {
    fn new(group: Share, reference: Share) -> Fourfold {
        let (selected, people) = (group.part + reference.part, group.whole + reference.whole);
        Fourfold { ours: group.whole, theirs: reference.whole, selected, rejected: people - selected, people }
    }

    /// The most probable number selected of our group: the mode of the hypergeometric distribution.
    fn mode(&self) -> u64 {
        let mode = (self.ours + 1) * (self.selected + 1) / (self.people + 2);
        let lowest = self.selected.saturating_sub(self.theirs);
        mode.clamp(lowest, self.ours.min(self.selected))
    }

    /// How far a walk from the mode is followed, as a weight relative to the mode's. A billion people have a standard
    /// deviation of thousands of steps; following those down to 1e-290 would only cost fuel.
    fn floor(&self) -> f64 {
        let people = self.people as f64;
        let rows = self.ours as f64 * self.theirs as f64 / people;
        let columns = self.selected as f64 * self.rejected as f64 / people;
        if rows * columns / people < 1e5 { 1e-290 } else { 1e-30 }
    }
}

/// A walk over the tables with the same margins, one person selected more or less at each step.
struct Walk {
    count: u64,
    upward: bool,
    weight: f64,
}

impl Walk {
    fn from(mode: u64, upward: bool) -> Walk {
        Walk { count: mode, upward, weight: 1.0 }
    }

    /// Takes the quotient of two neighbouring hypergeometric probabilities,
    /// P(k+1) / P(k) = (n1 - k)(s - k) / ((k + 1)(n2 - s + k + 1)); false at the end of the range.
    fn step(&mut self, table: &Fourfold) -> bool {
        let lower = if self.upward { self.count } else { self.count.wrapping_sub(1) };
        // The cells that shrink when one more of our group is selected, and those that grow. At the end of the range one
        // of them is empty, which makes the weight 0.
        let shrink = [table.ours, table.selected].map(|margin| margin.wrapping_sub(lower));
        let others = table.theirs.wrapping_add(lower).wrapping_add(1);
        let grow = [lower.wrapping_add(1), others.wrapping_sub(table.selected)];
        let (over, under) = if self.upward { (shrink, grow) } else { (grow, shrink) };
        if over.contains(&0) {
            return false;
        }
        self.weight *= over[0] as f64 * over[1] as f64 / (under[0] as f64 * under[1] as f64);
        self.count = if self.upward { self.count + 1 } else { self.count - 1 };
        true
    }
}

/// A fraction in lowest terms, so that equal fractions are equal numbers.
fn fraction(numerator: u64, denominator: u64) -> f64 {
    let (mut divisor, mut rest) = (denominator, numerator);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (numerator / divisor) as f64 / (denominator / divisor) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(value: f64, expected: f64) {
        let error = (value - expected).abs();
        assert!(error <= 1e-12 * expected.abs(), "{value:e} is not {expected:e}");
    }

    fn of(part: u64, whole: u64) -> Share {
        Share::new(part, whole)
    }

    /// Expected values are exact rational sums of binomial coefficients (Python `fractions`), rounded once.
    #[test]
    fn fishers_test_is_exact() {
        let cases = [
            // The lady tasting tea, The Design of Experiments (1935) II: 3 of 4 cups, two-sided 34/70.
            (of(3, 4), of(1, 4), 17.0 / 35.0),
            (of(4, 4), of(0, 4), 1.0 / 35.0),
            // Convictions of twins, Fisher, J. R. Stat. Soc. 98 (1935), 48: 2 of 17 against 10 of 13.
            (of(2, 17), of(10, 13), TWINS),
            // UGESP Q&A 21: 3 of 20 against 16 of 80.
            (of(3, 20), of(16, 80), SMALL_NUMBERS),
            // German credit by sex: 201 of 310 against 499 of 690.
            (of(201, 310), of(499, 690), GERMAN_CREDIT),
            // Symmetric margins: the mirrored table is exactly as probable and must be counted.
            (of(53, 163), of(41, 163), SYMMETRIC),
            (of(693, 711), of(693, 2407), FAR_OUT),
        ];
        for (group, reference, p) in cases {
            close(fisher(group, reference), p);
            close(fisher(reference, group), p);
            let others = |share: Share| of(share.whole - share.part, share.whole);
            close(fisher(others(group), others(reference)), p);
        }
    }

    const TWINS: f64 = 0.000_536_724_119_143_435_8;
    const SMALL_NUMBERS: f64 = 0.757_062_058_822_017_6;
    const GERMAN_CREDIT: f64 = 0.020_621_921_123_504_063;
    const SYMMETRIC: f64 = 0.178_489_930_301_361_87;
    const FAR_OUT: f64 = 5.855_371_442_449_85e-268;

    #[test]
    fn fishers_test_has_edges() {
        assert_eq!(fisher(of(0, 5), of(0, 7)), 1.0);
        assert_eq!(fisher(of(5, 5), of(7, 7)), 1.0);
        assert_eq!(fisher(of(1, 1), of(0, 1)), 1.0);
        assert_eq!(fisher(of(1, 2), of(2, 4)), 1.0);
        close(fisher(of(0, 1), of(999, 999)), 1e-3);
        // Two equally probable modes: 1 of 1 and 0 of 1 are all there is.
        assert_eq!(fisher(of(0, 1), of(1, 1)), 1.0);
    }

    #[test]
    fn fishers_test_ends_on_billions() {
        let all = MAX_PEOPLE;
        assert_eq!(fisher(of(all / 2, all), of(all / 2, all)), 1.0);
        assert_eq!(fisher(of(0, all), of(all, all)), 0.0);
        // Here the normal distribution is as good as the exact one: z = 0.44721 has p = 0.65472.
        let p = fisher(of(all / 2, all), of(all / 2 + 10_000, all));
        assert!((p - 0.654_753).abs() < 1e-6, "{p}");
    }

    /// The courts compared a sample with a population; a billion people stand in for the population here.
    #[test]
    fn standard_deviations_are_those_of_the_courts() {
        let population = |per_mille: u64| of(per_mille * (MAX_PEOPLE / 1000), MAX_PEOPLE);
        let cases = [
            // Castaneda v. Partida, n.17: 339 of 870 jurors where 79.1 % were expected, "approximately 29".
            (of(339, 870), 791, 29.0, 30.0),
            // Hazelwood, n.17, against 15.4 %: "more than five", "more than three", "more than six".
            (of(10, 282), 154, 5.0, 6.0),
            (of(5, 123), 154, 3.0, 4.0),
            (of(15, 405), 154, 6.0, 7.0),
            // Hazelwood, n.17, against 5.7 %: "less than two", "less than one", "less than two".
            (of(10, 282), 57, 1.0, 2.0),
            (of(5, 123), 57, 0.0, 1.0),
            (of(15, 405), 57, 1.0, 2.0),
        ];
        for (sample, per_mille, above, below) in cases {
            let z = deviations(sample, population(per_mille));
            assert!(-below < z && z < -above, "{sample:?}: {z}");
        }
    }

    #[test]
    fn standard_deviations_are_pooled() {
        // p = 0.525, z = -0.15 / sqrt(0.525 * 0.475 * 2 / 100).
        close(deviations(of(45, 100), of(60, 100)), -2.123_976_976_214_366);
        close(deviations(of(60, 100), of(45, 100)), 2.123_976_976_214_366);
        close(deviations(of(3, 4), of(1, 4)), 2f64.sqrt());
        assert_eq!(deviations(of(0, 4), of(0, 9)), 0.0);
        assert_eq!(deviations(of(4, 4), of(9, 9)), 0.0);
        assert_eq!(deviations(of(48, 100), of(12, 25)), 0.0);
    }

    #[test]
    fn equal_fractions_are_equal_numbers() {
        for scale in [1, 3, 7, 1_000_003, 9_999_999] {
            assert_eq!(impact_ratio(of(24 * scale, 100 * scale), of(30, 100)), Some(0.8));
            assert_eq!(gap(of(4 * scale, 10 * scale), of(3, 10)), 0.1);
            assert!(of(scale, 3 * scale).cmp_rate(of(1, 3)).is_eq());
        }
        assert_eq!(impact_ratio(of(1, 2), of(0, 2)), None);
        assert_eq!(impact_ratio(of(0, 2), of(1, 2)), Some(0.0));
        assert_eq!(gap(of(0, 2), of(2, 2)), 1.0);
    }

    #[test]
    fn the_smallest_expected_cell_comes_from_the_margins() {
        assert_eq!(smallest_expected(of(3, 4), of(1, 4)), 2.0);
        close(smallest_expected(of(3, 20), of(16, 80)), 3.8);
        assert_eq!(smallest_expected(of(201, 310), of(499, 690)), 93.0);
    }

    #[test]
    fn one_person_is_exchanged_for_another() {
        assert_eq!(exchange(of(3, 20), of(16, 80)), Some((of(4, 20), of(15, 80))));
        assert_eq!(exchange(of(20, 20), of(16, 80)), None);
        assert_eq!(exchange(of(3, 20), of(0, 80)), None);
    }
}
