//! The configuration: as written, and checked.

use serde::Deserialize;

use crate::kinds::{KINDS, Kind, Kinds};
use crate::scan::Detector;

/// As written by the operator; `config.schema.json` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    identifiers: Option<Vec<String>>,
    countries: Option<Vec<String>>,
    secrets: bool,
    sensitivity: Sensitivity,
    action: Action,
    deny: Vec<String>,
    allow_values: Vec<String>,
}

impl Default for RawConfig {
    fn default() -> RawConfig {
        RawConfig {
            identifiers: None,
            countries: None,
            secrets: true,
            sensitivity: Sensitivity::Normal,
            action: Action::Mask,
            deny: Vec::new(),
            allow_values: Vec::new(),
        }
    }
}

/// What happens to a text that holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is allowed with placeholders instead.
    Mask,
    /// People look first.
    Review,
    /// It is refused.
    Deny,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sensitivity {
    Normal,
    High,
}

/// A checked configuration with the detector made from it.
#[derive(Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    pub(crate) detector: Detector,
    pub(crate) action: Action,
    pub(crate) deny: Kinds,
    pub(crate) allow_values: Vec<String>,
}

impl Config {
    /// What finds the kinds that this configuration asks for.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Config, String> {
        let mut kinds = match raw.identifiers {
            None => KINDS.iter().copied().filter(|kind| !kind.is_secret() && kind.info().usual).collect(),
            Some(names) => named(&names, "identifiers", false)?,
        };
        if raw.secrets {
            KINDS.iter().filter(|kind| kind.is_secret()).for_each(|kind| kinds.insert(*kind));
        }
        let countries = raw.countries.as_deref();
        if let Some(code) = countries.unwrap_or_default().iter().find(|code| !is_country(code)) {
            return Err(format!("`countries`: `{code}` is not a code of two capital letters"));
        }
        Ok(Config {
            detector: Detector::new(kinds, countries, raw.sensitivity == Sensitivity::High),
            action: raw.action,
            deny: denied(&raw.deny)?,
            allow_values: raw.allow_values,
        })
    }
}

/// Kinds by name; `secrets` stands for every kind of secret.
fn denied(names: &[String]) -> Result<Kinds, String> {
    let (groups, names): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| name == "secrets");
    let mut kinds = named(&names, "deny", true)?;
    if !groups.is_empty() {
        KINDS.iter().filter(|kind| kind.is_secret()).for_each(|kind| kinds.insert(*kind));
    }
    Ok(kinds)
}

fn named(names: &[String], key: &str, secrets: bool) -> Result<Kinds, String> {
    let find = |name: &String| {
        let kind = Kind::named(name).filter(|kind| secrets || !kind.is_secret());
        kind.ok_or_else(|| format!("`{key}`: there is no kind `{name}`"))
    };
    names.iter().map(find).collect()
}

fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(config: Value) -> Result<Config, String> {
        serde_json::from_value(config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_schema_lists_the_kinds_and_defaults_of_the_code() {
        let schema: Value = serde_json::from_str(include_str!("../config.schema.json")).unwrap();
        let names = |usual: bool, secret: bool| -> Vec<&str> {
            let kinds = KINDS.iter().filter(|kind| kind.is_secret() == secret && (kind.info().usual || !usual));
            kinds.map(|kind| kind.info().name).collect()
        };
        let identifiers = &schema["properties"]["identifiers"];
        assert_eq!(identifiers["items"]["enum"], json!(names(false, false)));
        assert_eq!(identifiers["default"], json!(names(true, false)));
        let mut denied = vec!["secrets"];
        denied.extend(names(false, true));
        denied.extend(names(false, false));
        assert_eq!(schema["properties"]["deny"]["items"]["enum"], json!(denied));
    }

    #[test]
    fn mistakes_are_named() {
        let error = |config| parse(config).err().unwrap();
        assert_eq!(error(json!({"identifiers": ["shoe"]})), "`identifiers`: there is no kind `shoe`");
        assert_eq!(error(json!({"identifiers": ["jwt"]})), "`identifiers`: there is no kind `jwt`");
        assert_eq!(error(json!({"deny": ["shoe"]})), "`deny`: there is no kind `shoe`");
        assert_eq!(error(json!({"countries": ["uk"]})), "`countries`: `uk` is not a code of two capital letters");
        assert!(error(json!({"colour": 1})).contains("unknown field `colour`"));
        assert!(error(json!({"action": "burn"})).contains("unknown variant `burn`"));
    }
}
