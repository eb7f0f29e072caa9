//! API keys: who asks, for which tenant, and what they may do.
//!
//! A key is `weir_` with an identifier and 256 random bits; the file holds the SHA-256 of it and never the key. Random bits
//! cannot be guessed, so the hash is a quick one: a slow one would let strangers keep the server busy.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::watched::Watched;

const PREFIX: &str = "weir_";
/// Random bytes of an identifier and of a secret.
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// What a key's holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Ask for decisions.
    Evaluator,
    /// Bring sets into force and roll back.
    Publisher,
    /// Read records and status.
    Auditor,
    /// All of it.
    Admin,
}

impl Role {
    /// Whether it lets its holder do what another role is for.
    pub fn may(self, other: Role) -> bool {
        self == other || self == Role::Admin
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let roles = [
            ("evaluator", Role::Evaluator),
            ("publisher", Role::Publisher),
            ("auditor", Role::Auditor),
            ("admin", Role::Admin),
        ];
        let found = roles.iter().find(|(name, _)| *name == text).map(|(_, role)| *role);
        found.ok_or_else(|| format!("`{text}` is no role: expected evaluator, publisher, auditor or admin"))
    }
}

/// A key as the file knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of the whole key that its holder sends, in hexadecimal. Either this or `certificate` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// An alternative name in its holder's certificate: an address such as `spiffe://example.org/claims`, or a host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// On whose behalf its holder asks; `*` for a gateway that names the tenant in each request.
    pub tenant: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A key that was just made: the only time it is seen.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The name of the key, for lists and to revoke it.
    pub id: String,
    /// What its holder sends.
    pub secret: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey {{ id: {:?} }}", self.id)
    }
}

/// A file of keys that cannot be used.
#[derive(Debug)]
pub struct KeyError(String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// All keys of a server, as its file holds them: two of one tenant are how keys are rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// By their identifiers.
    #[serde(default)]
    pub keys: BTreeMap<String, Key>,
}

