//! Budgets that outlive an evaluation; a policy that has some lists `"state"` in its `grants`.
//!
//! The host counts for each policy and tenant what was taken of a key within a window of time, by the time of requests.
//! What is taken is given back unless the ruling is *allow*, whoever else decided it. The imports appear in a module only
//! when the policy uses these functions. Natively they count on the calling thread, in windows that never end, and
//! `forget` begins anew.
//!
//! ```
//! use weir_sdk::state::{Window, take};
//!
//! let minute = Window::sliding_ms(60_000);
//! assert!(take("requests", 1, 2, minute).granted);
//! assert!(take("requests", 1, 2, minute).granted);
//! assert!(!take("requests", 1, 2, minute).granted);
//! ```

/// Over what time a limit holds: 1 ms to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    millis: u64,
    tumbling: bool,
}

impl Window {
    /// Any time of this length. The host counts in sixteenths of it, always towards the limit: what was taken counts for up
    /// to a sixteenth longer.
    pub const fn sliding_ms(millis: u64) -> Window {
        Window { millis, tumbling: false }
    }

    /// From one multiple of this length since 1970, UTC, to the next: `86_400_000` are calendar days.
    pub const fn tumbling_ms(millis: u64) -> Window {
        Window { millis, tumbling: true }
    }

    /// Milliseconds of `90s`, `10m`, `12h` or `30d`, as configurations write them: up to 366 days; none of anything else.
    pub fn parse_ms(text: &str) -> Option<u64> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let millis = number.parse::<u64>().ok()?.checked_mul(unit)?;
        (1..=366 * 86_400_000).contains(&millis).then_some(millis)
    }

    /// Its length in milliseconds.
    pub const fn millis(self) -> u64 {
        self.millis
    }
}

/// What the host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether the amount fitted below the limit and is taken.
    pub granted: bool,
    /// What counts in the window now, with what was granted.
    pub used: u64,
    /// Granted: milliseconds until all of it counts no more. Not granted: until the amount would fit if nobody took
    /// anything meanwhile.
    pub resets_in_ms: u64,
}

/// Takes an amount where it fits below the limit: one atomic step, whoever else asks. An amount of 0 only looks.
pub fn take(key: &str, amount: u64, limit: u64, window: Window) -> Taken {
    imp::take(key, amount, limit, window)
}

/// As [`take`], for an estimate: [`settle`] replaces it by what it came to.
pub fn hold(key: &str, name: &str, amount: u64, limit: u64, window: Window) -> Taken {
    imp::hold(key, name, amount, limit, window)
}

/// Replaces the oldest estimate of this name by what it came to, in the window it was taken from. Where there is none the
/// amount counts from now on. It is a fact, so no limit refuses it, and it stands whatever the ruling.
pub fn settle(key: &str, name: &str, amount: u64, window: Window) -> Taken {
    imp::settle(key, name, amount, window)
}

#[cfg(all(target_arch = "wasm32", feature = "component"))]
mod imp {
    use super::{Taken, Window};
    use crate::component::weir::policy::state;

    pub(super) fn take(key: &str, amount: u64, limit: u64, window: Window) -> Taken {
        taken(state::take(key, amount, limit, in_millis(window)))
    }

    pub(super) fn hold(key: &str, name: &str, amount: u64, limit: u64, window: Window) -> Taken {
        taken(state::hold(key, name, amount, limit, in_millis(window)))
    }

    pub(super) fn settle(key: &str, name: &str, amount: u64, window: Window) -> Taken {
        taken(state::settle(key, name, amount, in_millis(window)))
    }

    fn taken(state::Taken { granted, used, resets_in_ms }: state::Taken) -> Taken {
        Taken { granted, used, resets_in_ms }
    }

    fn in_millis(Window { millis, tumbling }: Window) -> state::Window {
        let kind = if tumbling { state::Kind::Tumbling } else { state::Kind::Sliding };
        state::Window { ms: millis, kind }
    }
}

#[cfg(all(target_arch = "wasm32", not(feature = "component")))]
mod imp {
    use super::{Taken, Window};

    pub(super) fn take(key: &str, amount: u64, limit: u64, window: Window) -> Taken {
        let (at, length) = place(key);
        let (millis, kind) = parts(window);
        taken(import::state_take(at, length, signed(amount), signed(limit), millis, kind))
    }

    pub(super) fn hold(key: &str, name: &str, amount: u64, limit: u64, window: Window) -> Taken {
        let ((at, length), (name, name_length)) = (place(key), place(name));
        let (millis, kind) = parts(window);
        taken(import::state_hold(at, length, name, name_length, signed(amount), signed(limit), millis, kind))
    }

    pub(super) fn settle(key: &str, name: &str, amount: u64, window: Window) -> Taken {
        let ((at, length), (name, name_length)) = (place(key), place(name));
        let (millis, kind) = parts(window);
        taken(import::state_settle(at, length, name, name_length, signed(amount), millis, kind))
    }

    /// The host answers what is used, its complement where nothing was granted.
    fn taken(used: i64) -> Taken {
        let granted = used >= 0;
        let used = if granted { used } else { !used };
        Taken { granted, used: used as u64, resets_in_ms: import::state_resets_in_ms() as u64 }
    }

    fn place(text: &str) -> (i32, i32) {
        (text.as_ptr().expose_provenance() as i32, text.len() as i32)
    }

