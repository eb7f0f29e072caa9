//! Bundles of OPA's, as `opa build` writes them: an archive of one `policy.wasm` and the documents of `data`.

mod manifest;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use serde::Deserialize;
use tar::{Archive, EntryType, Header};
use weir_rego::Value;

use self::manifest::Manifest;

/// Most bytes of all files together: a small archive can unpack to any size.
pub(crate) const MOST_BYTES: u64 = 64 << 20;
/// Most files and folders.
pub(crate) const MOST_ENTRIES: usize = 10_000;
/// The one module of a bundle.
pub(crate) const MODULE: &str = "policy.wasm";
const MANIFEST: &str = ".manifest";
const DATA: [&str; 3] = ["data.json", "data.yaml", "data.yml"];

/// Documents by name, with numbers as they are written: rounded, two that differ could be one.
pub(crate) type Data = BTreeMap<Value, Value>;

/// What a bundle holds for a host.
#[derive(Debug, PartialEq)]
pub(crate) struct Unpacked {
    pub(crate) wasm: Vec<u8>,
    /// The documents of its files `data.json` and `data.yaml`, each under the folders it lies in.
    pub(crate) data: Data,
}

/// Whether bytes are an archive, as bundles are: gzipped, or as it is.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b]) || bytes.get(257..262) == Some(b"ustar")
}

/// Whether a file of this name is part of a bundle; others are left out of it.
pub(crate) fn is_part(name: &str) -> bool {
    name == MANIFEST || name.ends_with(".wasm") || DATA.contains(&name)
}

/// The archive of a folder's files, in their order; the same files make the same bytes.
pub(crate) fn packed(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, &**content)?;
    }
    archive.into_inner()
}

/// Unpacks a bundle into memory; nothing of it is written anywhere.
///
/// # Errors
/// What keeps it from being one.
pub(crate) fn unpacked(bytes: &[u8]) -> Result<Unpacked, String> {
    let reader: Box<dyn Read + '_> =
        if bytes.starts_with(&[0x1f, 0x8b]) { Box::new(GzDecoder::new(bytes)) } else { Box::new(bytes) };
    // One byte more than may be there shows that there is more.
    let mut archive = Archive::new(reader.take(MOST_BYTES + 1));
    let broken = |error: io::Error| format!("the bundle cannot be unpacked: {error}");
    let (mut parts, mut left) = (Parts::default(), MOST_BYTES);
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count == MOST_ENTRIES {
            return Err(format!("the bundle has more than {MOST_ENTRIES} files"));
        }
        let path = entry.path().map_err(broken)?.into_owned();
        let names = names(&path)?;
        match entry.header().entry_type() {
            EntryType::Directory => continue,
            EntryType::Regular => {}
            _ => return Err(format!("`{}` in the bundle is no regular file", path.display())),
        }
        let size = entry.size();
        left = left.checked_sub(size).ok_or_else(|| format!("the bundle unpacks to more than {MOST_BYTES} bytes"))?;
        let Some((name, folders)) = names.split_last().filter(|(name, _)| is_part(name)) else { continue };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        parts.take(name, folders, content).map_err(|why| format!("`{}` in the bundle: {why}", path.display()))?;
    }
    let Parts { wasm, data, manifest } = parts;
    let wasm = wasm.ok_or_else(|| format!("the bundle has no `{MODULE}`: build it with `opa build -t wasm`"))?;
    manifest.check(&data).map_err(|why| format!("`{MANIFEST}` in the bundle: {why}"))?;
    Ok(Unpacked { wasm, data })
}

/// What has been read so far.
#[derive(Default)]
struct Parts {
    wasm: Option<Vec<u8>>,
    data: Data,
    manifest: Manifest,
}

