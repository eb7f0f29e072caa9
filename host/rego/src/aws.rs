//! `providers.aws.sign_req`: a request with the headers of Amazon's signature, version 4.

mod url;

use std::collections::BTreeMap;

use digest::{Digest, KeyInit, Mac};
use hmac::Hmac;
use sha2_next::Sha256;

use self::url::Url;
use crate::arguments::{number, to_i64, weight, wrong};
use crate::{Answer, Builtin, Context, Error, Value, marshal, time};

pub(crate) const FUNCTIONS: &[Builtin] = &[Builtin { name: "providers.aws.sign_req", arguments: 3, call: sign_req }];

/// What a request of OPA's `http.send` may say.
const REQUEST_KEYS: [&str; 28] = [
    "method",
    "url",
    "body",
    "enable_redirect",
    "force_json_decode",
    "force_yaml_decode",
    "headers",
    "raw_body",
    "tls_use_system_certs",
    "tls_ca_cert",
    "tls_ca_cert_file",
    "tls_ca_cert_env_variable",
    "tls_client_cert",
    "tls_client_cert_file",
    "tls_client_cert_env_variable",
    "tls_client_key",
    "tls_client_key_file",
    "tls_client_key_env_variable",
    "tls_insecure_skip_verify",
    "tls_server_name",
    "timeout",
    "cache",
    "force_cache",
    "force_cache_duration_seconds",
    "raise_error",
    "caching_mode",
    "max_retry_attempts",
    "cache_ignored_headers",
];
/// Headers that may change on their way.
const UNSIGNED_HEADERS: [&str; 3] = ["authorization", "user-agent", "x-amzn-trace-id"];
/// A request is written, hashed and put together from its parts.
const PASSES: u64 = 8;
const HASH_WORK: u64 = 4_000;

type Members = BTreeMap<Value, Value>;

fn sign_req(context: &Context, arguments: &[Value]) -> Answer {
    context.work(HASH_WORK + PASSES * arguments.iter().map(weight).sum::<u64>())?;
    let request = object(&arguments[0], 1)?;
    let account = Account::of(object(&arguments[1], 2)?)?;
    let ns = to_i64(number(&arguments[2], 3)?);
    let ns = ns.ok_or("operand 3 could not convert time_ns value into a unix timestamp")?;
    let known = |key: &Value| key.as_str().is_some_and(|key| REQUEST_KEYS.contains(&key));
    if !request.keys().all(known) {
        return Err("operand 1 invalid request parameters(s)".into());
    }
    let url = Url::parse(needed(request, "url", 1)?)?;
    let method = needed(request, "method", 1)?;
    let headers = match member(request, "headers") {
        None => BTreeMap::new(),
        Some(headers) => object(headers, 1)?.iter().map(|(key, value)| (text(key), text(value))).collect(),
    };
    let added = account.headers(&url, &body(context, request)?, ns);
    let authorization = account.authorization(method, &url, &headers, &added, ns);
    let mut signed: Members = headers.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    signed.insert("Authorization".into(), authorization.into());
    let told = added.into_iter().filter(|(name, _)| *name != CONTENT || account.tells_content());
    signed.extend(told.map(|(name, value)| (name.into(), value.into())));
    let mut request = request.clone();
    request.insert("headers".into(), Value::Object(signed));
    Ok(Value::Object(request))
}

/// The header of the digest of what is sent, which only some services want to see.
const CONTENT: &str = "x-amz-content-sha256";

/// Whose signature it is, and for what.
struct Account<'a> {
    service: &'a str,
    region: &'a str,
    access_key: &'a str,
    secret_key: &'a str,
    token: &'a str,
    /// Whether the body is left out of the signature.
    is_body_free: bool,
}

impl<'a> Account<'a> {
    fn of(members: &'a Members) -> Result<Account<'a>, Error> {
        let is_body_free = match member(members, "disable_payload_signing") {
            None => false,
            Some(Value::Bool(is_body_free)) => *is_body_free,
            Some(_) => return Err("operand 2 invalid value for 'disable_payload_signing' in AWS config".into()),
        };
        Ok(Account {
            service: needed(members, "aws_service", 2)?,
            region: needed(members, "aws_region", 2)?,
            access_key: needed(members, "aws_access_key", 2)?,
            secret_key: needed(members, "aws_secret_access_key", 2)?,
            token: member(members, "aws_session_token").and_then(Value::as_str).unwrap_or_default(),
            is_body_free,
        })
    }

    fn tells_content(&self) -> bool {
        matches!(self.service, "s3" | "glacier")
    }

    /// The headers that a signed request has beside its own; the digest of the body is always among them.
    fn headers(&self, url: &Url, body: &str, ns: i64) -> BTreeMap<&'static str, String> {
        let content = if self.is_body_free { "UNSIGNED-PAYLOAD".to_owned() } else { hashed(body) };
        let mut headers = BTreeMap::from([
            ("host", url.host.to_owned()),
            ("x-amz-date", time::written(ns, "20060102T150405Z")),
            (CONTENT, content),
        ]);
        if !self.token.is_empty() {
            headers.insert("x-amz-security-token", self.token.to_owned());
        }
        headers
    }

