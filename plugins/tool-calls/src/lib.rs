//! Tool calls in the shapes that models and gateways write them in, read into one.
//!
//! | shape | where in `payload` | arguments |
//! |---|---|---|
//! | Weir | `arguments`, with the tool in `action.name` | object |
//! | OpenAI chat | `tool_calls[]`, `function_call`, `message`, `choices[].message` | JSON text |
//! | OpenAI responses | `output[]` of type `function_call` | JSON text |
//! | Anthropic | `content[]` of type `tool_use` | object `input` |
//! | MCP | `params` beside `method: "tools/call"`, one or a batch | object |
//! | hooks of coding agents | `tool_name` and `tool_input` | object |
//!
//! Whatever looks like a call and cannot be read is a [`Malformed`], never passed over: a call that a policy does not see is
//! a call that nobody has judged.

mod arguments;
mod shapes;

use serde_json::Value;

pub use arguments::{span, strict};
pub use shapes::calls;

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its id, where the shape has one.
    pub id: Option<String>,
    /// The tool, as the call names it.
    pub name: String,
    /// JSON pointer of the name in the request.
    pub name_at: String,
    /// What it is called with: an object.
    pub arguments: Value,
    /// Where they stand.
    pub place: Place,
}

/// Where arguments stand in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// As an object at this JSON pointer.
    Object(String),
    /// As JSON text at this JSON pointer.
    Text(String),
}

impl Place {
    /// The JSON pointer in the request that shows an argument best: the argument itself, or the text it stands in.
    pub fn of(&self, argument: &str) -> String {
        match self {
            Place::Object(at) => format!("{at}{argument}"),
            Place::Text(at) => at.clone(),
        }
    }
}

/// Something that looks like a call and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// JSON pointer into the request.
    pub at: String,
    /// What is wrong, in a sentence that quotes nothing of it.
    pub why: String,
}

/// A JSON pointer's next segment, escaped.
pub fn segment(key: &str) -> String {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1") } else { key.to_owned() }
}
