//! Tokens and answers that OPA gave; the keys are of these tests alone.

use super::FUNCTIONS;
use crate::{Answer, Context, Error, Value, find};

const SECRET: &str = r#"{"kty":"oct","k":"c2VjcmV0LXNlY3JldA"}"#;
const EDWARDS: &str = r#"{"crv":"Ed25519","d":"wPPChoWCk_9HtgFTJIAlDTXj8vO9EcGWsKkER0wbEMA","kty":"OKP","x":"YQDEg7lozNFF4_wY5Zldi1103A-jSGwvod2ef4bUl4g"}"#;
const NIST: &str = r#"{"crv":"P-256","d":"G0aVaoct2wiohfs2uZp0b3xr9pHsuy7fVW4y0NpUNbQ","kty":"EC","x":"-6Wt2Nwa1LlfidZkqLkOxpUkIhatvL5DYevlojKu7gk","y":"548-WCM5Z8JqgQYcHlQMbtEbPNh_EbCwA3va1j6ppA8"}"#;
const PAYLOAD: &str = r#"{"iss":"<i>","aud":["a"],"exp":1700000001}"#;
const OF_SECRET: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOlsiYSJdLCJleHAiOjE3MDAwMDAwMDEsImlzcyI6Ilx1MDAzY2lcdTAwM2UifQ.T30aS3mDHLb9k_IlQTIRCi2lJkiCrotVWkizZgYMh3k";
const OF_EDWARDS: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJhdWQiOlsiYSJdLCJleHAiOjE3MDAwMDAwMDEsImlzcyI6Ilx1MDAzY2lcdTAwM2UifQ.A9fk8FyEA-26eVON_9kI3G5bIOIvM-huH1cT5tTyZy0o_WNplW_DW5ktzQLxuDp-aymyUJHOEDl2xFrgFupQAQ";

fn answer(name: &str, arguments: &[Value]) -> Answer {
    find(name).unwrap().call(&Context::new(1_700_000_000_000_000_000, 3, 100_000_000), arguments)
}

