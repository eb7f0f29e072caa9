//! Bundles of OPA's, as `opa build` writes them: a gzipped archive of one `policy.wasm` and the documents of `data`.

use std::io::Read;
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use serde_json::{Map, Value};
use tar::{Archive, EntryType};

/// Most bytes of all files together: a small archive can unpack to any size.
const MOST_BYTES: u64 = 64 << 20;
/// Most files and folders.
const MOST_ENTRIES: usize = 10_000;
const MODULE: &str = "policy.wasm";
const DATA: &str = "data.json";

/// What a bundle holds for a host.
#[derive(Debug, PartialEq)]
pub(crate) struct Unpacked {
    pub(crate) wasm: Vec<u8>,
    /// The documents of its files `data.json`, each under the folders it lies in.
    pub(crate) data: Map<String, Value>,
}

/// Whether bytes are gzipped, as bundles are.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Unpacks a bundle into memory; nothing of it is written anywhere.
///
/// # Errors
/// What keeps it from being one.
pub(crate) fn unpacked(bytes: &[u8]) -> Result<Unpacked, String> {
    // One byte more than may be there shows that there is more.
    let mut archive = Archive::new(GzDecoder::new(bytes).take(MOST_BYTES + 1));
    let broken = |error: std::io::Error| format!("the bundle cannot be unpacked: {error}");
    let (mut wasm, mut data, mut left) = (None, Map::new(), MOST_BYTES);
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count == MOST_ENTRIES {
            return Err(format!("the bundle has more than {MOST_ENTRIES} files"));
        }
        let path = entry.path().map_err(broken)?.into_owned();
        let folders = parts(&path)?;
        match entry.header().entry_type() {
            EntryType::Directory => continue,
            EntryType::Regular => {}
            _ => return Err(format!("`{}` in the bundle is no regular file", path.display())),
        }
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| format!("the bundle unpacks to more than {MOST_BYTES} bytes"))?;
        let Some((name, folders)) = folders.split_last() else { continue };
        let wanted = *name == DATA || name.ends_with(".wasm");
        if matches!(name.as_str(), "data.yaml" | "data.yml") {
            return Err(format!("`{}` in the bundle: data has to be JSON; `opa build` writes it so", path.display()));
        }
        if !wanted {
            continue;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        if *name == DATA {
            let wrong = |why: String| format!("`{}` in the bundle: {why}", path.display());
            let document = serde_json::from_slice(&content).map_err(|error| wrong(error.to_string()))?;
            put(&mut data, folders, document).map_err(wrong)?;
        } else if wasm.replace(content).is_some() || *name != MODULE || !folders.is_empty() {
            return Err(format!("`{}` in the bundle: a bundle has one module, `{MODULE}`", path.display()));
        }
    }
    let wasm = wasm.ok_or_else(|| format!("the bundle has no `{MODULE}`: build it with `opa build -t wasm`"))?;
    Ok(Unpacked { wasm, data })
}

/// The names a path is made of, which must not lead out of the bundle; `opa build` begins paths with `/`.
fn parts(path: &Path) -> Result<Vec<String>, String> {
    let refused = || format!("`{}` in the bundle leads out of it", path.display());
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_str().map(str::to_owned).ok_or_else(refused)),
        Component::RootDir | Component::CurDir => None,
        _ => Some(Err(refused())),
    };
    path.components().filter_map(name).collect()
}

/// Puts a document under folders; what is there already is kept, and must not be said twice.
fn put(data: &mut Map<String, Value>, folders: &[String], document: Value) -> Result<(), String> {
    let Some((first, rest)) = folders.split_first() else {
        let Value::Object(members) = document else { return Err("data is an object".to_owned()) };
        for (name, value) in members {
            match (data.get_mut(&name), value) {
                (None, value) => _ = data.insert(name, value),
                (Some(Value::Object(there)), Value::Object(more)) => put(there, &[], Value::Object(more))?,
                _ => return Err(format!("`{name}` is in the data twice")),
            }
        }
        return Ok(());
    };
    match data.entry(first.clone()).or_insert_with(|| Map::new().into()) {
        Value::Object(inner) => put(inner, rest, document),
        _ => Err(format!("`{first}` is in the data twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_bundle_is_its_module_and_its_data() {
        let files: [(&str, &[u8]); 5] = [
            ("/data.json", br#"{"a":{"b":1}}"#),
            ("/a/data.json", br#"{"c":2}"#),
            ("/policy.wasm", b"wasm"),
            ("/.manifest", b"{}"),
            ("/x/policy.rego", b"package x"),
        ];
        let bundle = unpacked(&archive(&files)).unwrap();
        assert_eq!(bundle.wasm, b"wasm");
        assert_eq!(Value::Object(bundle.data), serde_json::json!({"a": {"b": 1, "c": 2}}));
    }

    #[test]
    fn what_is_no_bundle_is_told() {
        let module: (&str, &[u8]) = ("/policy.wasm", b"wasm");
        for (files, says) in [
            (vec![], "has no `policy.wasm`"),
            (vec![module, ("/../../etc/x", b"")], "leads out of it"),
            (vec![module, ("/b/policy.wasm", b"")], "one module"),
            (vec![module, module], "one module"),
            (vec![module, ("/data.json", b"[]")], "data is an object"),
            (vec![module, ("/data.json", b"{\"a\":1}"), ("/a/data.json", b"{}")], "`a` is in the data twice"),
            (vec![module, ("/data.json", b"{")], "`/data.json` in the bundle: EOF"),
            (vec![module, ("/data.yaml", b"")], "data has to be JSON"),
        ] {
            let error = unpacked(&archive(&files)).unwrap_err();
            assert!(error.contains(says), "{says}: {error}");
        }
        assert!(unpacked(b"\x1f\x8brubbish").is_err());
    }

    #[test]
    fn links_and_bombs_are_refused() {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "policy.wasm", "/etc/passwd").unwrap();
        let link = builder.into_inner().unwrap().finish().unwrap();
        assert!(unpacked(&link).unwrap_err().contains("no regular file"));
        let zeros = vec![0; MOST_BYTES as usize + 1];
        let bomb = archive(&[("/policy.wasm", &zeros)]);
        assert!(bomb.len() < 1 << 20 && unpacked(&bomb).unwrap_err().contains("unpacks to more than"));
        let many: Vec<(String, &[u8])> = (0..=MOST_ENTRIES).map(|number| (format!("{number}"), &b""[..])).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
        assert!(unpacked(&archive(&many)).unwrap_err().contains("more than 10000 files"));
    }
}
