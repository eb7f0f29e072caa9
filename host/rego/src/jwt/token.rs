//! Tokens in their three parts.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::{Context, Error, Value, json};

/// `header.payload.signature`, each in Base64.
pub(super) struct Token<'a> {
    /// The first two parts, which the third signs.
    pub(super) signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

pub(super) type Members = BTreeMap<Value, Value>;

impl<'a> Token<'a> {
    pub(super) fn split(text: &'a str) -> Result<Token<'a>, Error> {
        if !text.contains('.') {
            return Err("encoded JWT had no period separators".into());
        }
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [header, payload, signature] = parts[..] else {
            let found = text.split('.').count();
            return Err(format!("encoded JWT must have 3 sections, found {found}").into());
        };
        Ok(Token { signed: &text[..header.len() + 1 + payload.len()], header, payload, signature })
    }

    pub(super) fn header(&self, context: &Context) -> Result<Members, Error> {
        let members = members(context, &text(self.header)?)?;
        match members.contains_key(&Value::from("enc")) {
            true => Err("JWT is a JWE object, which is not supported".into()),
            false => Ok(members),
        }
    }

    pub(super) fn payload(&self) -> Result<String, Error> {
        text(self.payload)
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, Error> {
        decoded(self.signature).ok_or_else(|| "JWT signature had invalid encoding".into())
    }
}

/// The members of an object in a text.
pub(super) fn members(context: &Context, text: &str) -> Result<Members, Error> {
    json::into_object(json::read(context, text)?).ok_or_else(|| "decoded JSON type was not an Object".into())
}

fn text(part: &str) -> Result<String, Error> {
    let bytes = decoded(part).ok_or("JWT had invalid encoding")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Base64 for addresses as OPA takes it: padding is all there or not at all, and ends of lines do not count.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const PADDED: GeneralPurpose =
        GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let padding = match text.len() % 4 {
        _ if text.ends_with('=') => "",
        0 => "",
        2 => "==",
        3 => "=",
        _ => return None,
    };
    let text: String = text.chars().filter(|sign| !matches!(sign, '\r' | '\n')).collect();
    PADDED.decode(text + padding).ok()
}

/// What a header says of its token.
#[derive(Default)]
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) key_id: String,
    pub(super) content: String,
    /// Whether it has what must be understood and is not.
    pub(super) is_strange: bool,
}

impl Header {
    pub(super) fn of(members: &Members) -> Result<Header, Error> {
        let mut header = Header::default();
        let mut kind = String::new();
        let mut unknown = Vec::new();
        let mut critical = Vec::new();
        for (name, value) in members {
            let name = name.as_str().unwrap_or_default();
            let place = match name {
                "alg" => &mut header.algorithm,
                "kid" => &mut header.key_id,
                "typ" => &mut kind,
                "cty" => &mut header.content,
                "crit" => {
                    let Value::Array(names) = value else { return Err("crit: must be a list".into()) };
                    critical = names.iter().map_while(Value::as_str).collect();
                    if critical.is_empty() {
                        return Err("crit: must be a nonempty list".into());
                    }
                    continue;
                }
                name => {
                    unknown.push(name);
                    continue;
                }
            };
            *place = value.as_str().ok_or_else(|| format!("{name}: must be a string"))?.to_owned();
        }
        let critical: std::collections::BTreeSet<&str> = critical.into_iter().collect();
        header.is_strange = unknown.iter().any(|name| critical.contains(name));
        Ok(header)
    }
}
