//! Keys: of a certificate or a public key in PEM, or of JSON Web Keys.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::signature::Ed25519KeyPair;
use rsa::{BoxedUint, PublicKey};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::pem::{self, Block};
use crate::{Context, Error, Value, json};

/// What a byte of a certificate costs to take apart.
const DER_WORK: u64 = 10;

/// Names of algorithms that a key may have beside those of signatures, which make it one that is passed over.
const OTHER_ALGORITHMS: [&str; 26] = [
    "none",
    "ES256K",
    "Ed25519",
    "RSA1_5",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "RSA-OAEP-384",
    "RSA-OAEP-512",
    "A128KW",
    "A192KW",
    "A256KW",
    "A128GCMKW",
    "A192GCMKW",
    "A256GCMKW",
    "dir",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A192KW",
    "ECDH-ES+A256KW",
    "PBES2-HS256+A128KW",
    "PBES2-HS384+A192KW",
    "PBES2-HS512+A256KW",
    "A128GCM",
    "A256GCM",
    "A128CBC-HS256",
    "A256CBC-HS512",
];

/// RSA, DSA, curves, Ed25519 and X25519.
const KNOWN_KEYS: [&str; 5] =
    ["1.2.840.113549.1.1.1", "1.2.840.10040.4.1", "1.2.840.10045.2.1", "1.3.101.112", "1.3.101.110"];

/// A key and what it says of itself.
pub(super) struct Key {
    pub(super) algorithm: Option<String>,
    pub(super) id: Option<String>,
    pub(super) material: Material,
    /// The private exponent and primes of RSA, the private number of a curve, or nothing.
    pub(super) private: Vec<Vec<u8>>,
}

/// What verifies.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Material {
    Rsa(PublicKey),
    /// A point as SEC 1 has it, in full.
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    Secret(Vec<u8>),
    /// A kind that signs nothing here.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn named(name: &str) -> Option<Curve> {
        match name {
            "P-256" | "1.2.840.10045.3.1.7" => Some(Curve::P256),
            "P-384" | "1.3.132.0.34" => Some(Curve::P384),
            "P-521" | "1.3.132.0.35" => Some(Curve::P521),
            _ => None,
        }
    }

    /// How long a number of it is.
    pub(super) fn bytes(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    fn has(self, point: &[u8]) -> bool {
        match self {
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
        }
    }
}

/// The keys that a text has.
pub(super) fn read(context: &Context, text: &str) -> Result<Vec<Key>, Error> {
    context.work(DER_WORK * text.len() as u64)?;
    let Some((block, rest)) = pem::next(text) else { return of_json(context, text) };
    if !rest.is_empty() {
        return Err("extra data after a PEM certificate block".into());
    }
    let material = of_block(&block).ok_or("failed to parse a PEM certificate or public key")?;
    Ok(vec![Key { algorithm: None, id: None, material, private: Vec::new() }])
}

fn of_block(block: &Block) -> Option<Material> {
    match block.kind.as_str() {
        "CERTIFICATE" => {
            let (rest, certificate) = x509_parser::parse_x509_certificate(&block.bytes).ok()?;
            rest.is_empty().then(|| of_info(certificate.public_key()))?
        }
        "PUBLIC KEY" => {
            let (rest, info) = SubjectPublicKeyInfo::from_der(&block.bytes).ok()?;
            // A certificate may have a key of an unknown kind; a key alone may not.
            let known = KNOWN_KEYS.contains(&info.algorithm.algorithm.to_id_string().as_str());
            (known && rest.is_empty()).then(|| of_info(&info))?
        }
        _ => None,
    }
}

fn of_info(info: &SubjectPublicKeyInfo<'_>) -> Option<Material> {
    let bytes = info.subject_public_key.data.as_ref();
    match info.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => match info.parsed().ok()? {
            Parsed::RSA(key) => of_rsa(key.modulus, key.exponent),
            _ => None,
        },
        "1.2.840.10045.2.1" => {
            let name = info.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
            let curve = Curve::named(&name)?;
            // Points that leave out a half are none for Go either.
            (bytes.first() == Some(&4) && curve.has(bytes)).then(|| Material::Ec(curve, bytes.to_vec()))
        }
        "1.3.101.112" => Some(Material::Ed25519(bytes.to_vec())),
        _ => Some(Material::Other),
    }
}

