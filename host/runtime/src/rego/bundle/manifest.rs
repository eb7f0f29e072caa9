//! A bundle's `.manifest`: which parts of `data` the bundle is for, and which entry points its module has.
//!
//! The rules are those of OPA: "Bundle File Format" in its documentation. Other members are of no use to a host of one bundle.

use serde::Deserialize;
use weir_rego::Value;

use super::Data;

/// What of a manifest has to fit the bundle.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Manifest {
    /// Paths such as `a/b`; without, the bundle is for all of `data`.
    roots: Option<Vec<String>>,
    #[serde(default)]
    wasm: Vec<Module>,
}

#[derive(Debug, Deserialize)]
struct Module {
    entrypoint: String,
}

impl Manifest {
    /// Checks that data and entry points lie beneath the roots.
    pub(super) fn check(&self, data: &Data) -> Result<(), String> {
        let Some(roots) = &self.roots else { return Ok(()) };
        let roots: Vec<Vec<&str>> = roots.iter().map(|root| parts(root)).collect();
        for (place, root) in roots.iter().enumerate() {
            if let Some(other) =
                roots[..place].iter().find(|other| other.starts_with(root) || root.starts_with(other))
            {
                return Err(format!("its roots `{}` and `{}` overlap", other.join("/"), root.join("/")));
            }
        }
        for Module { entrypoint } in &self.wasm {
            let path = parts(entrypoint);
            if !roots.iter().any(|root| path.starts_with(root)) {
                return Err(format!("the entry point `{entrypoint}` is outside of its roots"));
            }
        }
        beneath(&roots, &mut Vec::new(), data)
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// Checks the members at `path`, which is on the way to a root.
fn beneath<'a>(roots: &[Vec<&str>], path: &mut Vec<&'a str>, members: &'a Data) -> Result<(), String> {
    for (name, value) in members {
        path.push(name.as_str().unwrap_or_default());
        let inside = roots.iter().any(|root| path.starts_with(root));
        match value {
            _ if inside => {}
            Value::Object(members) if roots.iter().any(|root| root.starts_with(path)) => {
                beneath(roots, path, members)?
            }
            _ => return Err(format!("`{}` is outside of its roots", path.join("/"))),
        }
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(manifest: &str, data: &str) -> Result<(), String> {
        let manifest: Manifest = serde_json::from_str(manifest).unwrap();
        let Ok(Value::Object(data)) = Value::parse(data) else { panic!("{data} is an object") };
        manifest.check(&data)
    }

    #[test]
    fn what_lies_beneath_the_roots_is_the_bundles() {
        for (manifest, data) in [
            ("{}", r#"{"a":1}"#),
            (r#"{"revision":"7","roots":[""]}"#, r#"{"a":1}"#),
            (r#"{"roots":["a/b","c"]}"#, r#"{"a":{"b":{"x":1}},"c":1}"#),
            (r#"{"roots":["/a/"],"wasm":[{"entrypoint":"a/allow","module":"/policy.wasm"}]}"#, "{}"),
            (r#"{"roots":[]}"#, "{}"),
        ] {
            assert_eq!(checked(manifest, data), Ok(()), "{manifest}");
        }
        for (manifest, data, says) in [
            (r#"{"roots":["a/b"]}"#, r#"{"a":{"c":1}}"#, "`a/c` is outside"),
            (r#"{"roots":["a/b"]}"#, r#"{"a":1}"#, "`a` is outside"),
            (r#"{"roots":["a"]}"#, r#"{"ab":1}"#, "`ab` is outside"),
            (r#"{"roots":[]}"#, r#"{"a":1}"#, "`a` is outside"),
            (r#"{"roots":["a","a/b"]}"#, "{}", "`a` and `a/b` overlap"),
            (r#"{"roots":["a",""]}"#, "{}", "overlap"),
            (r#"{"roots":["a"],"wasm":[{"entrypoint":"b/allow"}]}"#, "{}", "`b/allow` is outside"),
        ] {
            let error = checked(manifest, data).unwrap_err();
            assert!(error.contains(says), "{manifest}: {error}");
        }
    }
}
