//! The algorithms of RFC 7518: what signs and what verifies.

use digest::{Digest, KeyInit, Mac};
use hmac::Hmac;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rsa::pss::Pss;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PublicKey};
use sha2_next::{Sha256, Sha384, Sha512};

use super::keys::{Curve, Material};
use super::random::Random;
use crate::{Context, Error};

/// What a use of a public key costs, at the size that RSA keys have today.
const PUBLIC_WORK: u64 = 100_000;
/// What a use of a private key costs.
const PRIVATE_WORK: u64 = 1_000_000;

/// An algorithm: how it signs, and over which digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithm {
    pub(super) family: Family,
    hash: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Hmac,
    Rsa,
    /// RSA with salt; a salt may have any length, or has that of the digest.
    Pss {
        any_salt: bool,
    },
    /// Curves of NIST; the numbers of a signature may be of any length, or have that of the curve.
    Ecdsa {
        any_length: bool,
    },
    Ed25519,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// The algorithm that a header names, as strict as RFC 7518 has it.
    pub(super) fn named(name: &str) -> Option<Algorithm> {
        if name == "EdDSA" {
            return Some(Algorithm { family: Family::Ed25519, hash: Hash::Sha512 });
        }
        let (family, bits) = name.split_at_checked(2)?;
        let family = match family {
            "HS" => Family::Hmac,
            "RS" => Family::Rsa,
            "PS" => Family::Pss { any_salt: false },
            "ES" => Family::Ecdsa { any_length: false },
            _ => return None,
        };
        let hash = match bits {
            "256" => Hash::Sha256,
            "384" => Hash::Sha384,
            "512" => Hash::Sha512,
            _ => return None,
        };
        Some(Algorithm { family, hash })
    }

    /// The algorithm as the functions `io.jwt.verify_…` take it.
    pub(super) fn lenient(self) -> Algorithm {
        let family = match self.family {
            Family::Pss { .. } => Family::Pss { any_salt: true },
            Family::Ecdsa { .. } => Family::Ecdsa { any_length: true },
            family => family,
        };
        Algorithm { family, ..self }
    }

    fn digest(self, text: &[u8]) -> Vec<u8> {
        match self.hash {
            Hash::Sha256 => Sha256::digest(text).to_vec(),
            Hash::Sha384 => Sha384::digest(text).to_vec(),
            Hash::Sha512 => Sha512::digest(text).to_vec(),
        }
    }
}

/// Whether the signature of a text is one by this key and algorithm.
///
/// # Errors
/// [`Error::Exhausted`] where too little work is left to find out.
pub(super) fn verifies(
    context: &Context,
    algorithm: Algorithm,
    key: &Material,
    text: &[u8],
    signature: &[u8],
) -> Result<bool, Error> {
    context.work(text.len() as u64)?;
    match (algorithm.family, key) {
        (Family::Hmac, Material::Secret(secret)) => {
            Ok(bool::from(subtle::ConstantTimeEq::ct_eq(&*keyed(algorithm, secret, text)?, signature)))
        }
        (Family::Rsa | Family::Pss { .. }, Material::Rsa(key)) => {
            context.work(PUBLIC_WORK.saturating_mul(size_factor(key).pow(2)))?;
            Ok(verifies_rsa(algorithm, key, text, signature))
        }
        (Family::Ecdsa { any_length }, Material::Ec(curve, point)) => {
            context.work(4 * PUBLIC_WORK)?;
            let digest = algorithm.digest(text);
            Ok(numbers(signature, curve.bytes(), any_length)
                .is_some_and(|signature| verifies_ecdsa(*curve, point, &digest, &signature)))
        }
        (Family::Ed25519, Material::Ed25519(key)) => {
            context.work(PUBLIC_WORK)?;
            Ok(UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok())
        }
        _ => Ok(false),
    }
}

fn verifies_rsa(algorithm: Algorithm, key: &PublicKey, text: &[u8], signature: &[u8]) -> bool {
    let digest = algorithm.digest(text);
    let verified = match (algorithm.family, algorithm.hash) {
        (Family::Pss { any_salt }, Hash::Sha256) => key.verify(salted::<Sha256>(any_salt), &digest, signature),
        (Family::Pss { any_salt }, Hash::Sha384) => key.verify(salted::<Sha384>(any_salt), &digest, signature),
        (Family::Pss { any_salt }, Hash::Sha512) => key.verify(salted::<Sha512>(any_salt), &digest, signature),
        (_, hash) => key.verify(plain(hash), &digest, signature),
    };
    verified.is_ok()
}

fn salted<D: Digest>(any_salt: bool) -> Pss<D> {
    let scheme = Pss::new();
    if any_salt { Pss { salt_len: None, ..scheme } } else { scheme }
}

fn plain(hash: Hash) -> Pkcs1v15Sign {
    match hash {
        Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    }
}

