//! The configuration: as written, and checked.

use serde::Deserialize;
use weir_sdk::state::Window;
use weir_sdk::{Effect, Value};
use wildmatch::WildMatch;

use crate::narrow::Narrow;
use crate::pointer::Pattern;
use crate::rules::Rule;
use crate::schema::Schema;

/// A checked configuration.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    pub(crate) tools: Vec<Tool>,
    /// JSON pointer in the request to what names a session.
    pub(crate) session: String,
    /// JSON pointer in the request to the calls that the user has confirmed.
    pub(crate) confirmed: String,
    /// Values that nobody has to have said, in lower case.
    pub(crate) known: Vec<WildMatch>,
    /// What a value comes to that nobody trusted has said.
    pub(crate) unproven: Effect,
    pub(crate) calls: Option<Quota>,
    pub(crate) repeats: Option<Quota>,
    pub(crate) order: Vec<Order>,
    /// How long a session is remembered.
    pub(crate) remember: Window,
}

/// One tool, or several by a glob.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: WildMatch,
    pub(crate) agents: Vec<WildMatch>,
    pub(crate) systems: Vec<WildMatch>,
    /// Its kinds of side effects and its other labels.
    pub(crate) labels: Vec<String>,
    pub(crate) schema: Option<Schema>,
    pub(crate) confirm: bool,
    /// Arguments whose values must have been said by somebody who is trusted; none: those that look like a name of something.
    pub(crate) trusted: Option<Vec<Pattern>>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) narrow: Vec<Narrow>,
    pub(crate) calls: Option<Quota>,
    pub(crate) spend: Option<Spend>,
}

/// So many within a time.
#[derive(Debug)]
pub(crate) struct Quota {
    pub(crate) most: u64,
    pub(crate) window: Window,
}

/// So much money within a time.
#[derive(Debug)]
pub(crate) struct Spend {
    pub(crate) at: Pattern,
    /// In millionths of the argument's unit.
    pub(crate) most: u64,
    pub(crate) window: Window,
    pub(crate) per: SpendPer,
}

/// Whose money it is, within a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpendPer {
    Session,
    User,
    Tenant,
}

/// After calls with all of these labels in a session, one with that label is no longer allowed.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) after: Vec<String>,
    pub(crate) then: String,
    pub(crate) effect: Effect,
}

/// The label of a session in which something was read that anybody may have written.
pub(crate) const UNTRUSTED: &str = "untrusted";
const KINDS: [&str; 5] = ["read", "write", "irreversible", "egress", "spend"];

