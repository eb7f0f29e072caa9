//! Private keys in PEM: as JSON Web Keys, and as Go's `json.Marshal` writes its own kinds of them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rsa::BoxedUint;
use rsa::pkcs1::{DecodeRsaPrivateKey, RsaPrivateKeyRef};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use sec1::EcPrivateKey;
use sec1::der::Decode;

use crate::arguments::text_read;
use crate::{Answer, Builtin, Context, Error, Number, Value, pem};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "crypto.parse_private_keys", arguments: 1, call: parse_private_keys },
    Builtin { name: "crypto.x509.parse_rsa_private_key", arguments: 1, call: parse_rsa_private_key },
];

/// What it costs to take a key apart and to check that its parts belong together.
const KEY_WORK: u64 = 1_000_000;
const BYTE_WORK: u64 = 1_000;

/// The first key as a JSON Web Key; `null` where there is none.
fn parse_rsa_private_key(context: &Context, arguments: &[Value]) -> Answer {
    let text = text_read(context, &arguments[0], 1)?;
    let text = match text {
        "" => return Err("input PEM data was empty".into()),
        _ if text.starts_with("-----BEGIN") => text.to_owned(),
        _ => decoded(text).ok_or("illegal base64 data")?,
    };
    let keys = keys(context, &text)?;
    Ok(keys.first().map_or(Value::Null, Private::web_key))
}

fn parse_private_keys(context: &Context, arguments: &[Value]) -> Answer {
    match text_read(context, &arguments[0], 1)? {
        "" => Ok(Value::Null),
        text => keys(context, text)?
            .iter()
            .map(Private::of_go)
            .collect::<Option<Vec<_>>>()
            .map(Value::from)
            .ok_or_else(unknown),
    }
}

enum Private {
    Rsa(Box<rsa::PrivateKey>),
    /// The name of the curve, then x, y and the private number, each as long as the curve has them.
    Ec(&'static str, [Vec<u8>; 3]),
    /// Seed and public key.
    Ed25519(Vec<u8>, Vec<u8>),
}

/// The keys of all blocks that have one; the text may be in Base64 once more.
fn keys(context: &Context, text: &str) -> Result<Vec<Private>, Error> {
    let inner = decoded(text);
    let mut rest = inner.as_deref().unwrap_or(text);
    let mut keys = Vec::new();
    while let Some((block, after)) = pem::next(rest) {
        rest = after;
        // The work of RSA grows with the third power of the length; keys of today have about a thousand bytes.
        let length = block.bytes.len() as u64;
        context.work(BYTE_WORK * length + KEY_WORK.saturating_mul((length / 1_024).pow(3)))?;
        let key = match block.kind.as_str() {
            "RSA PRIVATE KEY" => of_pkcs1(&block.bytes),
            "EC PRIVATE KEY" => of_sec1(&block.bytes, None),
            "PRIVATE KEY" => of_pkcs8(&block.bytes),
            _ => continue,
        };
        keys.push(key.ok_or_else(unknown)?);
    }
    Ok(keys)
}

fn unknown() -> Error {
    "failed to parse a private key".into()
}

fn of_pkcs1(bytes: &[u8]) -> Option<Private> {
    let key = rsa::PrivateKey::from_pkcs1_der(bytes).ok()?;
    // What is precomputed must be right, as Go has it, though nothing here would use it.
    let told = RsaPrivateKeyRef::from_der(bytes).ok()?;
    let fits =
        [(key.dp()?, told.exponent1), (key.dq()?, told.exponent2), (&key.crt_coefficient()?, told.coefficient)]
            .iter()
            .all(|(number, told)| shortest(number) == told.as_bytes());
    fits.then(|| Private::Rsa(key.into()))
}

/// A key of a curve, which the key itself or what is around it names; a public key in it does not matter.
fn of_sec1(bytes: &[u8], around: Option<ObjectIdentifier>) -> Option<Private> {
    let key = EcPrivateKey::from_der(bytes).ok()?;
    let curve = around.or_else(|| key.parameters?.named_curve())?;
    macro_rules! of_curve {
        ($curve:ident, $name:literal, $length:literal) => {{
            let number = of_length(key.private_key, $length)?;
            let key = $curve::SecretKey::from_slice(&number).ok()?;
            let point = key.public_key().to_sec1_point(false);
            let (x, y) = point.as_bytes().get(1..)?.split_at_checked(number.len())?;
            Some(Private::Ec($name, [x.to_vec(), y.to_vec(), number]))
        }};
    }
    match curve.to_string().as_str() {
        "1.2.840.10045.3.1.7" => of_curve!(p256, "P-256", 32),
        "1.3.132.0.34" => of_curve!(p384, "P-384", 48),
        "1.3.132.0.35" => of_curve!(p521, "P-521", 66),
        _ => None,
    }
}

/// A number with as many bytes as it should have.
fn of_length(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    let mut padded = vec![0; length.checked_sub(number.len())?];
    padded.extend_from_slice(number);
    Some(padded)
}

fn of_pkcs8(bytes: &[u8]) -> Option<Private> {
    let info = PrivateKeyInfoRef::try_from(bytes).ok()?;
    let key = info.private_key.as_bytes();
    match info.algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.1" => of_pkcs1(key),
        "1.2.840.10045.2.1" => of_sec1(key, info.algorithm.parameters_oid().ok()),
        _ => of_edwards(bytes),
    }
}

