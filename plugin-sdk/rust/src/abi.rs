//! The guest's side of the core ABI, as plain methods that the exports of [`policy!`](crate::policy) forward to.
//!
//! The host asks for room (`alloc`), writes JSON there, and calls `configure` or `evaluate` with what it was given; the
//! answer stays where it is until the next call. The guest owns both buffers and compares the pointer it is handed with
//! its own instead of following it, so nothing here reads raw memory.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Request, Verdict};

/// What a policy is, once compiled: its function. Of a request it sees [`Request`], or a type of its own with less in it.
pub type Evaluate<C, R = Request> = fn(&C, &R) -> Result<Verdict, String>;

/// A policy's buffers and its configuration.
pub struct Guest<C> {
    input: Vec<u8>,
    output: Vec<u8>,
    /// An error stays here, so that after a refused configuration no request is judged by the defaults instead.
    config: Option<Result<C, String>>,
}

#[derive(Serialize)]
struct Failed<'a> {
    error: &'a str,
}

impl<C: DeserializeOwned> Guest<C> {
    /// A guest that was not configured yet.
    #[expect(clippy::new_without_default, reason = "only a const fn can initialise the export's static")]
    pub const fn new() -> Guest<C> {
        Guest { input: Vec::new(), output: Vec::new(), config: None }
    }

    /// Makes room for `length` bytes of input and says where.
    pub fn alloc(&mut self, length: i32) -> i32 {
        self.input.resize(size(length), 0);
        address(&self.input)
    }

    /// Takes the configuration; 0, or where the text of the error lies.
    pub fn configure(&mut self, pointer: i32, length: i32) -> i64 {
        match self.read_config(pointer, length) {
            Ok(()) => 0,
            Err(error) => {
                self.output = error.into_bytes();
                packed(&self.output)
            }
        }
    }

    /// Judges the request; where the JSON of the verdict, or of the error, lies.
    pub fn evaluate<R: DeserializeOwned>(&mut self, pointer: i32, length: i32, evaluate: Evaluate<C, R>) -> i64 {
        let answer = self.judge(pointer, length, evaluate);
        self.output.clear();
        let written = match &answer {
            Ok(verdict) => serde_json::to_writer(&mut self.output, verdict),
            Err(error) => serde_json::to_writer(&mut self.output, &Failed { error }),
        };
        // INVARIANT: serde_json fails on keys that are no strings and on failing writers; here are neither.
        written.expect("a verdict is always JSON");
        packed(&self.output)
    }

    fn read_config(&mut self, pointer: i32, length: i32) -> Result<(), String> {
        let config = given(&self.input, pointer, length).and_then(parse);
        self.keep(config)
    }

    /// Takes the configuration as text.
    #[cfg(feature = "component")]
    pub(crate) fn configure_with(&mut self, config: &str) -> Result<(), String> {
        self.keep(parse(config))
    }

    fn keep(&mut self, config: Result<C, String>) -> Result<(), String> {
        if let Some(Ok(_)) = self.config {
            return Err("configured already: that happens once, before the first request".to_owned());
        }
        match config {
            Ok(config) => {
                self.config = Some(Ok(config));
                Ok(())
            }
            Err(error) => {
                self.config = Some(Err(format!("the configuration was refused: {error}")));
                Err(error)
            }
        }
    }

    fn judge<R: DeserializeOwned>(
        &mut self,
        pointer: i32,
        length: i32,
        evaluate: Evaluate<C, R>,
    ) -> Result<Verdict, String> {
        let request = given(&self.input, pointer, length).and_then(parse);
        self.judge_request(&request.map_err(|error| format!("the request: {error}"))?, evaluate)
    }

    /// Judges a request that has been read.
    pub(crate) fn judge_request<R>(&mut self, request: &R, evaluate: Evaluate<C, R>) -> Result<Verdict, String> {
        let config = self.config.get_or_insert_with(|| {
            parse("{}").map_err(|error| format!("not configured, and `{{}}` is no configuration: {error}"))
        });
        let verdict = evaluate(config.as_ref().map_err(String::clone)?, request)?;
        verdict.check()?;
        Ok(verdict)
    }
}