    fn authorization(
        &self,
        method: &str,
        url: &Url,
        own: &BTreeMap<String, String>,
        added: &BTreeMap<&'static str, String>,
        ns: i64,
    ) -> String {
        let told = added.iter().filter(|(name, _)| **name != CONTENT || self.tells_content());
        let mut headers: BTreeMap<String, &str> =
            told.map(|(name, value)| ((*name).to_owned(), value.as_str())).collect();
        let own = own.iter().map(|(name, value)| (name.to_lowercase(), value.as_str()));
        headers.extend(own.filter(|(name, _)| !UNSIGNED_HEADERS.contains(&name.as_str())));
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = headers.into_keys().collect::<Vec<_>>().join(";");
        let request = format!("{method}\n{}\n{}\n{lines}\n{names}\n{}", url.path, url.query, added[CONTENT]);
        let (date, moment) = (time::written(ns, "20060102"), &added["x-amz-date"]);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let told = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hashed(&request));
        let key = format!("AWS4{}", self.secret_key).into_bytes();
        let key = [&date, self.region, self.service, "aws4_request"].iter().fold(key, |key, part| keyed(&key, part));
        let signature = hex::encode(keyed(&key, &told));
        format!("AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}", self.access_key)
    }
}

/// What is sent: a text as it is, or a value as JSON.
fn body(context: &Context, request: &Members) -> Result<String, Error> {
    match (member(request, "raw_body"), member(request, "body")) {
        (Some(raw), _) => Ok(text(raw)),
        (None, Some(value)) => marshal::compact(context, value),
        (None, None) => Ok(String::new()),
    }
}

fn hashed(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn object(value: &Value, place: usize) -> Result<&Members, Error> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(wrong(value, place, "object")),
    }
}

fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Value> {
    members.get(&Value::from(name))
}

fn needed<'a>(members: &'a Members, name: &str, place: usize) -> Result<&'a str, Error> {
    let value = member(members, name).ok_or_else(|| format!("operand {place} missing required parameter: {name}"))?;
    value.as_str().ok_or_else(|| format!("operand {place} invalid value for required parameter: {name}").into())
}

/// A text; nothing for any other value.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::{Context, Error, Value, find};

    const ACCOUNT: &str =
        r#"{"aws_access_key":"A","aws_secret_access_key":"S","aws_service":"s3","aws_region":"us-east-1"}"#;

    fn call(request: &str, account: &str, ns: &str) -> Result<Value, Error> {
        let arguments = [request, account, ns].map(|text| Value::parse(text).unwrap());
        find("providers.aws.sign_req").unwrap().call(&Context::new(0, 0, 100_000), &arguments)
    }

    #[test]
    fn a_request_has_the_headers_that_opa_gives_it() {
        let request = r#"{"method": "get", "url": "https://example.com/a b?x=1", "headers": {"Foo": "bar", "User-Agent": "u"}, "body": {"a": [1, "<"]}}"#;
        let expected = r#"{"Authorization":"AWS4-HMAC-SHA256 Credential=A/20151228/us-east-1/s3/aws4_request,SignedHeaders=foo;host;x-amz-content-sha256;x-amz-date,Signature=86a94e3d01608b58182f3a52d5c313969e40f69dd64d291e609ae206c180f9a3","Foo":"bar","User-Agent":"u","host":"example.com","x-amz-content-sha256":"ca279869fef65c20d619c5aaebbe37eeda8287a0322993c149e8da03958e4d51","x-amz-date":"20151228T140825Z"}"#;
        let Ok(Value::Object(signed)) = call(request, ACCOUNT, "1451311705000000000") else { panic!() };
        assert_eq!(signed[&Value::from("headers")], Value::parse(expected).unwrap());
    }

    #[test]
    fn what_is_wrong_says_why() {
        let request = r#"{"method":"get","url":"http://example.com"}"#;
        for (request, account, ns, says) in [
            ("{}", ACCOUNT, "1", "missing"),
            ("[]", ACCOUNT, "1", "must be object"),
            (r#"{"method":"get","url":"http://a b/"}"#, ACCOUNT, "1", "url"),
            (r#"{"method":"get","url":1}"#, ACCOUNT, "1", "invalid value"),
            (r#"{"method":"get","url":"","x":1}"#, ACCOUNT, "1", "invalid request"),
            (r#"{"method":"get","url":"","headers":[]}"#, ACCOUNT, "1", "must be object"),
            (request, "{}", "1", "missing"),
            (request, ACCOUNT, "1.5", "timestamp"),
            (request, ACCOUNT, "null", "must be number"),
        ] {
            let answer = call(request, account, ns);
            assert!(matches!(&answer, Err(Error::Undefined(why)) if why.contains(says)), "{request}: {answer:?}");
        }
        let long = format!(r#"{{"method":"get","url":"","raw_body":"{}"}}"#, "x".repeat(50_000));
        assert_eq!(call(&long, ACCOUNT, "1"), Err(Error::Exhausted));
    }
}
