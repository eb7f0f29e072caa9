//! Whether keeping instances of a policy is worth it: an instance that has to be made anew for every second call costs
//! more than a fresh one each time.

/// What one shard thinks of it.
pub(super) struct Favour {
    credit: u32,
    /// Calls that are yet to be served by fresh instances.
    away: u32,
}

/// Credit that is never exceeded, so that a policy that has changed its ways is found out soon.
const MOST: u32 = 64;
/// What an instance costs that could not be kept, in calls that could.
const LOSS: u32 = 8;
/// Calls after which it is tried again.
const AWAY: u32 = 4096;

impl Default for Favour {
    fn default() -> Self {
        Favour { credit: MOST, away: 0 }
    }
}

impl Favour {
    /// Whether the next call may use a kept instance.
    pub(super) fn lets(&mut self) -> bool {
        if self.away == 0 {
            return true;
        }
        self.away -= 1;
        false
    }

    /// An instance came home.
    pub(super) fn kept(&mut self) {
        self.credit = MOST.min(self.credit + 1);
    }

    /// An instance had to be dropped.
    pub(super) fn lost(&mut self) {
        match self.credit.checked_sub(LOSS) {
            Some(credit) => self.credit = credit,
            None => *self = Favour { credit: MOST / 2, away: AWAY },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that got a kept instance, of so many, where every `nth` loses it.
    fn served(calls: u32, nth: u32) -> u32 {
        let mut favour = Favour::default();
        (1..=calls)
            .filter(|call| {
                let lets = favour.lets();
                match call % nth {
                    _ if !lets => {}
                    0 => favour.lost(),
                    _ => favour.kept(),
                }
                lets
            })
            .count() as u32
    }

    #[test]
    fn what_is_rarely_lost_stays_in_favour_and_what_is_often_lost_does_not() {
        assert_eq!(served(100_000, 10), 100_000);
        assert!(served(100_000, 2) < 2_000);
        assert!(served(100_000, 1) < 300);
    }
}
