//! Patterns of a schema: few of them stay compiled, since each may be large.

use regex::Regex;

use crate::regexes::{self, scan};
use crate::{Context, Error};

/// How many patterns of a schema stay compiled; others are compiled for each text, which costs more.
const MOST_KEPT: usize = 16;

pub(super) struct Pattern<'a> {
    pub(super) text: &'a str,
    regex: Option<Regex>,
}

impl<'a> Pattern<'a> {
    /// A pattern; none where the text is none. Counts how many of a schema are kept.
    pub(super) fn new(context: &Context, text: &'a str, kept: &mut usize) -> Result<Option<Pattern<'a>>, Error> {
        let Some(regex) = compiled(context, text)? else { return Ok(None) };
        let regex = (*kept < MOST_KEPT).then_some(regex);
        *kept += usize::from(regex.is_some());
        Ok(Some(Pattern { text, regex }))
    }

    pub(super) fn matches(&self, context: &Context, text: &str) -> Result<bool, Error> {
        context.work(1)?;
        scan(context, self.text, text)?;
        match &self.regex {
            Some(regex) => Ok(regex.is_match(text)),
            // It was compiled before.
            None => Ok(compiled(context, self.text)?.is_some_and(|regex| regex.is_match(text))),
        }
    }
}

/// The pattern, compiled; none where the text is none.
pub(super) fn compiled(context: &Context, text: &str) -> Result<Option<Regex>, Error> {
    match regexes::compiled(context, text) {
        Err(Error::Exhausted) => Err(Error::Exhausted),
        regex => Ok(regex.ok()),
    }
}