/// A key of RSA; one of a size that nothing verifies with is of another kind.
fn of_rsa(modulus: &[u8], exponent: &[u8]) -> Option<Material> {
    let number = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        (!bytes.is_empty()).then(|| BoxedUint::from_be_slice_vartime(bytes))
    };
    let (modulus, exponent) = (number(modulus)?, number(exponent)?);
    if exponent.bit_width_vartime() > 63 {
        return None;
    }
    let key = PublicKey::new_with_size_limits(modulus, exponent, 1_024..=16_384);
    Some(key.map_or(Material::Other, Material::Rsa))
}

/// One key of JSON or a set of them, of which each must be in order.
pub(super) fn of_json(context: &Context, text: &str) -> Result<Vec<Key>, Error> {
    let value = json::read(context, text).ok().and_then(json::into_object);
    let value = value.ok_or("failed to parse a JWK key (set)")?;
    match value.get(&Value::from("keys")) {
        Some(Value::Array(keys)) => keys.iter().map(|key| of_member(context, key)).collect(),
        Some(_) => Err("failed to parse a JWK key (set): no list of keys".into()),
        None => of_member(context, &Value::Object(value)).map(|key| vec![key]),
    }
}

fn of_member(context: &Context, value: &Value) -> Result<Key, Error> {
    // A point is looked for on its curve.
    context.work(10_000)?;
    let why = || Error::from("failed to parse a JWK key (set)");
    let Value::Object(members) = value else { return Err(why()) };
    let text = |name: &str| match members.get(&Value::from(name)) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(why),
    };
    let bytes = |name: &str| text(name)?.map(|text| decoded(text).ok_or_else(why)).transpose();
    let needed = |name: &str| bytes(name)?.ok_or_else(why);
    let private = bytes("d")?;
    let algorithm = text("alg")?.map(str::to_owned);
    let known = |name: &str| super::signature::Algorithm::named(name).is_some() || OTHER_ALGORITHMS.contains(&name);
    if algorithm.as_deref().is_some_and(|name| !known(name)) {
        return Err(why());
    }
    text("use")?;
    let material = match text("kty")?.ok_or_else(why)? {
        "RSA" => Some(needed("e")?)
            .filter(|exponent| exponent.last().is_some_and(|byte| byte % 2 == 1))
            .and_then(|exponent| of_rsa(&needed("n").ok()?, &exponent)),
        "EC" => of_point(text("crv")?.ok_or_else(why)?, &needed("x")?, &needed("y")?),
        "OKP" => match (text("crv")?, needed("x")?) {
            (Some("Ed25519"), x) if x.len() == 32 => Some(Material::Ed25519(x)),
            (Some("X25519"), x) if x.len() == 32 => Some(Material::Other),
            _ => None,
        },
        "oct" => Some(Material::Secret(needed("k")?)).filter(|key| *key != Material::Secret(Vec::new())),
        _ => None,
    };
    let material = material.ok_or_else(why)?;
    let private = match (&material, private) {
        (Material::Secret(_), _) | (_, None) => Vec::new(),
        (Material::Rsa(_), Some(d)) => vec![d, needed("p")?, needed("q")?],
        (material, Some(d)) => match fits(material, &d) {
            true => vec![d],
            false => return Err(why()),
        },
    };
    Ok(Key { algorithm, id: text("kid")?.map(str::to_owned), material, private })
}

fn of_point(curve: &str, x: &[u8], y: &[u8]) -> Option<Material> {
    let curve = Curve::named(curve)?;
    let point = [&[4], x, y].concat();
    (x.len() == curve.bytes() && curve.has(&point)).then_some(Material::Ec(curve, point))
}

/// Whether a private number could be that of a public one.
fn fits(material: &Material, private: &[u8]) -> bool {
    match material {
        Material::Ec(curve, _) => private.len() == curve.bytes(),
        Material::Ed25519(public) => Ed25519KeyPair::from_seed_and_public_key(private, public).is_ok(),
        _ => true,
    }
}

/// Base64 of the alphabet that it has signs of, with padding or without.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let config = match text.ends_with('=') {
        true => config,
        false => config.with_decode_padding_mode(DecodePaddingMode::RequireNone),
    };
    let alphabet = if text.contains(['+', '/']) { &alphabet::STANDARD } else { &alphabet::URL_SAFE };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}
