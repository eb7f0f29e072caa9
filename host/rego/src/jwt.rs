//! `io.jwt.*`: JSON Web Tokens, read, verified and signed.

mod constraints;
mod keys;
mod random;
mod signature;
mod token;

use self::constraints::Constraints;
use self::keys::{Key, Material};
use self::signature::{Algorithm, sign, verifies};
use self::token::{Header, Token, members};
use crate::arguments::{text, text_read};
use crate::{Answer, Builtin, Context, Error, Value, json, marshal};

macro_rules! verify {
    ($name:literal, $algorithm:literal) => {
        Builtin { name: $name, arguments: 2, call: |context, arguments| verify(context, arguments, $algorithm) }
    };
}

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "io.jwt.decode", arguments: 1, call: decode },
    verify!("io.jwt.verify_rs256", "RS256"),
    verify!("io.jwt.verify_rs384", "RS384"),
    verify!("io.jwt.verify_rs512", "RS512"),
    verify!("io.jwt.verify_ps256", "PS256"),
    verify!("io.jwt.verify_ps384", "PS384"),
    verify!("io.jwt.verify_ps512", "PS512"),
    verify!("io.jwt.verify_es256", "ES256"),
    verify!("io.jwt.verify_es384", "ES384"),
    verify!("io.jwt.verify_es512", "ES512"),
    verify!("io.jwt.verify_eddsa", "EdDSA"),
    verify!("io.jwt.verify_hs256", "HS256"),
    verify!("io.jwt.verify_hs384", "HS384"),
    verify!("io.jwt.verify_hs512", "HS512"),
    Builtin { name: "io.jwt.decode_verify", arguments: 2, call: decode_verify },
    Builtin { name: "io.jwt.encode_sign", arguments: 3, call: encode_sign },
    Builtin { name: "io.jwt.encode_sign_raw", arguments: 3, call: encode_sign_raw },
];

const NESTED: &str = "JWT";

/// Reads a token, and the token inside it where it has one, without asking who signed it.
fn decode(context: &Context, arguments: &[Value]) -> Answer {
    let mut encoded = text(&arguments[0], 1)?.to_owned();
    loop {
        // Each token inside another is a quarter shorter.
        context.work(4 * encoded.len() as u64)?;
        let token = Token::split(&encoded)?;
        let header = token.header(context)?;
        let payload = token.payload()?;
        match header.get(&Value::from("cty")) {
            Some(content) if text(content, 1)? == NESTED => {
                encoded = payload.trim_matches(['"', '\'']).to_owned();
            }
            _ => {
                let payload = members(context, &payload)?;
                let signature = hex::encode(token.signature()?);
                return Ok(vec![Value::Object(header), Value::Object(payload), signature.into()].into());
            }
        }
    }
}

fn verify(context: &Context, arguments: &[Value], algorithm: &str) -> Answer {
    let encoded = text_read(context, &arguments[0], 1)?;
    context.work(4 * encoded.len() as u64)?;
    let algorithm = Algorithm::named(algorithm).ok_or("unknown algorithm")?.lenient();
    let token = Token::split(encoded)?;
    let key = text_read(context, &arguments[1], 2)?;
    let signed = token.signed.as_bytes();
    if algorithm.family == signature::Family::Hmac {
        let secret = Material::Secret(key.as_bytes().to_vec());
        return Ok(verifies(context, algorithm, &secret, signed, &token.signature()?)?.into());
    }
    let keys = usable(keys::read(context, key)?);
    let signature = token.signature()?;
    let header = Header::of(&token.header(context)?)?;
    let by = |key: &Key| match key.private[..] {
        [] => verifies(context, algorithm, &key.material, signed, &signature),
        // Private keys verify nothing here, as with OPA.
        _ => Ok(false),
    };
    Ok(any_key(&keys, &header, by)?.into())
}

/// Keys for signatures of the algorithms that there are.
fn usable(keys: Vec<Key>) -> Vec<Key> {
    let fits = |key: &Key| key.algorithm.as_deref().is_none_or(|name| Algorithm::named(name).is_some());
    keys.into_iter().filter(fits).collect()
}

/// Whether the key that the header names verifies, or, where it names none of these, any that has no other algorithm.
fn any_key(keys: &[Key], header: &Header, by: impl Fn(&Key) -> Result<bool, Error>) -> Result<bool, Error> {
    let named = |key: &&Key| key.id.as_deref() == Some(&header.key_id);
    if !header.key_id.is_empty()
        && let Some(key) = keys.iter().find(named)
    {
        return by(key);
    }
    for key in keys {
        let fits = key.algorithm.as_deref().is_none_or(|name| name.is_empty() || name == header.algorithm);
        if fits && by(key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a token that is signed by a key and says what the constraints want; `[false, {}, {}]` for any other.
fn decode_verify(context: &Context, arguments: &[Value]) -> Answer {
    let constraints = Constraints::of(context, &arguments[1])?;
    let refused =
        || Ok(vec![false.into(), Value::Object(Default::default()), Value::Object(Default::default())].into());
    let mut encoded = text(&arguments[0], 1)?.to_owned();
    let (header, payload) = loop {
        context.work(4 * encoded.len() as u64)?;
        let token = Token::split(&encoded)?;
        let members = token.header(context)?;
        let header = Header::of(&members)?;
        if header.algorithm.is_empty() || header.is_strange || !constraints.allow_algorithm(&header.algorithm) {
            return refused();
        }
        let signature = token.signature()?;
        let by = |key: &Key| match Algorithm::named(&header.algorithm) {
            Some(algorithm) => verifies(context, algorithm, &key.material, token.signed.as_bytes(), &signature),
            None => Ok(false),
        };
        if !any_key(&constraints.keys, &header, by)? {
            return refused();
        }
        let payload = token.payload()?;
        if !header.content.eq_ignore_ascii_case(NESTED) {
            break (members, payload);
        }
        encoded = payload;
    };
    let payload = members(context, &payload)?;
    match constraints.allow(&payload)? {
        true => Ok(vec![true.into(), Value::Object(header), Value::Object(payload)].into()),
        false => refused(),
    }
}

fn encode_sign(context: &Context, arguments: &[Value]) -> Answer {
    let [header, payload, key] = [0, 1, 2].map(|place| marshal::compact(context, &arguments[place]));
    encode(context, &header?, &payload?, &key?)
}

fn encode_sign_raw(context: &Context, arguments: &[Value]) -> Answer {
    let key = text(&arguments[2], 3)?;
    encode(context, text(&arguments[0], 1)?, text(&arguments[1], 2)?, key)
}

fn encode(context: &Context, header: &str, payload: &str, key: &str) -> Answer {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    context.work(4 * (header.len() + payload.len() + key.len()) as u64)?;
    let keys = keys::of_json(context, key)?;
    let key = keys.first().ok_or("no keys found in JWK set")?;
    let members = members(context, header)?;
    let name = members.get(&Value::from("alg")).and_then(Value::as_str).ok_or("missing or invalid 'alg' header")?;
    let algorithm = Algorithm::named(name).ok_or_else(|| format!("unknown JWS algorithm: {name}"))?;
    let kind = members.get(&Value::from("typ")).and_then(Value::as_str);
    if kind.is_none_or(|kind| kind == NESTED) && !json::is_valid(payload) {
        return Err("type is JWT but payload is not JSON".into());
    }
    let mut token = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(payload));
    let signature = sign(context, algorithm, &key.material, &key.private, token.as_bytes())?;
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token.into())
}

#[cfg(test)]
mod tests;