impl KeyFile {
    /// Reads a file that only its owner can read.
    ///
    /// # Errors
    /// It cannot be read, others can read it, or it is no file of keys.
    pub fn read(path: &Path) -> Result<KeyFile, KeyError> {
        use std::os::unix::fs::PermissionsExt;
        let failed = |error: &dyn fmt::Display| KeyError(format!("the keys in `{}`: {error}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(failed(&"others than its owner may read or write it: chmod 600"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let file: KeyFile = toml::from_str(&text).map_err(|error| failed(&error))?;
        match file.keys.iter().find(|(_, key)| key.sha256.is_some() == key.certificate.is_some()) {
            Some((id, _)) => Err(failed(&format!("`{id}` needs either `sha256` or `certificate`"))),
            None => Ok(file),
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        use fmt::Write;
        let mut text = "# Keys of a Weir server; written by `weir key`.\n".to_owned();
        for (id, Key { sha256, certificate, tenant, role, created, expires }) in &self.keys {
            let role = serde_json::to_value(role).expect("a role is a word");
            // JSON writes strings as TOML reads them.
            let quoted = |text: &String| serde_json::to_string(text).expect("a text is JSON");
            let tenant = quoted(tenant);
            let proof = [("sha256", sha256), ("certificate", certificate)];
            let proof =
                proof.into_iter().find_map(|(name, text)| Some(format!("{name} = {}", quoted(text.as_ref()?))));
            let proof = proof.unwrap_or_default();
            let expires = expires.map(|at| format!("expires = \"{at}\"\n")).unwrap_or_default();
            write!(
                text,
                "\n[keys.{id}]\n{proof}\ntenant = {tenant}\nrole = {role}\ncreated = \"{created}\"\n{expires}"
            )
            .expect("a string grows");
        }
        text
    }

    /// Adds a key.
    ///
    /// # Errors
    /// The system has no random numbers, or the tenant's name cannot be one, such as a pattern.
    pub fn add(
        &mut self,
        tenant: &str,
        role: Role,
        created: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<NewKey, KeyError> {
        let (id, secret) = (random::<ID_BYTES>()?, random::<SECRET_BYTES>()?);
        let secret = format!("{PREFIX}{id}_{secret}");
        let tenant = named(tenant, "a tenant")?;
        let key = Key { sha256: Some(hash(&secret)), certificate: None, tenant, role, created, expires };
        self.keys.insert(id.clone(), key);
        Ok(NewKey { id, secret })
    }

    /// Lets in whoever has a certificate with this alternative name, and says under which identifier.
    ///
    /// # Errors
    /// The system has no random numbers, or one of the names cannot be one.
    pub fn add_certificate(
        &mut self,
        name: &str,
        tenant: &str,
        role: Role,
        created: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<String, KeyError> {
        let (certificate, tenant) = (named(name, "a certificate")?, named(tenant, "a tenant")?);
        let id = random::<ID_BYTES>()?;
        let key = Key { sha256: None, certificate: Some(certificate), tenant, role, created, expires };
        self.keys.insert(id.clone(), key);
        Ok(id)
    }

    /// The key a caller has sent, and its identifier; none where it is unknown or has expired. Takes as long for a wrong
    /// secret as for a right one; identifiers are no secrets.
    pub(crate) fn find(&self, sent: &str, now: Timestamp) -> Option<(&str, &Key)> {
        let id = sent.strip_prefix(PREFIX)?.split('_').next()?;
        let (id, key) = self.keys.get_key_value(id)?;
        let equal: bool = hash(sent).as_bytes().ct_eq(key.sha256.as_ref()?.as_bytes()).into();
        (equal && key.is_valid(now)).then_some((id.as_str(), key))
    }

    /// The key of the first of these names of a certificate that has one.
    pub(crate) fn of_certificate(&self, names: &[String], now: Timestamp) -> Option<(&str, &Key)> {
        let of = |name: &String| self.keys.iter().find(|(_, key)| key.certificate.as_ref() == Some(name));
        let mut known = names.iter().filter_map(of);
        known.find(|(_, key)| key.is_valid(now)).map(|(id, key)| (id.as_str(), key))
    }
}

impl Key {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// A name that can stand in the file and in records.
fn named(text: &str, what: &str) -> Result<String, KeyError> {
    if text.len() > 1 && text.contains('*') {
        return Err(KeyError(format!("`{text}`: {what} is named whole, and only `*` alone stands for every tenant")));
    }
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err(KeyError(format!("{what} is named by 1 to 256 bytes without control characters")));
    }
    Ok(text.to_owned())
}

/// So many random bytes, in hexadecimal.
fn random<const BYTES: usize>() -> Result<String, KeyError> {
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(|error| KeyError(format!("no random numbers: {error}")))?;
    Ok(hex::encode(random))
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// The keys a server uses: those of its file, read again when it changes.
pub(crate) struct Keys {
    path: PathBuf,
    file: Watched<KeyFile>,
}

impl Keys {
    pub(crate) fn open(path: &Path) -> Result<Keys, KeyError> {
        let file = Watched::open(vec![path.to_owned()], || KeyFile::read(path))?;
        Ok(Keys { path: path.to_owned(), file })
    }

    pub(crate) fn current(&self) -> Arc<KeyFile> {
        self.file.current()
    }

    /// Whether they are those of before, since the file cannot be used.
    pub(crate) fn are_stale(&self) -> bool {
        self.file.is_stale()
    }

    pub(crate) fn refresh(&self) {
        self.file.refresh("keys", || KeyFile::read(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_until_it_expires() {
        let (now, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(100).expect("in range"));
        let mut file = KeyFile::default();
        let made = file.add("acme/claims", Role::Evaluator, now, Some(later)).expect("there are random numbers");
        let other = file.add("*", Role::Admin, now, None).expect("there are random numbers");
        assert!(!file.text().contains(&made.secret));
        let read: KeyFile = toml::from_str(&file.text()).expect("what was written is read");
        assert_eq!(read, file);
        let (id, key) = read.find(&made.secret, now).expect("it is known");
        assert_eq!((id, key.tenant.as_str(), key.role), (made.id.as_str(), "acme/claims", Role::Evaluator));
        assert!(read.find(&other.secret, later).is_some());
        assert!(read.find(&made.secret, later).is_none(), "it has expired");
        for wrong in ["", "weir_", "weir_x_y", &made.secret[..20], &made.secret.replace(&made.id, &other.id)] {
            assert!(read.find(wrong, now).is_none(), "{wrong}");
        }
        let id = file.add_certificate("spiffe://acme/claims", "acme/claims", Role::Evaluator, now, Some(later));
        let (id, names) =
            (id.expect("there are random numbers"), ["host".to_owned(), "spiffe://acme/claims".to_owned()]);
        let read: KeyFile = toml::from_str(&file.text()).expect("what was written is read");
        assert_eq!(read.of_certificate(&names, now).map(|(id, _)| id), Some(id.as_str()));
        assert!(read.of_certificate(&names, later).is_none() && read.of_certificate(&names[..1], now).is_none());
        assert!(Role::Admin.may(Role::Evaluator) && !Role::Evaluator.may(Role::Auditor));
    }
}