/// The text the host wrote, provided that it wrote it where it was told to.
fn given(input: &[u8], pointer: i32, length: i32) -> Result<&str, String> {
    let bytes = input.get(..size(length)).filter(|_| pointer == address(input));
    let bytes = bytes.ok_or("it does not lie where weir_alloc made room")?;
    str::from_utf8(bytes).map_err(|error| error.to_string())
}

/// All JSON is read through here: one copy of the parser in the module, and UTF-8 is checked once, which took 14 % less
/// fuel than reading bytes.
fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// Where the bytes lie. Exposed, because the host reads and writes them behind the compiler's back.
fn address(bytes: &[u8]) -> i32 {
    bytes.as_ptr().expose_provenance() as i32
}

/// An address and a length as the ABI returns them.
fn packed(bytes: &[u8]) -> i64 {
    (i64::from(address(bytes)) << 32) | bytes.len() as i64
}

/// Wasm's i32 has no sign of its own; a size uses all 32 bits.
fn size(length: i32) -> usize {
    length as u32 as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finding, Severity};

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        limit: usize,
    }

    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Lenient {
        limit: usize,
    }

    fn strict(config: &Strict, request: &Request) -> Result<Verdict, String> {
        judge(config.limit, request)
    }

    fn lenient(config: &Lenient, request: &Request) -> Result<Verdict, String> {
        judge(config.limit, request)
    }

    fn judge(limit: usize, request: &Request) -> Result<Verdict, String> {
        match request.tenant.as_str() {
            "fail" => Err("cannot \"judge\"".to_owned()),
            "nan" => Ok(Verdict::allow().score("risk", f64::NAN)),
            _ if request.content.len() > limit => {
                Ok(Verdict::deny().finding(Finding::new("too.many", Severity::Low, "too many")))
            }
            _ => Ok(Verdict::allow()),
        }
    }

    /// Writes as the host does: into the buffer it was told to use.
    fn put<C: DeserializeOwned>(guest: &mut Guest<C>, json: &[u8]) -> (i32, i32) {
        let length = json.len() as i32;
        let pointer = guest.alloc(length);
        guest.input.copy_from_slice(json);
        (pointer, length)
    }

    fn configure<C: DeserializeOwned>(guest: &mut Guest<C>, json: &str) -> Result<(), String> {
        let (pointer, length) = put(guest, json.as_bytes());
        match guest.configure(pointer, length) {
            0 => Ok(()),
            place => Err(output(guest, place)),
        }
    }

    fn ask<C: DeserializeOwned>(guest: &mut Guest<C>, evaluate: Evaluate<C>, json: &str) -> String {
        let (pointer, length) = put(guest, json.as_bytes());
        let place = guest.evaluate(pointer, length, evaluate);
        output(guest, place)
    }

    fn output<C>(guest: &Guest<C>, place: i64) -> String {
        assert_eq!((place >> 32) as i32, address(&guest.output));
        assert_eq!(place as u32 as usize, guest.output.len());
        String::from_utf8(guest.output.clone()).unwrap()
    }

    const ALLOW: &str = r#"{"effect":"allow"}"#;
    const TOO_MANY: &str =
        r#"{"effect":"deny","findings":[{"code":"too.many","severity":"low","message":"too many"}]}"#;

    #[test]
    fn a_configured_policy_judges() {
        let mut guest = Guest::new();
        assert_eq!(configure(&mut guest, r#"{"limit":1}"#), Ok(()));
        assert_eq!(ask(&mut guest, strict, r#"{"content":[{}]}"#), ALLOW);
        assert_eq!(ask(&mut guest, strict, r#"{"content":[{},{}]}"#), TOO_MANY);
        assert_eq!(ask(&mut guest, strict, "{}"), ALLOW);
    }

    #[test]
    fn defaults_serve_a_policy_that_is_not_configured() {
        let mut guest = Guest::new();
        assert_eq!(ask(&mut guest, lenient, r#"{"content":[{}]}"#), TOO_MANY);
        let error = configure(&mut guest, r#"{"limit":1}"#).unwrap_err();
        assert_eq!(error, "configured already: that happens once, before the first request");
        assert_eq!(ask(&mut guest, lenient, r#"{"content":[{}]}"#), TOO_MANY);
    }

    #[test]
    fn without_defaults_a_policy_must_be_configured() {
        let mut guest = Guest::new();
        assert_eq!(
            ask(&mut guest, strict, "{}"),
            r#"{"error":"not configured, and `{}` is no configuration: missing field `limit` at line 1 column 2"}"#
        );
        assert_eq!(configure(&mut guest, r#"{"limit":1}"#), Ok(()));
        assert_eq!(ask(&mut guest, strict, "{}"), ALLOW);
    }

    #[test]
    fn a_refused_configuration_is_never_replaced_by_defaults() {
        let mut guest = Guest::new();
        let error = configure(&mut guest, r#"{"limit":-1}"#).unwrap_err();
        assert_eq!(error, "invalid value: integer `-1`, expected usize at line 1 column 11");
        assert_eq!(
            ask(&mut guest, lenient, "{}"),
            format!(r#"{{"error":"the configuration was refused: {error}"}}"#)
        );
        assert_eq!(configure(&mut guest, r#"{"limit":1}"#), Ok(()));
        assert_eq!(ask(&mut guest, lenient, "{}"), ALLOW);
    }

    #[test]
    fn unknown_keys_are_the_config_types_business() {
        let mut guest = Guest::<Strict>::new();
        let error = configure(&mut guest, r#"{"limit":1,"lmit":2}"#).unwrap_err();
        assert_eq!(error, "unknown field `lmit`, expected `limit` at line 1 column 17");
    }

    #[test]
    fn a_policy_may_read_less_than_a_request() {
        #[derive(serde::Deserialize)]
        struct Payment {
            payload: Amount,
        }
        #[derive(serde::Deserialize)]
        struct Amount {
            amount: f64,
        }
        fn evaluate(config: &Lenient, Payment { payload }: &Payment) -> Result<Verdict, String> {
            Ok(if payload.amount > config.limit as f64 { Verdict::deny() } else { Verdict::allow() })
        }
        let mut guest = Guest::new();
        assert_eq!(configure(&mut guest, r#"{"limit":10}"#), Ok(()));
        let (pointer, length) = put(&mut guest, br#"{"checkpoint":"tool.call","payload":{"amount":10.5,"to":"x"}}"#);
        let place = guest.evaluate(pointer, length, evaluate);
        assert_eq!(output(&guest, place), r#"{"effect":"deny"}"#);
        let (pointer, length) = put(&mut guest, b"{}");
        let place = guest.evaluate(pointer, length, evaluate);
        assert_eq!(output(&guest, place), r#"{"error":"the request: missing field `payload` at line 1 column 2"}"#);
    }

    #[test]
    fn errors_are_answers() {
        let mut guest = Guest::new();
        for (request, answer) in [
            (r#"{"tenant":"fail"}"#, r#"{"error":"cannot \"judge\""}"#),
            (r#"{"tenant":"nan"}"#, r#"{"error":"the score `risk` is NaN, but a score is a risk from 0 to 1"}"#),
            ("", r#"{"error":"the request: EOF while parsing a value at line 1 column 0"}"#),
            ("{} {}", r#"{"error":"the request: trailing characters at line 1 column 4"}"#),
        ] {
            assert_eq!(ask(&mut guest, lenient, request), answer);
        }
        let (pointer, length) = put(&mut guest, b"\"\xff\"");
        let place = guest.evaluate(pointer, length, lenient);
        assert_eq!(
            output(&guest, place),
            r#"{"error":"the request: invalid utf-8 sequence of 1 bytes from index 1"}"#
        );
        assert_eq!(ask(&mut guest, lenient, "{}"), ALLOW);
    }

    #[test]
    fn a_pointer_of_the_hosts_own_is_not_followed() {
        let mut guest = Guest::new();
        let (pointer, length) = put(&mut guest, b"{}");
        let wrong = "it does not lie where weir_alloc made room";
        for (pointer, length) in [(pointer + 1, 1), (pointer, length + 1), (pointer, -1), (0, 0)] {
            let place = guest.evaluate(pointer, length, lenient);
            assert_eq!(output(&guest, place), format!(r#"{{"error":"the request: {wrong}"}}"#));
        }
        let place = Guest::<Strict>::new().configure(pointer, length);
        assert_eq!(place as u32 as usize, wrong.len());
    }

    #[test]
    fn the_input_may_be_shorter_than_its_room() {
        let mut guest = Guest::new();
        let (pointer, _) = put(&mut guest, b"{}trailing");
        let place = guest.evaluate(pointer, 2, lenient);
        assert_eq!(output(&guest, place), ALLOW);
    }
}