impl Tool {
    pub(crate) fn is(&self, label: &str) -> bool {
        self.labels.iter().any(|mine| mine == label)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    tools: Vec<RawTool>,
    #[serde(default = "session")]
    session: String,
    #[serde(default = "confirmed")]
    confirmed: String,
    #[serde(default)]
    known: Vec<String>,
    #[serde(default)]
    unproven: RawEffect,
    calls: Option<RawQuota>,
    repeats: Option<RawQuota>,
    #[serde(default)]
    order: Vec<RawOrder>,
    #[serde(default = "day")]
    remember: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTool {
    name: String,
    agents: Option<Vec<String>>,
    systems: Option<Vec<String>>,
    kinds: Vec<String>,
    #[serde(default)]
    labels: Vec<String>,
    schema: Option<Value>,
    confirm: Option<bool>,
    trusted: Option<Vec<String>>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    narrow: Vec<Narrow>,
    calls: Option<RawQuota>,
    spend: Option<RawSpend>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuota {
    most: u64,
    window: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSpend {
    at: String,
    most: f64,
    window: String,
    #[serde(default = "per_session")]
    per: SpendPer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOrder {
    after: Vec<String>,
    then: String,
    #[serde(default)]
    effect: RawEffect,
}

/// An effect other than allow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawEffect {
    #[default]
    Review,
    Deny,
}

impl From<RawEffect> for Effect {
    fn from(effect: RawEffect) -> Effect {
        match effect {
            RawEffect::Review => Effect::Review,
            RawEffect::Deny => Effect::Deny,
        }
    }
}

fn session() -> String {
    "/context/session".to_owned()
}

fn confirmed() -> String {
    "/context/confirmed".to_owned()
}

fn day() -> String {
    "1d".to_owned()
}

fn per_session() -> SpendPer {
    SpendPer::Session
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Config, String> {
        let RawConfig { tools, session, confirmed, known, unproven, calls, repeats, order, remember } = raw;
        Pattern::new(&session)?;
        Pattern::new(&confirmed)?;
        let tools: Vec<Tool> = tools.into_iter().map(Tool::try_from).collect::<Result<_, _>>()?;
        let order = order.into_iter().map(|order| checked_order(order, &tools)).collect::<Result<_, _>>()?;
        Ok(Config {
            tools,
            session,
            confirmed,
            known: known.iter().map(|value| WildMatch::new(&value.to_lowercase())).collect(),
            unproven: unproven.into(),
            calls: calls.map(|quota| quota.checked("calls")).transpose()?,
            repeats: repeats.map(|quota| quota.checked("repeats")).transpose()?,
            order,
            remember: window(&remember, "remember")?,
        })
    }
}

fn checked_order(RawOrder { after, then, effect }: RawOrder, tools: &[Tool]) -> Result<Order, String> {
    let known = |label: &String| label == UNTRUSTED || tools.iter().any(|tool| tool.is(label));
    if after.is_empty() {
        return Err("`order`: `after` is empty".to_owned());
    }
    if let Some(label) = after.iter().chain([&then]).find(|label| !known(label)) {
        return Err(format!("`order`: no tool has the kind or label `{label}`"));
    }
    Ok(Order { after, then, effect: effect.into() })
}

impl TryFrom<RawTool> for Tool {
    type Error = String;

    fn try_from(raw: RawTool) -> Result<Tool, String> {
        let RawTool { name, agents, systems, kinds, labels, schema, confirm, trusted, rules, narrow, calls, spend } =
            raw;
        let of = |why: String| format!("tool `{name}`: {why}");
        if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(of(format!("`{kind}` is no kind of side effect, expected {}", KINDS.join(", "))));
        }
        if kinds.is_empty() {
            return Err(of("`kinds` is empty: say what it does to the world, if only `read`".to_owned()));
        }
        let globs = |names: Option<Vec<String>>| {
            names.unwrap_or_else(|| vec!["*".to_owned()]).iter().map(|name| WildMatch::new(name)).collect()
        };
        let has = |kind: &str| kinds.iter().any(|mine| mine == kind);
        let confirm = confirm.unwrap_or_else(|| has("irreversible") || has("spend"));
        let schema = schema.map(|schema| Schema::compile(&schema)).transpose();
        let trusted = trusted.map(|pointers| pointers.iter().map(|text| Pattern::new(text)).collect()).transpose();
        Ok(Tool {
            name: WildMatch::new(&name),
            agents: globs(agents),
            systems: globs(systems),
            schema: schema.map_err(|why| of(format!("its schema: {why}")))?,
            confirm,
            trusted: trusted.map_err(of)?,
            rules,
            narrow,
            calls: calls.map(|quota| quota.checked("calls")).transpose().map_err(of)?,
            spend: spend.map(Spend::try_from).transpose().map_err(of)?,
            labels: kinds.into_iter().chain(labels).collect(),
        })
    }
}

impl RawQuota {
    fn checked(self, key: &str) -> Result<Quota, String> {
        Ok(Quota { most: self.most, window: window(&self.window, key)? })
    }
}

impl TryFrom<RawSpend> for Spend {
    type Error = String;

    fn try_from(RawSpend { at, most, window, per }: RawSpend) -> Result<Spend, String> {
        let most = micros(most).ok_or_else(|| format!("`spend.most` is {most}, expected 0 to 9,000,000,000"))?;
        Ok(Spend { at: Pattern::new(&at)?, most, window: self::window(&window, "spend")?, per })
    }
}

/// Millionths, rounded up; none of what is no amount of money.
pub(crate) fn micros(amount: f64) -> Option<u64> {
    let micros = (amount * 1e6).ceil();
    (0.0..=9e15).contains(&micros).then_some(micros as u64)
}

/// `90s`, `1m`, `12h`, `30d`.
fn window(text: &str, key: &str) -> Result<Window, String> {
    let wrong = || format!("`{key}`: `{text}` is no time such as `90s`, `10m`, `12h` or `30d`, up to 366d");
    Ok(Window::sliding_ms(Window::parse_ms(text).ok_or_else(wrong)?))
}
