//! How two things are compared on a machine that others use too.
//!
//! Both sides run in short batches, turn by turn and in changing order, and each turn gives one ratio; the figure is the
//! median of the ratios. What slows the machine for longer than a batch slows both sides of a ratio; what hits one
//! batch is an outlier that a median does not see. Times are CPU times of the thread, so that waiting for a core is not
//! counted at all. What other threads do for it (ticking the epoch, syncing records) is not counted either.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Operations of each side in one round.
    pub(crate) batch: usize,
}

/// One side against another.
pub(crate) struct Ratio {
    /// Median of the rounds.
    pub(crate) value: f64,
    /// A tenth of the rounds was below the one and above the other.
    pub(crate) spread: (f64, f64),
    /// Median microseconds of one operation, ours and the other.
    pub(crate) micros: (f64, f64),
}

/// CPU time this thread has used.
pub(crate) fn thread_time() -> Duration {
    cpu_time(ClockId::ThreadCPUTime)
}

/// CPU time all threads of this process have used.
pub(crate) fn process_time() -> Duration {
    cpu_time(ClockId::ProcessCPUTime)
}

fn cpu_time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::try_from(time).expect("clocks of CPU time start at zero")
}

/// The CPU time of running `operation` on each input. Making the inputs beforehand is not part of it; letting go of the
/// outputs is.
pub(crate) fn timed<I, O>(inputs: Vec<I>, mut operation: impl FnMut(I) -> O) -> Duration {
    let before = thread_time();
    for input in inputs {
        black_box(operation(input));
    }
    thread_time() - before
}

/// Compares two sides; each answers with the time it took for so many operations.
pub(crate) fn compare(
    effort: Effort,
    mut ours: impl FnMut(usize) -> Duration,
    mut other: impl FnMut(usize) -> Duration,
) -> Ratio {
    let Effort { rounds, batch } = effort;
    // Caches, branch predictors and the pool's slots.
    ours(batch);
    other(batch);
    let times: Vec<(Duration, Duration)> = (0..rounds)
        .map(|round| match round % 2 {
            0 => (ours(batch), other(batch)),
            _ => {
                let other = other(batch);
                (ours(batch), other)
            }
        })
        .collect();
    let ratios = sorted(times.iter().map(|(ours, other)| ours.as_secs_f64() / other.as_secs_f64()));
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / batch as f64;
    Ratio {
        value: at(&ratios, 0.5),
        spread: (at(&ratios, 0.1), at(&ratios, 0.9)),
        micros: (
            at(&sorted(times.iter().map(|(ours, _)| micros(*ours))), 0.5),
            at(&sorted(times.iter().map(|(_, other)| micros(*other))), 0.5),
        ),
    }
}

/// CPU time of an operation done by so many threads at once, each on its own, against one thread alone.
pub(crate) fn compare_process(effort: Effort, threads: usize, operation: impl Fn(usize) + Sync) -> Ratio {
    let at_once = |threads: usize, count: usize| {
        let before = process_time();
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(|| operation(count)))));
        (process_time() - before) / threads as u32
    };
    compare(effort, |count| at_once(threads, count), |count| at_once(1, count))
}

/// The median of some numbers.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    at(&sorted(numbers), 0.5)
}

/// Numbers in their order.
pub(crate) fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The number below which a share of them lies.
pub(crate) fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
