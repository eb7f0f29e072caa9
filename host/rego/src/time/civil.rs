//! Dates of the Gregorian calendar, also before it was one.

/// A moment by the parts one reads on a wall.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) nanosecond: i64,
    /// From Sunday on.
    pub(super) weekday: i64,
    /// Seconds east of UTC.
    pub(super) offset: i64,
    /// What the zone is called at that moment.
    pub(super) zone: String,
}

impl Civil {
    /// The parts of so many seconds after 1970.
    pub(super) fn of(seconds: i64) -> Civil {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        let weekday = (days + 4).rem_euclid(7);
        Civil { year, month, day, hour, minute, second, weekday, ..Civil::default() }
    }

    /// The day of the year, from one on.
    pub(super) fn day_of_year(&self) -> i64 {
        (1..self.month).map(|month| days_in(self.year, month)).sum::<i64>() + self.day
    }
}

/// Days since 1970 of a date; the day may lie outside its month.
pub(super) fn days_of(year: i128, month: i128, day: i128) -> i128 {
    // Years from March on end with the leap day.
    let year = year - i128::from(month < 3);
    let within = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + within - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month < 3), month, day)
}

pub(super) fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_each_other_s_inverse() {
        for days in (-800_000..800_000).step_by(37) {
            let civil = Civil::of(days * 86_400);
            assert_eq!(days_of(civil.year.into(), civil.month.into(), civil.day.into()), days.into());
        }
        assert_eq!(days_of(2024, 2, 30), days_of(2024, 3, 1));
        let civil = Civil::of(-1);
        assert_eq!((civil.year, civil.month, civil.day, civil.weekday, civil.second), (1969, 12, 31, 3, 59));
        assert_eq!(Civil::of(19_782 * 86_400).day_of_year(), 60);
    }
}