/// How many times as long as today's keys a key is, at least once.
fn size_factor(key: &PublicKey) -> u64 {
    (key.size() as u64).div_ceil(256)
}

/// The two numbers of a signature, each as long as the curve has them.
fn numbers(signature: &[u8], length: usize, any_length: bool) -> Option<Vec<u8>> {
    if !any_length && signature.len() != 2 * length {
        return None;
    }
    let (one, other) = signature.split_at(signature.len() / 2);
    let mut numbers = vec![0; 2 * length];
    for (number, place) in [one, other].into_iter().zip(numbers.chunks_exact_mut(length)) {
        let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        let start = length.checked_sub(number.len())?;
        place[start..].copy_from_slice(number);
    }
    Some(numbers)
}

fn verifies_ecdsa(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    macro_rules! verifies {
        ($curve:ident) => {{
            let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(point);
            let signature = $curve::ecdsa::Signature::from_slice(signature);
            matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_prehash(digest, &signature).is_ok())
        }};
    }
    match curve {
        Curve::P256 => verifies!(p256),
        Curve::P384 => verifies!(p384),
        Curve::P521 => verifies!(p521),
    }
}

fn keyed(algorithm: Algorithm, secret: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
    fn mac<M: Mac + KeyInit>(secret: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
        let mac = <M as KeyInit>::new_from_slice(secret).map_err(|error| error.to_string())?;
        Ok(mac.chain_update(text).finalize().into_bytes().to_vec())
    }
    match algorithm.hash {
        Hash::Sha256 => mac::<Hmac<Sha256>>(secret, text),
        Hash::Sha384 => mac::<Hmac<Sha384>>(secret, text),
        Hash::Sha512 => mac::<Hmac<Sha512>>(secret, text),
    }
}

/// The signature of a text; what should be random in it follows from the seed of the context, the key and the text.
pub(super) fn sign(
    context: &Context,
    algorithm: Algorithm,
    key: &Material,
    private: &[Vec<u8>],
    text: &[u8],
) -> Result<Vec<u8>, Error> {
    context.work(text.len() as u64)?;
    let unfit = || Error::from("the key does not fit the algorithm");
    match (algorithm.family, key, private) {
        (Family::Hmac, Material::Secret(secret), _) => keyed(algorithm, secret, text),
        (Family::Rsa | Family::Pss { .. }, Material::Rsa(public), [d, primes @ ..]) => {
            context.work(PRIVATE_WORK.saturating_mul(size_factor(public).pow(3)))?;
            sign_rsa(context, algorithm, public, d, primes, text).ok_or_else(unfit)
        }
        (Family::Ecdsa { .. }, Material::Ec(curve, _), [d]) => {
            context.work(PRIVATE_WORK)?;
            sign_ecdsa(*curve, d, &algorithm.digest(text)).ok_or_else(unfit)
        }
        (Family::Ed25519, Material::Ed25519(public), [d]) => {
            context.work(PRIVATE_WORK)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(d, public).map_err(|_| unfit())?;
            Ok(pair.sign(text).as_ref().to_vec())
        }
        _ => Err(unfit()),
    }
}

fn sign_rsa(
    context: &Context,
    algorithm: Algorithm,
    public: &PublicKey,
    d: &[u8],
    primes: &[Vec<u8>],
    text: &[u8],
) -> Option<Vec<u8>> {
    let number = |bytes: &[u8]| rsa::BoxedUint::from_be_slice_vartime(bytes);
    let primes = primes.iter().map(|prime| number(prime)).collect();
    let n: &rsa::BoxedUint = public.n().as_ref();
    let key = rsa::PrivateKey::from_components(n.clone(), public.e().clone(), number(d), primes).ok()?;
    let digest = algorithm.digest(text);
    let mut random = Random::new(context.seed, &[d, &digest]);
    let signature = match (algorithm.family, algorithm.hash) {
        (Family::Rsa, hash) => key.sign_with_rng(&mut random, plain(hash), &digest),
        (_, Hash::Sha256) => key.sign_with_rng(&mut random, salted::<Sha256>(false), &digest),
        (_, Hash::Sha384) => key.sign_with_rng(&mut random, salted::<Sha384>(false), &digest),
        (_, Hash::Sha512) => key.sign_with_rng(&mut random, salted::<Sha512>(false), &digest),
    };
    signature.ok()
}

fn sign_ecdsa(curve: Curve, d: &[u8], digest: &[u8]) -> Option<Vec<u8>> {
    macro_rules! signs {
        ($curve:ident) => {{
            let key = $curve::ecdsa::SigningKey::from_slice(d).ok()?;
            let signature: $curve::ecdsa::Signature = key.sign_prehash(digest).ok()?;
            Some(signature.to_bytes().to_vec())
        }};
    }
    match curve {
        Curve::P256 => signs!(p256),
        Curve::P384 => signs!(p384),
        Curve::P521 => signs!(p521),
    }
}
