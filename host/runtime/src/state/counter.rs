//! What was taken of one key, and when: the arithmetic of windows, without clock, lock or disk.
//!
//! Time is cut into buckets. A tumbling window is one bucket as long as itself, counted from 1970. A sliding window counts
//! the bucket of now and [`SPANS`] before it, each a sixteenth of the window: that covers every window of that length which
//! ends now, so no window is ever overspent, and what was taken counts for a sixteenth longer than it had to.
//!
//! Time never goes back for a counter: what is dated before its newest bucket is taken from that one.

use std::time::Duration;

/// Buckets before the one of now that a sliding window counts.
const SPANS: u64 = 16;

/// Over what time a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    millis: u64,
    kind: WindowKind,
}

/// Where a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowKind {
    /// Whenever something is taken.
    Sliding,
    /// At multiples of its length since 1970, UTC.
    Tumbling,
}

impl WindowKind {
    /// The word in records.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            WindowKind::Sliding => "sliding",
            WindowKind::Tumbling => "tumbling",
        }
    }
}

impl Window {
    /// Longest window: a year and a day.
    const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

    /// A window of 1 ms to a leap year; none where it is anything else.
    pub(crate) fn new(millis: u64, kind: WindowKind) -> Option<Window> {
        let longest = Window::LONGEST.as_millis() as u64;
        (1..=longest).contains(&millis).then_some(Window { millis, kind })
    }

    pub(crate) fn millis(self) -> u64 {
        self.millis
    }

    pub(crate) fn kind(self) -> WindowKind {
        self.kind
    }

    /// Milliseconds of a bucket.
    fn width(self) -> u64 {
        match self.kind {
            WindowKind::Sliding => self.millis.div_ceil(SPANS),
            WindowKind::Tumbling => self.millis,
        }
    }

    /// Buckets before the one of now that count, too.
    fn spans(self) -> u64 {
        match self.kind {
            WindowKind::Sliding => SPANS,
            WindowKind::Tumbling => 0,
        }
    }

    /// Whether what is in a bucket counts no more at a time.
    fn is_past(self, bucket: u64, now: u64) -> bool {
        bucket + self.spans() < now / self.width()
    }

    /// Milliseconds from `now` until a bucket counts no more.
    fn until_past(self, bucket: u64, now: u64) -> u64 {
        ((bucket + self.spans() + 1) * self.width()).saturating_sub(now)
    }
}

/// What was taken of one key.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    window: Window,
    newest: u64,
    /// By bucket, oldest first.
    slots: Vec<Slot>,
    /// What is to be settled, oldest first.
    holds: Vec<Hold>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) bucket: u64,
    /// What has been confirmed.
    pub(crate) used: u64,
    /// What is taken by evaluations that have not ended.
    pending: u64,
}

/// An estimate that will be replaced by what it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// Hash of the name it will be asked for by.
    pub(crate) name: u64,
    pub(crate) bucket: u64,
    pub(crate) amount: u64,
}

/// The answer to whoever takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) granted: bool,
    /// What counts now, with what was granted.
    pub(crate) used: u64,
    /// Granted: how long until all of it counts no more. Not granted: how long until the amount would fit if nobody took
    /// anything; where it never would, as if granted.
    pub(crate) resets_in_ms: u64,
}

/// Something to confirm or give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) bucket: u64,
    pub(crate) amount: u64,
}

/// A confirmed change, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) bucket: u64,
    pub(crate) delta: i64,
}

impl Counter {
    /// Most estimates that wait to be settled; beyond them the oldest stand as they are.
    const MOST_HOLDS: usize = 4096;

    pub(crate) fn new(window: Window) -> Counter {
        Counter { window, newest: 0, slots: Vec::new(), holds: Vec::new() }
    }

