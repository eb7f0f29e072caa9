//! The shapes, one function each.

use serde_json::Value;

use crate::{Call, Malformed, Place, arguments};

/// Names in `action.name` that say that a tool is called, but not which.
const ANY_TOOL: [&str; 4] = ["", "call", "tool.call", "tools/call"];

/// Every call in a request: `action` is `action.name`, `payload` the payload. Calls that are written side by side come in
/// their order.
///
/// # Errors
/// All that looks like a call and cannot be read, or that there is no call at all.
pub fn calls(action: &str, payload: &Value) -> Result<Vec<Call>, Vec<Malformed>> {
    let mut found = Found::default();
    found.payload("/payload".to_owned(), payload);
    let Found { mut calls, mut malformed, read } = found;
    overlooked("/payload", payload, &read, &mut malformed);
    let tool = (!ANY_TOOL.contains(&action)).then_some(action);
    match tool {
        Some(tool) if calls.is_empty() && malformed.is_empty() => match plain(tool, payload) {
            Ok(call) => calls.push(call),
            Err(why) => malformed.push(why),
        },
        Some(tool) if !calls.is_empty() && !calls.iter().any(|call| call.name == tool) => {
            malformed.push(wrong("/action/name", "it names another tool than the calls in `payload`"));
        }
        _ if !calls.is_empty() && payload.get("arguments").is_some() => {
            malformed.push(wrong("/payload/arguments", "it stands beside calls in another shape"));
        }
        None if calls.is_empty() && malformed.is_empty() => {
            malformed.push(wrong("/payload", "there is no tool call in it, and `action.name` names no tool"));
        }
        _ => {}
    }
    if malformed.is_empty() { Ok(calls) } else { Err(malformed) }
}

/// The tool in `action.name`, called with `payload.arguments`.
fn plain(tool: &str, payload: &Value) -> Result<Call, Malformed> {
    let at = "/payload/arguments".to_owned();
    let (arguments, place) = match payload.get("arguments") {
        Some(arguments) => object(arguments, at)?,
        None if payload.is_null() => (Value::Object(Default::default()), Place::Object(at)),
        None => return Err(wrong("/payload", "it has no `arguments`, and no tool call in a known shape")),
    };
    Ok(Call { id: None, name: tool.to_owned(), name_at: "/action/name".to_owned(), arguments, place })
}

#[derive(Default)]
struct Found {
    calls: Vec<Call>,
    malformed: Vec<Malformed>,
    /// JSON pointers of the objects that have been read as calls, whatever came of them.
    read: Vec<String>,
}

/// Keys of what a call is made with, in lower case without separators.
const ARGUMENTS: [&str; 6] = ["arguments", "input", "args", "toolinput", "toolarguments", "functionarguments"];
/// Keys that name what is called, likewise.
const NAMES: [&str; 5] = ["name", "toolname", "functionname", "recipientname", "tool"];
/// What the type of a call or the key of one holds, likewise.
const WORDS: [&str; 6] = ["tooluse", "toolcall", "functioncall", "mcpcall", "calltool", "toolscall"];

/// Tells of every object that looks like a call and has not been read as one: what is not seen is not judged. What calls are
/// made with is theirs, and is not looked into.
fn overlooked(at: &str, value: &Value, read: &[String], malformed: &mut Vec<Malformed>) {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(place, item)| overlooked(&format!("{at}/{place}"), item, read, malformed)),
        Value::Object(members) => {
            let is_read = read.iter().any(|known| known == at);
            // What has been read as one shape may be another one, too.
            let method = members.get("method").is_some_and(|method| *method != "tools/call" && says(method));
            if method || !is_read && looks_like_a_call(members) {
                malformed.push(wrong(at, "it looks like a tool call, in no shape that is known"));
                return;
            }
            for (key, value) in members {
                let is_theirs = is_read && is_one_of(key, &ARGUMENTS);
                // `arguments` of the whole payload are those of `action.name`.
                if !(is_theirs || at == "/payload" && key == "arguments") {
                    overlooked(&format!("{at}/{}", crate::segment(key)), value, read, malformed);
                }
            }
        }
        _ => {}
    }
}

fn looks_like_a_call(members: &serde_json::Map<String, Value>) -> bool {
    let has = |keys: &[&str]| members.keys().any(|key| is_one_of(key, keys));
    // A list of calls is none itself; under a key that is nearly the right one nobody would look into it.
    let nearly = members.iter().any(|(key, value)| {
        let listed = is_one_of(key, &["toolcalls", "functioncall", "tooluse"]);
        let known = ["tool_calls", "function_call"].contains(&key.as_str());
        listed && !known && (value.is_object() || value.is_array())
    });
    nearly
        || has(&NAMES) && has(&ARGUMENTS)
        || ["type", "method"].iter().any(|key| members.get(*key).is_some_and(says))
}

