//! `crypto.*`: digests and keyed digests, as hexadecimal text.

pub(crate) mod private;

use digest::{Digest, KeyInit, Mac};
use hmac::Hmac;
use md5::Md5;
use sha1::Sha1;
use sha2_next::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::arguments::text_read;
use crate::{Answer, Builtin, Context, Value};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "crypto.md5", arguments: 1, call: hashed::<Md5> },
    Builtin { name: "crypto.sha1", arguments: 1, call: hashed::<Sha1> },
    Builtin { name: "crypto.sha256", arguments: 1, call: hashed::<Sha256> },
    Builtin { name: "crypto.hmac.md5", arguments: 2, call: keyed::<Hmac<Md5>> },
    Builtin { name: "crypto.hmac.sha1", arguments: 2, call: keyed::<Hmac<Sha1>> },
    Builtin { name: "crypto.hmac.sha256", arguments: 2, call: keyed::<Hmac<Sha256>> },
    Builtin { name: "crypto.hmac.sha512", arguments: 2, call: keyed::<Hmac<Sha512>> },
    Builtin { name: "crypto.hmac.equal", arguments: 2, call: equal },
];

/// What a digest of nothing costs.
const BLOCK_WORK: u64 = 256;

fn hashed<D: Digest>(context: &Context, arguments: &[Value]) -> Answer {
    context.work(BLOCK_WORK)?;
    let text = text_read(context, &arguments[0], 1)?;
    Ok(hex::encode(D::digest(text)).into())
}

fn keyed<M: Mac + KeyInit>(context: &Context, arguments: &[Value]) -> Answer {
    context.work(2 * BLOCK_WORK)?;
    let message = text_read(context, &arguments[0], 1)?;
    let key = text_read(context, &arguments[1], 2)?;
    let mac = <M as KeyInit>::new_from_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hex::encode(mac.chain_update(message).finalize().into_bytes()).into())
}

fn equal(context: &Context, arguments: &[Value]) -> Answer {
    let one = text_read(context, &arguments[0], 1)?;
    let another = text_read(context, &arguments[1], 2)?;
    Ok(bool::from(one.as_bytes().ct_eq(another.as_bytes())).into())
}

#[cfg(test)]
mod tests {
    use super::FUNCTIONS;
    use crate::{Context, Error, Value, find};

    #[test]
    fn digests_are_those_of_opa() {
        let context = Context::new(0, 0, 1_000_000);
        for (name, arguments, expected) in [
            ("crypto.md5", &["a"][..], "0cc175b9c0f1b6a831c399e269772661"),
            ("crypto.sha1", &[""], "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("crypto.sha256", &["é"], "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
            ("crypto.hmac.md5", &["a", "k"], "ddcf3d210049e7135f61affae73731cd"),
            ("crypto.hmac.sha1", &["a", "k"], "40e7d441cadb17b07f050341aa23a6820ed81c8b"),
        ] {
            let arguments: Vec<Value> = arguments.iter().map(|text| Value::from(*text)).collect();
            assert_eq!(find(name).unwrap().call(&context, &arguments), Ok(expected.into()), "{name}");
        }
        for (one, another, expected) in [("a", "a", true), ("a", "b", false), ("a", "ab", false), ("", "", true)] {
            let answer = find("crypto.hmac.equal").unwrap().call(&context, &[one.into(), another.into()]);
            assert_eq!(answer, Ok(expected.into()));
        }
    }

    #[test]
    fn other_kinds_and_long_texts_are_refused() {
        let long = Value::from("x".repeat(10_000));
        for builtin in FUNCTIONS {
            let arguments = vec![long.clone(); builtin.arguments];
            assert_eq!(builtin.call(&Context::new(0, 0, 9_000), &arguments), Err(Error::Exhausted));
            for wrong in [Value::Null, 1.into(), Value::Array(vec!["a".into()])] {
                let answer = builtin.call(&Context::new(0, 0, 9_000), &vec![wrong; builtin.arguments]);
                assert!(matches!(answer, Err(Error::Undefined(why)) if why.contains("must be string")));
            }
        }
    }
}