    /// The same, without what is pending: who took that will confirm it elsewhere.
    pub(crate) fn copy(&self) -> Counter {
        let slots = self.slots.iter().map(|slot| Slot { pending: 0, ..*slot }).collect();
        Counter { slots, ..self.clone() }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// Whether nothing of it counts any more at this time.
    pub(crate) fn is_past(&self, now: u64) -> bool {
        self.window.is_past(self.newest, now)
    }

    /// Takes an amount where it fits below the limit beside what counts at `now`, milliseconds since 1970. The reservation
    /// is none where nothing was granted or nothing asked.
    pub(crate) fn take(&mut self, now: u64, amount: u64, limit: u64) -> (Answer, Option<Reservation>) {
        let now = self.moved_to(now);
        let used = self.used();
        let sum = used.checked_add(amount).filter(|sum| *sum <= limit);
        let Some(sum) = sum else {
            let resets_in_ms = self.fits_in(now, amount, limit);
            return (Answer { granted: false, used, resets_in_ms }, None);
        };
        let reserved = (amount > 0).then_some(Reservation { bucket: self.newest, amount });
        reserved.into_iter().for_each(|reservation| self.reserve(now, reservation));
        (Answer { granted: true, used: sum, resets_in_ms: self.empty_in(now) }, reserved)
    }

    /// Counts what was granted, for everybody.
    pub(crate) fn reserve(&mut self, now: u64, Reservation { bucket, amount }: Reservation) {
        self.moved_to(now);
        let slot = self.slot(bucket);
        slot.pending = slot.pending.saturating_add(amount);
    }

    /// What would count if a hold came to this amount; nothing changes.
    pub(crate) fn would_settle(&mut self, now: u64, name: u64, amount: u64) -> Answer {
        let now = self.moved_to(now);
        let used = match self.holds.iter().find(|hold| hold.name == name) {
            Some(hold) if !self.counts(hold.bucket) => self.used(),
            Some(hold) => self.used().saturating_sub(hold.amount).saturating_add(amount),
            None => self.used().saturating_add(amount),
        };
        Answer { granted: true, used, resets_in_ms: self.empty_in(now) }
    }

    /// Gives back what was reserved.
    pub(crate) fn refund(&mut self, Reservation { bucket, amount }: Reservation) {
        if let Some(slot) = self.found(bucket) {
            slot.pending = slot.pending.saturating_sub(amount);
            // As if it had never been asked for.
            self.slots.retain(|slot| slot.used > 0 || slot.pending > 0);
        }
    }

    /// Confirms what was reserved, under a name where it is an estimate.
    pub(crate) fn confirm(&mut self, reservation: Reservation, name: Option<u64>) -> Change {
        let Reservation { bucket, amount } = reservation;
        if let Some(slot) = self.found(bucket) {
            slot.pending = slot.pending.saturating_sub(amount);
            slot.used = slot.used.saturating_add(amount);
        }
        if let Some(name) = name {
            self.hold(Hold { name, bucket, amount });
        }
        Change { bucket, delta: signed(amount) }
    }

    /// Replaces the oldest hold of a name by what it came to, in the bucket it was taken from; where there is none, the
    /// amount counts from now on. It is a fact, so no limit refuses it.
    pub(crate) fn settle(&mut self, now: u64, name: u64, amount: u64) -> (Change, bool) {
        self.moved_to(now);
        let held = self.holds.iter().position(|hold| hold.name == name).map(|place| self.holds.remove(place));
        let (bucket, estimate) = held.map_or((self.newest, 0), |hold| (hold.bucket, hold.amount));
        let change = Change { bucket, delta: signed(amount).saturating_sub(signed(estimate)) };
        self.apply(change);
        (change, held.is_some())
    }

    /// Makes a change that was written down.
    pub(crate) fn apply(&mut self, Change { bucket, delta }: Change) {
        self.newest = self.newest.max(bucket);
        if self.counts(bucket) {
            let slot = self.slot(bucket);
            slot.used = slot.used.saturating_add_signed(delta);
        }
    }

    pub(crate) fn hold(&mut self, hold: Hold) {
        if self.holds.len() == Counter::MOST_HOLDS {
            self.holds.remove(0);
        }
        self.holds.push(hold);
    }

    /// Forgets the oldest hold of a name.
    pub(crate) fn let_go(&mut self, name: u64) {
        if let Some(place) = self.holds.iter().position(|hold| hold.name == name) {
            self.holds.remove(place);
        }
    }

    /// Forgets what counts no more; the time that everything is dated.
    fn moved_to(&mut self, now: u64) -> u64 {
        let width = self.window.width();
        self.newest = self.newest.max(now / width);
        let now = now.max(self.newest * width);
        let window = self.window;
        self.slots.retain(|slot| !window.is_past(slot.bucket, now));
        // An answer may come in the window after its question's, and must not be paid for there.
        self.holds.retain(|hold| !window.is_past(hold.bucket + window.spans() + 1, now));
        now
    }

    fn counts(&self, bucket: u64) -> bool {
        bucket + self.window.spans() >= self.newest
    }

    fn used(&self) -> u64 {
        let each = self.slots.iter().map(|slot| slot.used.saturating_add(slot.pending));
        each.fold(0, u64::saturating_add)
    }

    fn fits_in(&self, now: u64, amount: u64, limit: u64) -> u64 {
        let mut left = self.used();
        for slot in &self.slots {
            left -= left.min(slot.used.saturating_add(slot.pending));
            if left.saturating_add(amount) <= limit {
                return self.window.until_past(slot.bucket, now);
            }
        }
        self.empty_in(now)
    }

    fn empty_in(&self, now: u64) -> u64 {
        self.slots.last().map_or(0, |slot| self.window.until_past(slot.bucket, now))
    }

    fn found(&mut self, bucket: u64) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.bucket == bucket)
    }

    fn slot(&mut self, bucket: u64) -> &mut Slot {
        let place = match self.slots.binary_search_by_key(&bucket, |slot| slot.bucket) {
            Ok(place) => place,
            Err(place) => {
                self.slots.insert(place, Slot { bucket, used: 0, pending: 0 });
                place
            }
        };
        &mut self.slots[place]
    }
}