/// Whether a value speaks of calls of tools.
fn says(value: &Value) -> bool {
    let value = plain_key(&value.to_string());
    WORDS.iter().any(|word| value.contains(word))
}

/// Whether a key is one of these, but for case and separators.
fn is_one_of(key: &str, words: &[&str]) -> bool {
    let plain = || key.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    words.iter().any(|word| plain().eq(word.bytes()))
}

/// A text without case and separators.
fn plain_key(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl Found {
    fn payload(&mut self, at: String, payload: &Value) {
        if let Value::Array(batch) = payload {
            for (place, item) in batch.iter().enumerate().filter(|(_, item)| item.is_object()) {
                self.payload(format!("{at}/{place}"), item);
            }
            return;
        }
        self.mcp(at.clone(), payload);
        self.openai_message(&at, payload);
        if let Some(message) = payload.get("message") {
            self.openai_message(&format!("{at}/message"), message);
        }
        for (place, choice) in items(payload, "choices") {
            let at = format!("{at}/choices/{place}/message");
            choice.get("message").into_iter().for_each(|message| self.openai_message(&at, message));
        }
        for (place, item) in items(payload, "output").filter(|(_, item)| item["type"] == "function_call") {
            self.add(format!("{at}/output/{place}"), item, "call_id", "name", "arguments");
        }
        for (place, item) in items(payload, "content").filter(|(_, item)| item["type"] == "tool_use") {
            self.add(format!("{at}/content/{place}"), item, "id", "name", "input");
        }
        if payload.get("tool_name").is_some() {
            self.add(at, payload, "tool_use_id", "tool_name", "tool_input");
        }
    }

    fn openai_message(&mut self, at: &str, message: &Value) {
        match message.get("tool_calls") {
            None | Some(Value::Null) => {}
            Some(Value::Array(calls)) => {
                for (place, call) in calls.iter().enumerate() {
                    self.openai_call(format!("{at}/tool_calls/{place}"), call);
                }
            }
            Some(_) => self.malformed.push(wrong(&format!("{at}/tool_calls"), "it is no array")),
        }
        if let Some(call) = message.get("function_call").filter(|call| !call.is_null()) {
            self.add(format!("{at}/function_call"), call, "id", "name", "arguments");
        }
    }

    fn openai_call(&mut self, at: String, call: &Value) {
        let function = call.get("function");
        match function {
            Some(function) => {
                let before = self.calls.len();
                self.add(format!("{at}/function"), function, "id", "name", "arguments");
                let id = call.get("id").and_then(Value::as_str);
                self.calls[before..].iter_mut().for_each(|call| call.id = id.map(str::to_owned));
            }
            None => {
                self.malformed.push(wrong(&at, "a tool call without `function` is in no shape that is known"));
                self.read.push(at);
            }
        }
    }

    fn mcp(&mut self, at: String, message: &Value) {
        if message.get("method").is_none_or(|method| method != "tools/call") {
            return;
        }
        self.read.push(at.clone());
        match message.get("params") {
            Some(params) => {
                // MCP's arguments may be left out.
                let none = Value::Object(Default::default());
                let at = format!("{at}/params");
                let arguments = params.get("arguments").unwrap_or(&none);
                self.add_with(at.clone(), params, None, "name", arguments, format!("{at}/arguments"));
            }
            None => self.malformed.push(wrong(&at, "`tools/call` has no `params`")),
        }
    }

    fn add(&mut self, at: String, call: &Value, id: &str, name: &str, arguments: &str) {
        let id = call.get(id).and_then(Value::as_str).map(str::to_owned);
        let arguments_at = format!("{at}/{arguments}");
        match call.get(arguments) {
            Some(arguments) => self.add_with(at, call, id, name, arguments, arguments_at),
            None => {
                self.malformed.push(wrong(&at, "the call has no arguments"));
                self.read.push(at);
            }
        }
    }

    fn add_with(
        &mut self,
        at: String,
        call: &Value,
        id: Option<String>,
        name: &str,
        arguments: &Value,
        arguments_at: String,
    ) {
        self.read.push(at.clone());
        let name_at = format!("{at}/{name}");
        let Some(name) = call.get(name).and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            self.malformed.push(wrong(&name_at, "the call names no tool"));
            return;
        };
        match object(arguments, arguments_at) {
            Ok((arguments, place)) => {
                self.calls.push(Call { id, name: name.to_owned(), name_at, arguments, place });
            }
            Err(malformed) => self.malformed.push(malformed),
        }
    }
}

fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (usize, &'v Value)> {
    value.get(key).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// Arguments as an object, from itself or from JSON text.
fn object(arguments: &Value, at: String) -> Result<(Value, Place), Malformed> {
    match arguments {
        Value::Object(_) => Ok((arguments.clone(), Place::Object(at))),
        Value::String(text) => match arguments::strict(text) {
            Ok(value @ Value::Object(_)) => Ok((value, Place::Text(at))),
            Ok(_) => Err(wrong(&at, "the arguments are JSON, but no object")),
            Err(why) => Err(wrong(&at, &format!("the arguments cannot be read: {why}"))),
        },
        _ => Err(wrong(&at, "the arguments are neither an object nor JSON text")),
    }
}

fn wrong(at: &str, why: &str) -> Malformed {
    Malformed { at: at.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(action: &str, payload: Value) -> Call {
        let mut calls = calls(action, &payload).unwrap();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    fn why(action: &str, payload: Value) -> (String, String) {
        let malformed = calls(action, &payload).unwrap_err();
        assert_eq!(malformed.len(), 1, "{malformed:?}");
        (malformed[0].at.clone(), malformed[0].why.clone())
    }

    #[test]
    fn one_call_is_the_same_in_every_shape() {
        let arguments = json!({"to": "a", "n": 1});
        let text = arguments.to_string();
        for (action, payload, name_at, place) in [
            ("pay", json!({"arguments": arguments}), "/action/name", Place::Object("/payload/arguments".into())),
            ("pay", json!({"arguments": text}), "/action/name", Place::Text("/payload/arguments".into())),
            (
                "tool.call",
                json!({"tool_calls": [{"id": "c", "type": "function", "function": {"name": "pay", "arguments": text}}]}),
                "/payload/tool_calls/0/function/name",
                Place::Text("/payload/tool_calls/0/function/arguments".into()),
            ),
            (
                "",
                json!({"choices": [{"message": {"tool_calls": [{"id": "c", "function": {"name": "pay", "arguments": text}}]}}]}),
                "/payload/choices/0/message/tool_calls/0/function/name",
                Place::Text("/payload/choices/0/message/tool_calls/0/function/arguments".into()),
            ),
            (
                "",
                json!({"message": {"function_call": {"name": "pay", "arguments": text}}}),
                "/payload/message/function_call/name",
                Place::Text("/payload/message/function_call/arguments".into()),
            ),
            (
                "pay",
                json!({"output": [{"type": "message"}, {"type": "function_call", "call_id": "c", "name": "pay", "arguments": text}]}),
                "/payload/output/1/name",
                Place::Text("/payload/output/1/arguments".into()),
            ),
            (
                "",
                json!({"role": "assistant", "content": [{"type": "text", "text": "."}, {"type": "tool_use", "id": "c", "name": "pay", "input": arguments}]}),
                "/payload/content/1/name",
                Place::Object("/payload/content/1/input".into()),
            ),
            (
                "tools/call",
                json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "pay", "arguments": arguments}}),
                "/payload/params/name",
                Place::Object("/payload/params/arguments".into()),
            ),
            (
                "",
                json!({"hook_event_name": "PreToolUse", "tool_name": "pay", "tool_input": arguments, "tool_use_id": "c"}),
                "/payload/tool_name",
                Place::Object("/payload/tool_input".into()),
            ),
        ] {
            let call = one(action, payload);
            assert_eq!((call.name.as_str(), &call.arguments), ("pay", &arguments), "{call:?}");
            assert_eq!((call.name_at.as_str(), &call.place), (name_at, &place));
        }
    }

    #[test]
    fn parallel_calls_come_in_their_order_with_their_ids() {
        let call = |id: &str| json!({"id": id, "function": {"name": id, "arguments": "{}"}});
        let found = calls("", &json!({"tool_calls": [call("a"), call("b"), call("c")]})).unwrap();
        let ids: Vec<_> = found.iter().map(|call| call.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        let call = |name: &str| json!({"method": "tools/call", "params": {"name": name}});
        let found = calls("", &json!([call("a"), {"method": "ping"}, call("b")])).unwrap();
        assert_eq!(found[1].name_at, "/payload/2/params/name");
    }

    #[test]
    fn what_looks_like_a_call_and_is_none_is_told() {
        let openai =
            |arguments: Value| json!({"tool_calls": [{"function": {"name": "pay", "arguments": arguments}}]});
        let at = "/payload/tool_calls/0/function/arguments";
        for (payload, at, told) in [
            (openai(json!("{\"to\":")), at, "no JSON"),
            (openai(json!("[1]")), at, "no object"),
            (openai(json!("{\"to\":1,\"to\":2}")), at, "twice"),
            (openai(json!(7)), at, "neither an object nor JSON text"),
            (json!({"tool_calls": {}}), "/payload/tool_calls", "no array"),
            (json!({"tool_calls": [{"type": "custom"}]}), "/payload/tool_calls/0", "no shape that is known"),
            (
                json!({"tool_calls": [{"function": {"name": "pay"}}]}),
                "/payload/tool_calls/0/function",
                "no arguments",
            ),
            (
                json!({"tool_calls": [{"function": {"name": "", "arguments": "{}"}}]}),
                "/payload/tool_calls/0/function/name",
                "names no tool",
            ),
            (
                json!({"content": [{"type": "tool_use", "name": 7, "input": {}}]}),
                "/payload/content/0/name",
                "names no tool",
            ),
            (json!({"method": "tools/call"}), "/payload", "no `params`"),
            (json!({"method": "tools/call", "params": {"arguments": {}}}), "/payload/params/name", "names no tool"),
            (json!({"arguments": {}}), "/payload", "no tool call in it"),
            (json!(null), "/payload", "no tool call in it"),
        ] {
            let (found, why) = why("", payload);
            assert_eq!(found, at, "{why}");
            assert!(why.contains(told), "{why}");
        }
        assert_eq!(why("pay", json!({"amount": 7})).0, "/payload");
        assert_eq!(
            why("mail", openai(json!("{}"))),
            ("/action/name".into(), "it names another tool than the calls in `payload`".into())
        );
    }

    #[test]
    fn a_call_beside_one_that_is_read_is_never_overlooked() {
        let used = json!({"type": "tool_use", "id": "z", "name": "pay", "input": {"to": "x"}});
        let function = json!({"name": "pay", "arguments": "{}"});
        for hidden in [
            json!({"message": {"role": "assistant", "content": [used]}}),
            json!({"choices": [{"message": {"content": [used]}}]}),
            json!({"choices": [{"delta": {"tool_calls": [{"function": function}]}}]}),
            json!({"choices": {"message": {"tool_calls": [{"function": function}]}}}),
            json!({"content": used}),
            json!({"output": {"type": "function_call", "name": "pay", "arguments": "{}"}}),
            json!({"content": [{"type": "server_tool_use", "name": "pay", "input": {}}]}),
            json!({"content": [{"type": "Tool_use", "name": "pay", "input": {}}]}),
            json!({"output": [{"type": "custom_tool_call", "name": "sh", "input": "rm"}]}),
            json!({"output": [{"type": "mcp_call", "label": "x"}]}),
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": function}]}]}),
            json!({"response": {"output": [{"type": "function_call", "name": "pay", "arguments": "{}"}]}}),
            json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "pay", "args": {}}}]}}]}),
            json!({"method": ["tools/call"], "params": {"name": "pay"}}),
            json!({"method": "tools/call ", "params": {"name": "pay"}}),
            json!({"arguments": {"to": "x"}}),
            json!({"Tool_Calls": [{"function": function}]}),
        ] {
            let mut payload = json!({"tool_calls": [{"function": {"name": "mail.read", "arguments": "{}"}}]});
            payload.as_object_mut().unwrap().extend(hidden.as_object().unwrap().clone());
            assert!(calls("", &payload).is_err(), "{hidden}");
            let mut beside = json!({"tool_name": "mail.read", "tool_input": {"function": {"name": "a", "input": 1}}});
            beside.as_object_mut().unwrap().extend(hidden.as_object().unwrap().clone());
            assert!(calls("", &beside).is_err(), "{hidden}");
        }
        let custom = json!({"tool_calls": [{"type": "custom", "function": {"name": "mail.read", "arguments": "{}"},
                                            "custom": {"name": "sh", "input": "rm"}}]});
        assert!(calls("", &custom).is_err());
        let batch =
            json!([{"method": "tools/call", "params": {"name": "a"}}, {"tool_calls": [{"function": function}]}]);
        assert_eq!(calls("", &batch).unwrap().len(), 2, "each of a batch may have a shape of its own");
        let tools = json!({"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}],
                           "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]});
        assert_eq!(calls("", &tools).unwrap().len(), 1, "what could be called is no call");
    }

    #[test]
    fn one_bad_call_is_told_beside_good_ones() {
        let payload = json!({"tool_calls": [
            {"function": {"name": "a", "arguments": "{}"}}, {"function": {"name": "b", "arguments": "{"}}]});
        assert_eq!(why("", payload).0, "/payload/tool_calls/1/function/arguments");
    }
}