/// A key of Ed25519 in its one usual form, which ends with the seed.
fn of_edwards(bytes: &[u8]) -> Option<Private> {
    const START: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let seed = bytes.strip_prefix(&START).filter(|seed| seed.len() == 32)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    Some(Private::Ed25519(seed.to_vec(), pair.public_key().as_ref().to_vec()))
}

impl Private {
    fn web_key(&self) -> Value {
        let text = |bytes: &[u8]| Value::from(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let number = |number: &BoxedUint| text(&shortest(number));
        match self {
            Private::Rsa(key) => {
                let primes = key.primes();
                let mut members = vec![
                    ("kty", "RSA".into()),
                    ("n", number(key.n())),
                    ("e", number(key.e())),
                    ("d", number(key.d())),
                ];
                members.extend(["p", "q"].into_iter().zip(primes.iter().map(|prime| number(prime))));
                let more = [("dp", key.dp().cloned()), ("dq", key.dq().cloned()), ("qi", key.crt_coefficient())];
                members.extend(more.into_iter().filter_map(|(name, value)| Some((name, number(&value?)))));
                object(members)
            }
            Private::Ec(name, [x, y, d]) => object(vec![
                ("kty", "EC".into()),
                ("crv", (*name).into()),
                ("x", text(x)),
                ("y", text(y)),
                ("d", text(d)),
            ]),
            Private::Ed25519(seed, public) => {
                object(vec![("kty", "OKP".into()), ("crv", "Ed25519".into()), ("x", text(public)), ("d", text(seed))])
            }
        }
    }

    /// None for what OPA has otherwise: keys with more than two primes.
    fn of_go(&self) -> Option<Value> {
        let of_bytes = |bytes: &[u8]| digits(&BoxedUint::from_be_slice_vartime(bytes));
        match self {
            Private::Rsa(key) => {
                let computed = object(vec![
                    ("CRTValues", Value::Array(Vec::new())),
                    ("Dp", digits(key.dp()?)?),
                    ("Dq", digits(key.dq()?)?),
                    ("Qinv", digits(&key.crt_coefficient()?)?),
                ]);
                let primes = key.primes().iter().map(|prime| digits(prime)).collect::<Option<Vec<_>>>()?;
                let (n, e, d) = (digits(key.n())?, digits(key.e())?, digits(key.d())?);
                (primes.len() == 2).then(|| {
                    object(vec![("N", n), ("E", e), ("D", d), ("Primes", primes.into()), ("Precomputed", computed)])
                })
            }
            Private::Ec(_, [x, y, d]) => {
                let (x, y, d) = (of_bytes(x)?, of_bytes(y)?, of_bytes(d)?);
                Some(object(vec![("Curve", object(Vec::new())), ("X", x), ("Y", y), ("D", d)]))
            }
            Private::Ed25519(seed, public) => Some(BASE64_STANDARD.encode([seed.as_slice(), public].concat()).into()),
        }
    }
}

fn object(members: Vec<(&str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<_, _>>())
}

/// The bytes of a number from its first that is not zero.
fn shortest(number: &BoxedUint) -> Vec<u8> {
    number.to_be_bytes().iter().copied().skip_while(|byte| *byte == 0).collect()
}

fn digits(number: &BoxedUint) -> Option<Value> {
    Number::parse(&number.to_string_radix_vartime(10)).map(Value::Number)
}

/// Base64 with padding; ends of lines do not count.
fn decoded(text: &str) -> Option<String> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let text: String = text.chars().filter(|sign| !matches!(sign, '\r' | '\n')).collect();
    LENIENT.decode(text).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use digest::Digest;
    use sha2_next::Sha256;

    use crate::{Answer, Context, Error, Value, find};