/// Amounts come from the ABI's signed numbers, so each fits.
pub(crate) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sliding(millis: u64) -> Counter {
        Counter::new(Window::new(millis, WindowKind::Sliding).unwrap())
    }

    fn tumbling(millis: u64) -> Counter {
        Counter::new(Window::new(millis, WindowKind::Tumbling).unwrap())
    }

    /// Takes and confirms.
    fn spend(counter: &mut Counter, now: u64, amount: u64, limit: u64) -> Answer {
        let (answer, reserved) = counter.take(now, amount, limit);
        reserved.into_iter().for_each(|reservation| _ = counter.confirm(reservation, None));
        answer
    }

    proptest! {
        #[test]
        fn no_window_is_ever_overspent(
            takes in proptest::collection::vec((0u64..400, 0u64..60), 1..300), window in 1u64..2000, limit in 1u64..200,
        ) {
            for kind in [WindowKind::Sliding, WindowKind::Tumbling] {
                let mut counter = Counter::new(Window::new(window, kind).unwrap());
                let (mut now, mut granted) = (1_000_000, Vec::new());
                for (later, amount) in &takes {
                    now += later;
                    if spend(&mut counter, now, *amount, limit).granted {
                        granted.push((now, *amount));
                    }
                }
                for (at, _) in &granted {
                    let within = |then: u64| match kind {
                        WindowKind::Sliding => then <= *at && then + window > *at,
                        WindowKind::Tumbling => then / window == at / window,
                    };
                    let sum: u64 = granted.iter().filter(|(then, _)| within(*then)).map(|(_, amount)| amount).sum();
                    prop_assert!(sum <= limit, "{kind:?}: {sum} of {limit} in the window of {at}");
                }
            }
        }

        #[test]
        fn what_is_given_back_was_never_taken(takes in proptest::collection::vec((0u64..50, 0u64..20, any::<bool>()), 1..100)) {
            let (mut one, mut other) = (sliding(400), sliding(400));
            let mut now = 0;
            for (later, amount, stands) in takes {
                now += later;
                let (answer, reserved) = one.take(now, amount, 100);
                if stands {
                    prop_assert_eq!(spend(&mut other, now, amount, 100), answer);
                    reserved.into_iter().for_each(|reservation| _ = one.confirm(reservation, None));
                } else {
                    reserved.into_iter().for_each(|reservation| one.refund(reservation));
                }
            }
        }

        #[test]
        fn changes_that_were_written_down_make_the_same_counter(
            takes in proptest::collection::vec((0u64..50, 0u64..20, 0u64..4), 1..100),
        ) {
            let (mut one, mut other) = (sliding(400), sliding(400));
            let mut now = 0;
            for (later, amount, name) in takes {
                now += later;
                if name == 3 {
                    let (change, held) = one.settle(now, 1, amount);
                    other.apply(change);
                    if held { other.let_go(1) }
                } else if let (_, Some(reservation)) = one.take(now, amount, 1000) {
                    let name = (name == 1).then_some(name);
                    let change = one.confirm(reservation, name);
                    other.apply(change);
                    name.into_iter().for_each(|name| other.hold(Hold { name, bucket: change.bucket, amount }));
                }
                let (mut one, mut other) = (one.clone(), other.clone());
                prop_assert_eq!(one.take(now, 0, 1).0, other.take(now, 0, 1).0);
            }
        }
    }

    #[test]
    fn a_tumbling_window_begins_anew() {
        let mut counter = tumbling(1000);
        assert_eq!(spend(&mut counter, 10_100, 7, 10), Answer { granted: true, used: 7, resets_in_ms: 900 });
        assert_eq!(spend(&mut counter, 10_900, 4, 10), Answer { granted: false, used: 7, resets_in_ms: 100 });
        assert_eq!(spend(&mut counter, 11_000, 4, 10), Answer { granted: true, used: 4, resets_in_ms: 1000 });
    }

    #[test]
    fn a_sliding_window_lets_go_bit_by_bit() {
        let mut counter = sliding(1600);
        spend(&mut counter, 1000, 6, 10);
        spend(&mut counter, 1800, 4, 10);
        let full = spend(&mut counter, 2000, 5, 10);
        assert_eq!(full, Answer { granted: false, used: 10, resets_in_ms: 700 });
        assert!(!spend(&mut counter, 2699, 5, 10).granted);
        assert_eq!(spend(&mut counter, 2700, 5, 10), Answer { granted: true, used: 9, resets_in_ms: 1700 });
    }

    #[test]
    fn time_never_goes_back() {
        let mut counter = tumbling(1000);
        spend(&mut counter, 50_000, 10, 10);
        assert!(!spend(&mut counter, 3_000, 1, 10).granted);
    }

    #[test]
    fn an_estimate_becomes_what_it_came_to_where_it_was_taken() {
        let mut counter = tumbling(1000);
        let reserved = counter.take(100, 80, 100).1.unwrap();
        counter.confirm(reserved, Some(7));
        assert_eq!(counter.would_settle(200, 7, 30).used, 30);
        assert_eq!(counter.take(200, 0, 100).0.used, 80, "asking changes nothing");
        assert_eq!(counter.settle(200, 7, 30), (Change { bucket: 0, delta: -50 }, true));
        assert_eq!(counter.take(300, 70, 100).0, Answer { granted: true, used: 100, resets_in_ms: 700 });
        assert_eq!(counter.settle(400, 7, 5), (Change { bucket: 0, delta: 5 }, false), "settled once");
    }

    #[test]
    fn an_estimate_of_a_former_window_costs_the_next_one_nothing() {
        let mut counter = tumbling(1000);
        let reserved = counter.take(900, 80, 100).1.unwrap();
        counter.confirm(reserved, Some(7));
        spend(&mut counter, 1100, 90, 100);
        assert_eq!(counter.would_settle(1150, 7, 95).used, 90);
        assert_eq!(counter.settle(1150, 7, 95), (Change { bucket: 0, delta: 15 }, true));
        assert_eq!(counter.take(1200, 0, 100).0.used, 90);
        counter.settle(1200, 7, 3);
        assert_eq!(counter.take(1200, 0, 100).0.used, 93, "what nobody holds counts from now on");
    }

    #[test]
    fn more_than_the_limit_never_fits_and_nothing_overflows() {
        let mut counter = sliding(1000);
        let most = i64::MAX as u64;
        assert!(!spend(&mut counter, 0, 2, 1).granted);
        assert!(spend(&mut counter, 0, most, most).granted);
        assert!(!spend(&mut counter, 0, most, most).granted);
        counter.settle(0, 1, most);
        counter.settle(0, 1, most);
        assert!(!spend(&mut counter, u64::MAX / 2, most, most - 1).granted);
    }

    #[test]
    fn windows_have_bounds() {
        assert_eq!(Window::new(0, WindowKind::Sliding), None);
        assert_eq!(Window::new(u64::MAX, WindowKind::Tumbling), None);
        assert!(Window::new(1, WindowKind::Sliding).is_some());
    }
}