    fn parts(Window { millis, tumbling }: Window) -> (i64, i32) {
        (signed(millis), i32::from(tumbling))
    }

    fn signed(number: u64) -> i64 {
        i64::try_from(number).unwrap_or(i64::MAX)
    }

    #[expect(unsafe_code, reason = "declaring imports is a promise about the host")]
    mod import {
        // SAFETY: the contract of the core ABI: the host only reads the bytes it is pointed to, within bounds it checks
        // itself, so no argument can break memory safety.
        #[link(wasm_import_module = "weir")]
        unsafe extern "C" {
            pub(in super::super) safe fn state_take(
                key: i32,
                key_length: i32,
                amount: i64,
                limit: i64,
                window_ms: i64,
                kind: i32,
            ) -> i64;
            pub(in super::super) safe fn state_hold(
                key: i32,
                key_length: i32,
                name: i32,
                name_length: i32,
                amount: i64,
                limit: i64,
                window_ms: i64,
                kind: i32,
            ) -> i64;
            pub(in super::super) safe fn state_settle(
                key: i32,
                key_length: i32,
                name: i32,
                name_length: i32,
                amount: i64,
                window_ms: i64,
                kind: i32,
            ) -> i64;
            pub(in super::super) safe fn state_resets_in_ms() -> i64;
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{Taken, Window};

    #[derive(Default)]
    struct Counter {
        used: u64,
        holds: Vec<(String, u64)>,
    }

    thread_local! {
        // One per thread, so that tests running side by side do not spend each other's budgets.
        static COUNTERS: RefCell<BTreeMap<(String, Window), Counter>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) fn take(key: &str, amount: u64, limit: u64, window: Window) -> Taken {
        with(key, window, |counter| {
            let sum = counter.used.saturating_add(amount);
            let granted = sum <= limit;
            if granted {
                counter.used = sum;
            }
            (granted, counter.used)
        })
    }

    pub(super) fn hold(key: &str, name: &str, amount: u64, limit: u64, window: Window) -> Taken {
        let taken = take(key, amount, limit, window);
        if taken.granted {
            with(key, window, |counter| {
                counter.holds.push((name.to_owned(), amount));
                (true, counter.used)
            });
        }
        taken
    }

    pub(super) fn settle(key: &str, name: &str, amount: u64, window: Window) -> Taken {
        with(key, window, |counter| {
            let held = counter.holds.iter().position(|(held, _)| held == name);
            let estimate = held.map_or(0, |place| counter.holds.remove(place).1);
            counter.used = counter.used.saturating_sub(estimate).saturating_add(amount);
            (true, counter.used)
        })
    }

    fn with(key: &str, window: Window, ask: impl FnOnce(&mut Counter) -> (bool, u64)) -> Taken {
        let (granted, used) =
            COUNTERS.with_borrow_mut(|counters| ask(counters.entry((key.to_owned(), window)).or_default()));
        Taken { granted, used, resets_in_ms: window.millis() }
    }

    /// Begins with budgets that nobody has used, on this thread; for native tests only.
    pub fn forget() {
        COUNTERS.take();
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use imp::forget;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Window = Window::sliding_ms(3_600_000);

    #[test]
    fn what_does_not_fit_is_not_taken() {
        forget();
        assert_eq!(take("k", 7, 10, HOUR), Taken { granted: true, used: 7, resets_in_ms: 3_600_000 });
        assert_eq!(take("k", 4, 10, HOUR), Taken { granted: false, used: 7, resets_in_ms: 3_600_000 });
        assert!(take("k", 4, 10, Window::tumbling_ms(3_600_000)).granted, "another window, another counter");
        assert!(take("k", 0, 7, HOUR).granted);
    }

    #[test]
    fn windows_are_read_as_people_write_them() {
        let read = ["90s", "1m", "12h", "30d"].map(|text| Window::parse_ms(text).unwrap());
        assert_eq!(read, [90_000, 60_000, 43_200_000, 2_592_000_000]);
        for bad in ["", "m", "0m", "-1m", "1.5h", "367d", "99999999999999999999d", "é", "1w"] {
            assert_eq!(Window::parse_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_estimate_is_settled_once() {
        forget();
        assert!(hold("k", "call-1", 80, 100, HOUR).granted);
        assert!(!hold("k", "call-2", 30, 100, HOUR).granted);
        assert_eq!(settle("k", "call-1", 20, HOUR).used, 20);
        assert_eq!(settle("k", "call-1", 5, HOUR).used, 25);
    }
    #[test]
    fn what_was_settled_is_seen_at_once() {
        forget();
        assert_eq!(hold("k", "before", 20, 100, HOUR).used, 20);
        assert_eq!(hold("k", "own", 5, 100, HOUR).used, 25);
        assert_eq!(settle("k", "own", 4, HOUR).used, 24);
        assert_eq!(settle("k", "before", 30, HOUR).used, 34);
        assert_eq!(settle("k", "own", 6, HOUR).used, 40);
        assert_eq!(take("k", 61, 100, HOUR), Taken { granted: false, used: 40, resets_in_ms: 3_600_000 });
        assert_eq!(take("k", 60, 100, HOUR).used, 100);
        assert!(!take("k", 1, 100, HOUR).granted);
    }
}