fn signed(algorithm: &str, payload: &str, key: &str) -> String {
    let header = Value::parse(&format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#)).unwrap();
    let arguments = [header, Value::parse(payload).unwrap(), Value::parse(key).unwrap()];
    answer("io.jwt.encode_sign", &arguments).unwrap().as_str().unwrap().to_owned()
}

/// A key of JSON without what is private in it.
fn public(key: &str) -> String {
    let Value::Object(mut members) = Value::parse(key).unwrap() else { panic!("{key}") };
    members.remove(&Value::from("d"));
    Value::Object(members).to_string()
}

#[test]
fn tokens_are_signed_as_opa_signs_them() {
    assert_eq!(signed("HS256", PAYLOAD, SECRET), OF_SECRET);
    assert_eq!(signed("EdDSA", PAYLOAD, EDWARDS), OF_EDWARDS);
    let token = signed("ES256", PAYLOAD, NIST);
    assert_eq!(token, signed("ES256", PAYLOAD, NIST));
    assert_eq!(answer("io.jwt.verify_es256", &[token.as_str().into(), public(NIST).into()]), Ok(true.into()));
    let raw = [r#"{"alg":"HS256","typ":"text"}"#, "no JSON", SECRET].map(Value::from);
    assert!(answer("io.jwt.encode_sign_raw", &raw).is_ok());
}

#[test]
fn tokens_are_verified_with_the_keys_that_fit() {
    for (name, token, key, expected) in [
        ("io.jwt.verify_hs256", OF_SECRET, "secret-secret".to_owned(), true),
        ("io.jwt.verify_hs256", OF_SECRET, "secret".to_owned(), false),
        ("io.jwt.verify_hs384", OF_SECRET, "secret-secret".to_owned(), false),
        ("io.jwt.verify_eddsa", OF_EDWARDS, public(EDWARDS), true),
        ("io.jwt.verify_eddsa", OF_EDWARDS, format!(r#"{{"keys":[{},{}]}}"#, public(NIST), public(EDWARDS)), true),
        ("io.jwt.verify_eddsa", OF_EDWARDS, EDWARDS.to_owned(), false),
        ("io.jwt.verify_eddsa", OF_EDWARDS, r#"{"keys":[]}"#.to_owned(), false),
        ("io.jwt.verify_rs256", OF_EDWARDS, public(EDWARDS), false),
        ("io.jwt.verify_rs256", OF_SECRET, SECRET.to_owned(), false),
    ] {
        assert_eq!(answer(name, &[token.into(), key.as_str().into()]), Ok(expected.into()), "{name} {key}");
    }
}

#[test]
fn constraints_are_those_of_opa() {
    let edwards = serde_json::to_string(&public(EDWARDS)).unwrap();
    for (token, constraints, expected) in [
        (OF_SECRET, r#""secret":"secret-secret","aud":"a","iss":"<i>""#.to_owned(), true),
        (OF_SECRET, r#""secret":"secret-secret""#.to_owned(), false),
        (OF_SECRET, r#""secret":"secret-secret","aud":"b""#.to_owned(), false),
        (OF_SECRET, r#""secret":"secret-secret","aud":"a","iss":"i""#.to_owned(), false),
        (OF_SECRET, r#""secret":"secret-secret","aud":"a","alg":"HS512""#.to_owned(), false),
        (OF_SECRET, r#""secret":"secret-secret","aud":"a","time":1700000001000000000"#.to_owned(), false),
        (OF_SECRET, r#""secret":"secret-secret","aud":"a","time":1700000000999999000"#.to_owned(), true),
        (OF_EDWARDS, format!(r#""cert":{edwards},"aud":"a""#), true),
        (OF_SECRET, format!(r#""cert":{edwards},"aud":"a""#), false),
    ] {
        let arguments = [token.into(), Value::parse(&format!("{{{constraints}}}")).unwrap()];
        let answer = answer("io.jwt.decode_verify", &arguments).unwrap().to_string();
        assert_eq!(answer != "[false,{},{}]", expected, "{constraints}: {answer}");
    }
}

#[test]
fn what_is_no_token_or_key_says_why() {
    let object = |text: &str| Value::parse(text).unwrap();
    for (name, arguments, says) in [
        ("io.jwt.decode", vec!["".into()], "no period"),
        ("io.jwt.decode", vec!["a.b.c.d".into()], "found 4"),
        ("io.jwt.decode", vec!["e30.e30.!".into()], "signature"),
        ("io.jwt.decode", vec!["W10.e30.e30".into()], "not an Object"),
        ("io.jwt.decode", vec!["eyJlbmMiOjF9.e30.e30".into()], "JWE"),
        ("io.jwt.verify_rs256", vec![OF_SECRET.into(), "x".into()], "JWK"),
        ("io.jwt.verify_rs256", vec![OF_SECRET.into(), r#"{"kty":"RSA","n":"","e":"AQAB"}"#.into()], "JWK"),
        (
            "io.jwt.verify_rs256",
            vec![OF_SECRET.into(), "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".into()],
            "PEM",
        ),
        ("io.jwt.decode_verify", vec![OF_SECRET.into(), object("{}")], "no key"),
        ("io.jwt.decode_verify", vec![OF_SECRET.into(), object(r#"{"secret":"s","x":1}"#)], "unknown token"),
        ("io.jwt.decode_verify", vec![OF_SECRET.into(), object(r#"{"secret":"s","time":-1}"#)], "negative"),
        ("io.jwt.encode_sign", vec![object("{}"), object("{}"), object(SECRET)], "'alg'"),
        ("io.jwt.encode_sign", vec![object(r#"{"alg":"none"}"#), object("{}"), object(SECRET)], "unknown JWS"),
        ("io.jwt.encode_sign", vec![object(r#"{"alg":"RS256"}"#), object("{}"), object(SECRET)], "does not fit"),
        ("io.jwt.encode_sign_raw", vec![r#"{"alg":"HS256"}"#.into(), "x".into(), SECRET.into()], "not JSON"),
    ] {
        let answer = answer(name, &arguments);
        assert!(
            matches!(&answer, Err(Error::Undefined(why)) if why.contains(says)),
            "{name} {arguments:?}: {answer:?}"
        );
    }
}

#[test]
fn hostile_arguments_end_without_harm() {
    let deep = format!("{}.e30.e30", hex::encode("[".repeat(100_000)));
    let keys = format!(r#"{{"keys":[{}]}}"#, vec![public(EDWARDS); 5_000].join(","));
    for builtin in FUNCTIONS {
        for argument in
            [Value::Null, "".into(), "..".into(), deep.as_str().into(), keys.as_str().into(), OF_EDWARDS.into()]
        {
            let mut arguments = vec![argument; builtin.arguments];
            _ = builtin.call(&Context::new(0, 0, 1_000), &arguments);
            if let Some(key) = arguments.get_mut(1) {
                *key = keys.as_str().into();
            }
            let context = Context::new(0, 0, 20_000_000);
            _ = builtin.call(&context, &arguments);
        }
    }
    let tired =
        find("io.jwt.verify_es256").unwrap().call(&Context::new(0, 0, 20_000_000), &[OF_EDWARDS.into(), keys.into()]);
    assert_eq!(tired, Err(Error::Exhausted));
}
