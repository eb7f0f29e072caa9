//! What a session has done before, counted by the host: how many calls, the same call again, what was spent, what was seen.

use weir_sdk::state::{Taken, take};
use weir_sdk::{Request, Value};

use crate::config::{Config, Quota, Spend, SpendPer, Tool, micros};
use crate::rules::number;

/// One session of an agent. Requests that name none share one, since what cannot be told apart counts together.
pub(crate) struct Session<'c> {
    config: &'c Config,
    name: String,
    user: String,
}

impl<'c> Session<'c> {
    pub(crate) fn of(config: &'c Config, request: &Request, look: &dyn Fn(&str) -> Option<Value>) -> Session<'c> {
        let name = match look(&config.session) {
            Some(Value::String(name)) => name,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        Session { config, name: short(&name), user: short(&request.subject.id) }
    }

    /// Remembers that it has seen what a label stands for.
    pub(crate) fn see(&self, label: &str) {
        take(&self.key("seen", label), 1, u64::MAX, self.config.remember);
    }

    pub(crate) fn has_seen(&self, label: &str) -> bool {
        take(&self.key("seen", label), 0, u64::MAX, self.config.remember).used > 0
    }

    /// Counts a call; the quota that has no room for it, and what was counted.
    pub(crate) fn call(
        &self,
        tool: &'c Tool,
        name: &str,
        arguments: &Value,
    ) -> Vec<(&'static str, &'c Quota, Taken)> {
        let same = format!("{name} {arguments}");
        let counted = [
            ("tool.too_many_calls", self.config.calls.as_ref(), self.key("calls", "")),
            ("tool.too_many_calls", tool.calls.as_ref(), self.key("calls of", name)),
            ("tool.repeated", self.config.repeats.as_ref(), self.key("same", &same)),
        ];
        let full = counted.into_iter().filter_map(|(code, quota, key)| {
            let quota = quota?;
            let taken = take(&key, 1, quota.most, quota.window);
            (!taken.granted).then_some((code, quota, taken))
        });
        full.collect()
    }

    /// Takes what a call spends; the answer where it says an amount.
    pub(crate) fn spend(&self, spend: &Spend, name: &str, arguments: &Value) -> Result<Taken, String> {
        let found = spend.at.find(arguments);
        let amounts: Option<Vec<u64>> = found.iter().map(|(_, value)| micros(number(value)?)).collect();
        let amounts = amounts.filter(|amounts| !amounts.is_empty()).ok_or_else(|| spend.at.as_str().to_owned())?;
        let amount = amounts.into_iter().fold(0, u64::saturating_add);
        let key = match spend.per {
            SpendPer::Session => self.key("spent by", name),
            SpendPer::User => format!("spent|{}|{}", self.user, short(name)),
            SpendPer::Tenant => format!("spent|{}", short(name)),
        };
        Ok(take(&key, amount, spend.most, spend.window))
    }

    fn key(&self, what: &str, of: &str) -> String {
        format!("{what}|{}|{}", self.name, short(of))
    }
}

/// A name as a key has it: itself where it is short, else its length and hash.
fn short(name: &str) -> String {
    const LONGEST: usize = 64;
    if name.len() <= LONGEST && !name.contains('|') {
        return name.to_owned();
    }
    // FNV-1a, twice: who makes two names collide has the two counted together, which is never too little.
    let hash =
        |start: u64| name.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("#{}:{:016x}{:016x}", name.len(), hash(0xcbf2_9ce4_8422_2325), hash(0x6c62_272e_07bb_0142))
}
