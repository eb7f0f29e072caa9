//! The file of cases.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::outcome::Outcome;
use crate::ad_hoc::Binding;
use crate::exit::{Failed, OrFail};

/// What `cases.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    #[serde(default)]
    pub(super) config: Map<String, Value>,
    #[serde(default)]
    codes: BTreeSet<String>,
    entrypoint: Option<String>,
    input: Option<Value>,
    #[serde(default)]
    pub(super) case: Vec<Case>,
}

/// One request, and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) request: Value,
    pub(super) config: Option<Map<String, Value>>,
    pub(super) effect: Option<String>,
    pub(super) findings: Option<Vec<String>>,
    pub(super) edits: Option<Vec<Edit>>,
    pub(super) failure: Option<String>,
    pub(super) fuel: Option<u64>,
    /// A part of why the configuration is refused.
    pub(super) refused: Option<String>,
}

/// An edit that is expected.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    pub(super) at: String,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) replacement: String,
}

/// A code that cases have to meet.
pub(super) struct Coverage {
    pub(super) code: String,
    pub(super) met: bool,
}

impl Cases {
    pub(super) fn read(file: &Path) -> Result<Cases, Failed> {
        let text = std::fs::read_to_string(file).or_input("read", file.display())?;
        let cases: Cases = toml::from_str(&text).map_err(|error| {
            Failed::input(format!("`{}` holds no cases: {}", file.display(), error.to_string().trim_end()))
                .help("`weir test --help` shows how they are written")
        })?;
        if cases.case.is_empty() {
            return Err(Failed::input(format!("`{}` holds no cases", file.display())));
        }
        for case in &cases.case {
            let Case { name, effect, refused, .. } = case;
            let effect = effect.as_deref();
            let known =
                refused.is_some() || effect.is_some_and(|effect| ["allow", "review", "deny"].contains(&effect));
            if !known {
                let wrong = format!("`{}`: case `{name}` needs an `effect`: allow, review or deny", file.display());
                return Err(Failed::input(wrong));
            }
        }
        Ok(cases)
    }

    /// How the policy is bound: what the command line does not say stands here.
    pub(super) fn bound(&self, binding: &Binding) -> Binding {
        binding.clone().or(self.entrypoint.clone(), self.input.clone())
    }

    /// Codes that are listed, and whether a case has met them.
    pub(super) fn coverage(&self, outcomes: &[Outcome]) -> Vec<Coverage> {
        let met: BTreeSet<&String> = outcomes.iter().flat_map(|outcome| &outcome.codes).collect();
        self.codes.iter().map(|code| Coverage { code: code.clone(), met: met.contains(code) }).collect()
    }
}
