//! What requests and answers say of tokens, in the shapes of OpenAI, Anthropic and gateways.

use weir_sdk::{Request, Value};

use crate::config::Guess;

/// Most tokens that are believed of one call.
const MOST: u64 = 1 << 40;

/// Tokens of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// A number of tokens that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadNumber {
    /// JSON pointer.
    pub(crate) at: String,
}

/// The model that is asked; empty where nobody says.
pub(crate) fn model(request: &Request) -> &str {
    request.payload.get("model").and_then(Value::as_str).unwrap_or_default()
}

/// What ties an answer to its question: `payload.call`, else the request's own id.
pub(crate) fn call(request: &Request) -> &str {
    let call = request.payload.get("call").and_then(Value::as_str);
    call.filter(|call| !call.is_empty()).unwrap_or(&request.id)
}

/// What a call may come to: its texts and the most it may be answered with. A count of the caller's own is believed where
/// it is higher.
pub(crate) fn estimate(request: &Request, guess: Guess) -> Result<Tokens, BadNumber> {
    let bytes: usize = request.content.iter().map(|part| part.text.len()).sum();
    let guessed = (bytes as f64 / guess.bytes_per_token).ceil() as u64;
    let counted = number(&request.payload, &["input_tokens", "prompt_tokens"], "")?;
    let bounds = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    let bounds = bounds.map(|name| number(&request.payload, &[name], ""));
    let [one, two, three] = bounds;
    // Which of them a model keeps to is the model's affair: the largest counts.
    let output = one?.max(two?).max(three?).unwrap_or(guess.output_tokens);
    // `n` answers cost as much as so many calls, apart from the question; so does the best of so many.
    let answers =
        number(&request.payload, &["n"], "")?.max(number(&request.payload, &["best_of"], "")?).unwrap_or(1).max(1);
    let output = output.saturating_mul(answers).min(MOST);
    Ok(Tokens { input: guessed.max(counted.unwrap_or(0)), output })
}

/// What a call has come to; none where the answer does not say.
pub(crate) fn actual(request: &Request) -> Result<Option<Tokens>, BadNumber> {
    let Some(usage) = request.payload.get("usage").filter(|usage| !usage.is_null()) else { return Ok(None) };
    if !usage.is_object() {
        return Err(BadNumber { at: "/payload/usage".to_owned() });
    }
    let input = number(usage, &["prompt_tokens", "input_tokens"], "/usage")?;
    let output = number(usage, &["completion_tokens", "output_tokens"], "/usage")?;
    // Anthropic counts what was cached apart.
    let created = number(usage, &["cache_creation_input_tokens"], "/usage")?.unwrap_or(0);
    let read = number(usage, &["cache_read_input_tokens"], "/usage")?.unwrap_or(0);
    let total = number(usage, &["total_tokens"], "/usage")?;
    Ok(match (input, output, total) {
        (None, None, None) => None,
        (None, None, Some(total)) => Some(Tokens { input: 0, output: total }),
        _ => Some(Tokens { input: input.unwrap_or(0) + created + read, output: output.unwrap_or(0) }),
    })
}

/// The first of these that is there, which must be a count.
fn number(object: &Value, names: &[&str], below: &str) -> Result<Option<u64>, BadNumber> {
    let found = names.iter().find_map(|name| Some((name, object.get(name).filter(|value| !value.is_null())?)));
    let Some((name, value)) = found else { return Ok(None) };
    let count = value.as_u64().filter(|count| *count <= MOST);
    count.map(Some).ok_or_else(|| BadNumber { at: format!("/payload{below}/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Request {
        Request::from_json(json).unwrap()
    }

    #[test]
    fn an_estimate_is_what_a_call_may_come_to() {
        let guess = Guess::default();
        for (json, input, output) in [
            (r#"{}"#, 0, 1000),
            (r#"{"content":[{"text":"four"},{"text":"é"}],"payload":{"max_tokens":50}}"#, 2, 50),
            (
                r#"{"content":[{"text":"four"}],"payload":{"input_tokens":77,"max_completion_tokens":5,"n":3}}"#,
                77,
                15,
            ),
            (r#"{"payload":{"max_tokens":1,"max_completion_tokens":190000}}"#, 0, 190_000),
            (r#"{"payload":{"max_tokens":7,"best_of":4}}"#, 0, 28),
            (r#"{"content":[{"text":"four four four"}],"payload":{"prompt_tokens":1,"max_tokens":null}}"#, 5, 1000),
        ] {
            assert_eq!(estimate(&request(json), guess), Ok(Tokens { input, output }), "{json}");
        }
    }

    #[test]
    fn usage_is_read_in_every_shape() {
        for (usage, tokens) in [
            (r#"{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#, Some((7, 3))),
            (r#"{"input_tokens":7,"output_tokens":3}"#, Some((7, 3))),
            (
                r#"{"input_tokens":7,"output_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":90}"#,
                Some((102, 3)),
            ),
            (r#"{"total_tokens":10}"#, Some((0, 10))),
            (r#"{}"#, None),
            ("null", None),
        ] {
            let json = format!(r#"{{"payload":{{"usage":{usage}}}}}"#);
            let expected = tokens.map(|(input, output)| Tokens { input, output });
            assert_eq!(actual(&request(&json)), Ok(expected), "{usage}");
        }
        assert_eq!(actual(&request("{}")), Ok(None));
    }

    #[test]
    fn what_is_no_count_is_told_with_its_place() {
        let at = |json: &str| {
            let request = request(json);
            estimate(&request, Guess::default()).and_then(|_| actual(&request)).unwrap_err().at
        };
        assert_eq!(at(r#"{"payload":{"max_tokens":-1}}"#), "/payload/max_tokens");
        assert_eq!(at(r#"{"payload":{"max_tokens":1.5}}"#), "/payload/max_tokens");
        assert_eq!(at(r#"{"payload":{"n":"3"}}"#), "/payload/n");
        assert_eq!(at(r#"{"payload":{"usage":{"output_tokens":1e18}}}"#), "/payload/usage/output_tokens");
        assert_eq!(at(r#"{"payload":{"usage":7}}"#), "/payload/usage");
    }

    #[test]
    fn an_answer_is_tied_to_its_question() {
        assert_eq!(call(&request(r#"{"id":"r"}"#)), "r");
        assert_eq!(call(&request(r#"{"id":"r","payload":{"call":"c"}}"#)), "c");
        assert_eq!(call(&request(r#"{"id":"r","payload":{"call":""}}"#)), "r");
    }
}