impl Parts {
    fn take(&mut self, name: &str, folders: &[String], content: Vec<u8>) -> Result<(), String> {
        match name {
            // Only that of the whole bundle counts, as with OPA.
            MANIFEST if folders.is_empty() => {
                // An object: a list of its members' values would do for serde.
                let members: serde_json::Map<_, _> =
                    serde_json::from_slice(&content).map_err(|error| error.to_string())?;
                self.manifest =
                    Manifest::deserialize(serde_json::Value::Object(members)).map_err(|error| error.to_string())?;
            }
            MANIFEST => {}
            _ if DATA.contains(&name) => {
                let text = std::str::from_utf8(&content).map_err(|error| error.to_string())?;
                let read = if name == DATA[0] { Value::from_json } else { Value::from_yaml };
                put(&mut self.data, folders, read(text)?)?;
            }
            _ if name == MODULE && folders.is_empty() && self.wasm.is_none() => self.wasm = Some(content),
            _ => return Err(format!("a bundle has one module, `{MODULE}`")),
        }
        Ok(())
    }
}

/// The names a path is made of, which must not lead out of the bundle; `opa build` begins paths with `/`.
fn names(path: &Path) -> Result<Vec<String>, String> {
    let refused = || format!("`{}` in the bundle leads out of it", path.display());
    let name = |part| match part {
        Component::Normal(name) => Some(name.to_str().map(str::to_owned).ok_or_else(refused)),
        Component::RootDir | Component::CurDir => None,
        _ => Some(Err(refused())),
    };
    path.components().filter_map(name).collect()
}

/// Puts a document under folders; what is there already is kept, and must not be said twice.
fn put(data: &mut Data, folders: &[String], document: Value) -> Result<(), String> {
    let Some((first, rest)) = folders.split_first() else {
        let Value::Object(members) = document else { return Err("data is an object".to_owned()) };
        for (name, value) in members {
            match (data.get_mut(&name), value) {
                (None, value) => _ = data.insert(name, value),
                (Some(Value::Object(there)), more @ Value::Object(_)) => put(there, &[], more)?,
                _ => return Err(format!("`{}` is in the data twice", name.as_str().unwrap_or_default())),
            }
        }
        return Ok(());
    };
    match data.entry(first.as_str().into()).or_insert_with(|| Value::Object(Data::new())) {
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
        let files: [(&str, &[u8]); 6] = [
            ("/data.json", br#"{"a":{"b":12345678901234567890123.10}}"#),
            ("/a/data.json", br#"{"c":2}"#),
            ("/a/data.yaml", b"d: [yes, 2]"),
            ("/policy.wasm", b"wasm"),
            ("/.manifest", b"{}"),
            ("/x/policy.rego", b"package x"),
        ];
        let bundle = unpacked(&archive(&files)).unwrap();
        assert_eq!(bundle.wasm, b"wasm");
        let expected = r#"{"a":{"b":12345678901234567890123.10,"c":2,"d":["yes",2]}}"#;
        assert_eq!(Value::Object(bundle.data.clone()).to_string(), expected);
        // A folder with the same files, whose paths may be long.
        let long = format!("{}/data.json", "x/".repeat(100));
        let mut files: Vec<_> = files.map(|(path, content)| (path[1..].to_owned(), content.to_vec())).into();
        let plain = packed(&files).unwrap();
        assert!(is_one(&plain) && !is_one(b"\0asm") && plain == packed(&files).unwrap());
        assert_eq!(unpacked(&plain).unwrap(), bundle);
        files.push((long, b"{}".to_vec()));
        assert!(unpacked(&packed(&files).unwrap()).unwrap().data.contains_key(&"x".into()));
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
            (vec![module, ("/data.yaml", b"a: [")], "`/data.yaml` in the bundle: yaml: "),
            (vec![module, ("/data.yaml", b"- 1")], "data is an object"),
            (vec![module, ("/data.yml", b"a: 1"), ("/data.json", b"{\"a\":1}")], "`a` is in the data twice"),
            (vec![module, ("/.manifest", b"{")], "`/.manifest` in the bundle: EOF"),
            (
                vec![module, ("/.manifest", b"[]")],
                "`/.manifest` in the bundle: invalid type: sequence, expected a map",
            ),
            (
                vec![module, ("/.manifest", br#"{"roots":["b"]}"#), ("/data.json", b"{\"a\":1}")],
                "`a` is outside of its roots",
            ),
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
