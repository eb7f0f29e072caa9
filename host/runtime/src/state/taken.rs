//! What one evaluation of one policy has asked of the counters. Unless it is confirmed, it is as if it had never asked.

use serde::Serialize;

use super::counter::{Answer, Change, Counter, Reservation, Window};
use super::{Account, CounterName, Op, hash};

/// A host call and its answer, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StateCall {
    call: &'static str,
    key: String,
    /// Name of the estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    amount: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    window_ms: u64,
    window: &'static str,
    granted: bool,
    used: u64,
    resets_in_ms: u64,
}

impl StateCall {
    fn new(
        call: &'static str,
        key: &str,
        Amount { amount, window }: Amount,
        Answer { granted, used, resets_in_ms }: Answer,
        limit: Option<u64>,
        name: Option<&str>,
    ) -> StateCall {
        StateCall {
            call,
            key: key.to_owned(),
            name: name.map(str::to_owned),
            amount,
            limit,
            window_ms: window.millis(),
            window: window.kind().as_str(),
            granted,
            used,
            resets_in_ms,
        }
    }
}

/// How much, and over what time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) amount: u64,
    pub(crate) window: Window,
}

/// What was asked for and is neither confirmed nor given back.
#[derive(Default)]
pub(crate) struct Taken {
    account: Option<Account>,
    reserved: Vec<(CounterName, Reserved)>,
    calls: Vec<StateCall>,
}

/// What an evaluation leaves when it has come to its end.
#[derive(Clone, Copy)]
pub(super) enum Reserved {
    Take(Reservation),
    /// An estimate, with the hash of its name.
    Hold(Reservation, u64),
    /// What an estimate came to: hash of its name, amount.
    Settle(u64, u64),
}

impl Reserved {
    /// What has to be given back if it does not stand; a fact stands.
    fn refund(&self) -> Option<Reservation> {
        match self {
            Reserved::Take(reservation) | Reserved::Hold(reservation, _) => Some(*reservation),
            Reserved::Settle(..) => None,
        }
    }

    /// Changes the counter for good; what to write down, with the hash of a name where an estimate is made or settled.
    pub(super) fn stand(self, counter: &mut Counter, now: u64) -> (Change, Op, u64) {
        match self {
            Reserved::Take(reservation) => (counter.confirm(reservation, None), Op::Take, 0),
            Reserved::Hold(reservation, held) => (counter.confirm(reservation, Some(held)), Op::Hold, held),
            Reserved::Settle(held, amount) => match counter.settle(now, held, amount) {
                (change, true) => (change, Op::Settle, held),
                (change, false) => (change, Op::Take, 0),
            },
        }
    }
}

/// A counter as an evaluation has to see it that has spoken of estimates: as if all it has reserved stood. None where it
/// has not, since what was only taken is counted as it is.
pub(super) fn seen(
    counter: &Counter,
    name: CounterName,
    now: u64,
    reserved: &[(CounterName, Reserved)],
) -> Option<Counter> {
    let own = || reserved.iter().filter(|(of, _)| *of == name).map(|(_, reserved)| *reserved);
    own().find(|reserved| !matches!(reserved, Reserved::Take(_)))?;
    let mut counter = counter.clone();
    own().for_each(|reserved| _ = reserved.stand(&mut counter, now));
    Some(counter)
}

/// Why nothing could be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateError {
    /// There are as many counters as may be, and each of them still counts.
    Full,
    /// What was taken before could not be written down.
    Failing,
}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StateError::Full => "the host keeps as many counters as it may, and all of them still count",
            StateError::Failing => "the host cannot write down what is taken",
        })
    }
}

impl Taken {
    /// On these counters; without any on some that nobody else has.
    pub(crate) fn from(account: Option<Account>) -> Taken {
        Taken { account, reserved: Vec::new(), calls: Vec::new() }
    }

    /// Takes an amount where it fits below the limit; under a name it is an estimate that may be settled.
    pub(crate) fn take(
        &mut self,
        key: &str,
        wanted: Amount,
        limit: u64,
        name: Option<&str>,
    ) -> Result<Answer, StateError> {
        let Amount { window, amount } = wanted;
        let account = known(&mut self.account)?;
        let (counter, answer, reservation) = account.take(key, window, amount, limit, &self.reserved)?;
        if let Some(reservation) = reservation {
            let reserved = match name {
                Some(name) => Reserved::Hold(reservation, short(name)),
                None => Reserved::Take(reservation),
            };
            self.reserved.push((counter, reserved));
        }
        let call = if name.is_some() { "state_hold" } else { "state_take" };
        self.calls.push(StateCall::new(call, key, wanted, answer, Some(limit), name));
        Ok(answer)
    }

    /// Says what an estimate came to. It is a fact: it stands whatever the ruling, unless the policy itself fails.
    pub(crate) fn settle(&mut self, key: &str, wanted: Amount, name: &str) -> Result<Answer, StateError> {
        let Amount { window, amount } = wanted;
        let held = short(name);
        let reserved = &self.reserved;
        let settle = |name, counter: &mut Counter, now| match seen(counter, name, now, reserved) {
            Some(mut seen) => seen.would_settle(now, held, amount),
            None => counter.would_settle(now, held, amount),
        };
        let (counter, answer) = known(&mut self.account)?.with(key, window, settle)?;
        self.reserved.push((counter, Reserved::Settle(held, amount)));
        self.calls.push(StateCall::new("state_settle", key, wanted, answer, None, Some(name)));
        Ok(answer)
    }

    /// What was asked and answered, in order; told once.
    pub(crate) fn calls(&mut self) -> Vec<StateCall> {
        std::mem::take(&mut self.calls)
    }

    /// Whether there is nothing to confirm or give back.
    pub(crate) fn is_empty(&self) -> bool {
        self.reserved.is_empty()
    }

    /// The policy has answered: what it said of facts stands, and what it took where `allowed`.
    pub(crate) fn end(mut self, allowed: bool) {
        let Some(account) = self.account.take() else { return };
        let stands = |(_, reserved): &(CounterName, Reserved)| allowed || reserved.refund().is_none();
        let (standing, others): (Vec<_>, Vec<_>) = self.reserved.drain(..).partition(stands);
        account.confirm(standing.into_iter());
        give_back(&account, others);
    }
}

fn known(account: &mut Option<Account>) -> Result<&Account, StateError> {
    let account = account.get_or_insert_with(Account::alone);
    if account.is_failing() { Err(StateError::Failing) } else { Ok(account) }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            give_back(account, self.reserved.drain(..));
        }
    }
}

fn give_back(account: &Account, reserved: impl IntoIterator<Item = (CounterName, Reserved)>) {
    let refunds = reserved.into_iter().filter_map(|(name, reserved)| Some((name, reserved.refund()?)));
    refunds.for_each(|(name, reservation)| account.refund(&name, reservation));
}

/// Names of estimates are compared by hash: a counter may keep thousands.
fn short(name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash(&[name.as_bytes()]);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
