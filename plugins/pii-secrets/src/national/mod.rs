//! Numbers that states give to people and companies, by the region of the issuer.

mod americas;
mod asia_pacific;
mod europe;
mod nordic;
mod papers;
mod western;

use crate::rule::Rule;

/// The rules of every country.
pub(crate) fn rules() -> impl Iterator<Item = &'static Rule> {
    let regions = [americas::RULES, asia_pacific::RULES, europe::RULES, nordic::RULES, papers::RULES, western::RULES];
    regions.into_iter().flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::rule::Rule;

    /// Tries each value on the rules of its length without separators; `good` must pass one, `bad` none.
    #[track_caller]
    pub(crate) fn check(rules: &[Rule], kind: crate::Kind, good: &[&str], bad: &[&str]) {
        let passes = |value: &&str| {
            let value = value.as_bytes();
            rules.iter().filter(|rule| rule.kind == kind).any(|rule| rule.accepts(value))
        };
        good.iter().for_each(|value| assert!(passes(value), "{value} is a {kind:?}"));
        bad.iter().for_each(|value| assert!(!passes(value), "{value} is no {kind:?}"));
    }
}