    // Keys of these tests alone.
    const NIST: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBtGlWqHLdsIqIX7NrmadG98a/aR7Lsu31VuMtDaVDW0oAoGCCqGSM49\nAwEHoUQDQgAE+6Wt2Nwa1LlfidZkqLkOxpUkIhatvL5DYevlojKu7gnnjz5YIzln\nwmqBBhweVAxu0Rs82H8RsLADe9rWPqmkDw==\n-----END EC PRIVATE KEY-----\n";
    const EDWARDS: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIMDzwoaFgpP/R7YBUySAJQ014/LzvRHBlrCpBEdMGxDA\n-----END PRIVATE KEY-----\n";
    const RSA: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIICXAIBAAKBgQDTmv2u9KzG5NrsUYlB9MCwV0Xlir4jRjWIaAYDUIP7RKGLNN/3\n7a1rSBV6iQP+v3LzozAW4dITVzHsmTabD3YmePvApbwQMLasa9uye7r6HpF3sjge\n+eljcDFgW2P7KVio0Sr8zBbB3KHCmaainrL2Izh64WTLQT8tRCLvB0CxMwIDAQAB\nAoGAbpsFHv4lkZDuHbhA1ojob0Qu9Nygpi98q+AzxGfBlQU6q1jn+N/zVbBICdS0\nkePgYhlaeZtwA0wAfHtZX5OlXWNsZ0gJHkVce6/ZJNkqzqd9EUsRZW9aXOLqK6YF\nD1BtVy+9RC9Jlq++Pe4RjPy6/rjfjrqvT0wk35b+XE3h/QECQQDq1cZfUgJAd/1O\n/dCOg5+rkTtcGK/NdZH9dHN5n85tIPPjyvg43JyXacV0xG6aOwaWjuNbWYMAU1Se\nsFwt2XGpAkEA5q1AT2EKH6JHO8yhGi1e2y258anklgjUsmqNWAQa4NTD5TYE9aZu\nf0sElcMIRH+fSfSBcjXGUI3GvdrvEOWNewJBAIRX8bHqf8ZhWOpZdF28pBGGiZN/\nfiQmLB5QsHtMqoMp3Qj1bCpvefiC7Xq+8S4OMcpLwKnMql1WmQvNjEVyk/ECQH5f\nBW83KzOfVETnWo6bsm6Cg25n82laVyOTCfHg9dSb2uG0EU1+KuSjdVSSLvJPtDTw\ntQWbfhRdRzZ1PSjViQcCQBCniQp1+oGtUQwm0c03bpef5mb8pGxoqFiwRCJr+4qH\nqdfXBoFDl+BDmzFj+ov9AJ7SsBmLqW+/uE2cFZxxhPQ=\n-----END RSA PRIVATE KEY-----\n";

    fn call(name: &str, text: &str, work: u64) -> Answer {
        find(name).unwrap().call(&Context::new(0, 0, work), &[text.into()])
    }

    #[test]
    fn keys_are_told_as_opa_tells_them() {
        for (name, text, expected) in [
            (
                "crypto.x509.parse_rsa_private_key",
                NIST,
                r#"{"crv":"P-256","d":"G0aVaoct2wiohfs2uZp0b3xr9pHsuy7fVW4y0NpUNbQ","kty":"EC","x":"-6Wt2Nwa1LlfidZkqLkOxpUkIhatvL5DYevlojKu7gk","y":"548-WCM5Z8JqgQYcHlQMbtEbPNh_EbCwA3va1j6ppA8"}"#,
            ),
            (
                "crypto.parse_private_keys",
                NIST,
                r#"[{"Curve":{},"D":12337157438478721176428500410931963972458465781512733287440301566968275940788,"X":113823254608734513549335998450693231907281008180954959385376993774845188566537,"Y":104737357437456197780908509962211027406067803968852366132834910389888956867599}]"#,
            ),
            (
                "crypto.x509.parse_rsa_private_key",
                EDWARDS,
                r#"{"crv":"Ed25519","d":"wPPChoWCk_9HtgFTJIAlDTXj8vO9EcGWsKkER0wbEMA","kty":"OKP","x":"YQDEg7lozNFF4_wY5Zldi1103A-jSGwvod2ef4bUl4g"}"#,
            ),
            (
                "crypto.parse_private_keys",
                EDWARDS,
                r#"["wPPChoWCk/9HtgFTJIAlDTXj8vO9EcGWsKkER0wbEMBhAMSDuWjM0UXj/BjlmV2LXXTcD6NIbC+h3Z5/htSXiA=="]"#,
            ),
            ("crypto.parse_private_keys", "", "null"),
            ("crypto.parse_private_keys", "nope", "[]"),
        ] {
            assert_eq!(call(name, text, 10_000_000), Ok(Value::parse(expected).unwrap()), "{name}");
        }
        // Digests of OPA's answers, which are long.
        for (name, expected) in [
            ("crypto.x509.parse_rsa_private_key", "c7c835c7538da865f965ef4a61699d8cb11029ed5619abd4b6b45138bbf1df46"),
            ("crypto.parse_private_keys", "689e3f2bd8f15161caa42eacb9aac38c5e87948db866578d020327a3d89879e2"),
        ] {
            let answer = call(name, RSA, 10_000_000).unwrap().to_string();
            assert_eq!(hex::encode(Sha256::digest(answer)), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let broken = RSA.replace("MIIC", "MIIB");
        let many = NIST.repeat(2_000);
        for name in ["crypto.x509.parse_rsa_private_key", "crypto.parse_private_keys"] {
            assert!(matches!(call(name, &broken, 10_000_000), Err(Error::Undefined(_))));
            assert_eq!(call(name, &many, 10_000_000), Err(Error::Exhausted));
        }
        for text in ["", "invalid", "-----END"] {
            assert!(matches!(call("crypto.x509.parse_rsa_private_key", text, 100_000), Err(Error::Undefined(_))));
        }
    }
}
