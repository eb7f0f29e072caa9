//! Who is next: jobs that wait, class by class, and within a class by start-time fair queueing over tenants.
//!
//! A job starts, in virtual time, where its tenant's job before it finished, or now; it finishes its cost, divided by its
//! tenant's weight, later. The earliest start is next, and is what is now. So a tenant gets its share whatever the others
//! send, and what it did not use is not saved up. (Goyal, Vin, Cheng: Start-time Fair Queuing, SIGCOMM 1996.)

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::set::Class;

/// Of so many turns one goes to the least urgent class that waits.
const FLOOR: u64 = 20;
const CLASSES: usize = 3;

/// On whose behalf a job waits, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) tenant: Arc<str>,
    pub(crate) class: Class,
    /// Share of the machine, from 1 to 1000.
    pub(crate) weight: u32,
    /// Whether it is refused where too much waits.
    pub(crate) sheddable: bool,
}

struct Job<T> {
    cost: Duration,
    sheddable: bool,
    token: T,
}

/// The jobs of one tenant in one class.
struct Line<T> {
    jobs: VecDeque<Job<T>>,
    weight: u32,
    /// Where its next job starts, unless that is past.
    finish: u64,
    /// Start of its first job, under which the line stands in the order.
    start: u64,
    /// Cost of its jobs that may be refused.
    load: Duration,
    /// What its jobs took lately.
    usual: Duration,
}

/// The lines of one class.
struct Lines<T> {
    of: HashMap<Arc<str>, Line<T>>,
    /// Lines with jobs, by the start of their first.
    order: BTreeSet<(u64, Arc<str>)>,
    /// Lines with jobs that may be refused, by the cost of these over their weight.
    loaded: BTreeSet<(u64, Arc<str>)>,
    /// Lines without jobs that have used more than their share so far, by when they have not.
    resting: BTreeSet<(u64, Arc<str>)>,
    now: u64,
    /// Weight of all lines with jobs.
    weight: u32,
    /// Cost of all jobs.
    cost: Duration,
    count: usize,
}

/// All jobs that wait.
pub(super) struct Queue<T> {
    classes: [Lines<T>; CLASSES],
    turns: u64,
}

/// Why a job was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// Work that is ahead of it.
    pub(super) ahead: Duration,
}

/// Virtual nanoseconds of a cost: a weight of 1 is a thousandth of a weight of 1000.
fn share(cost: Duration, weight: u32) -> u64 {
    let nanos = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
    nanos.saturating_mul(1_000) / u64::from(weight.max(1))
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue { classes: std::array::from_fn(|_| Lines::new()), turns: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(|lines| lines.count).sum()
    }

    /// Cost of everything that is at least as urgent.
    pub(super) fn ahead(&self, class: Class) -> Duration {
        self.classes[..=class as usize].iter().map(|lines| lines.cost).sum()
    }

    /// Work that comes before a job of this tenant: all there is, or its own line with its share of everything else.
    pub(super) fn wait(&self, standing: &Standing, usual: Duration) -> Duration {
        let lines = &self.classes[standing.class as usize];
        let own = lines.of.get(&standing.tenant).map_or(Duration::ZERO, |line| line.usual * line.jobs.len() as u32);
        let before = (own + usual) * (lines.weight / standing.weight.max(1) + 1);
        before.min(self.ahead(standing.class))
    }

    /// What a job of this tenant is expected to take: what its last ones took, or else `usual`.
    fn expected(&self, standing: &Standing, usual: Duration) -> Duration {
        let line = self.classes[standing.class as usize].of.get(&standing.tenant);
        line.map_or(usual, |line| line.usual)
    }

    /// Lets a job wait where no more than `most` is ahead of it, or it is not to be refused, or nothing waits at all. Where
    /// too much does, the newest jobs of whoever has most waiting for its weight go; their tokens come back. `usual` is
    /// what a job takes of whose tenant nothing is known.
    ///
    /// # Errors
    /// Its own tenant has most waiting.
    pub(super) fn admit(
        &mut self,
        standing: &Standing,
        token: T,
        usual: Duration,
        most: Duration,
    ) -> Result<Vec<T>, Full> {
        let cost = self.expected(standing, usual);
        let mut gone = Vec::new();
        loop {
            let ahead = self.ahead(standing.class);
            let lines = &mut self.classes[standing.class as usize];
            if !standing.sheddable || ahead + cost <= most || lines.count == 0 {
                break;
            }
            match lines.give_way(standing, cost) {
                Some(evicted) => gone.push(evicted),
                None => return Err(Full { ahead }),
            }
        }
        let lines = &mut self.classes[standing.class as usize];
        lines.push(standing, Job { cost, sheddable: standing.sheddable, token });
        Ok(gone)
    }

    /// The fairest job, and what it is expected to take.
    pub(super) fn pop(&mut self) -> Option<(T, Duration)> {
        self.turns += 1;
        let waits = |class: &usize| self.classes[*class].count > 0;
        let class = match self.turns % FLOOR {
            0 => (0..CLASSES).rev().find(waits),
            _ => (0..CLASSES).find(waits),
        };
        self.classes[class?].pop()
    }

    /// Counts what a job took in place of what it was expected to take.
    pub(super) fn settle(&mut self, standing: &Standing, expected: Duration, took: Duration) {
        self.classes[standing.class as usize].settle(&standing.tenant, expected, took);
    }
}

impl<T> Lines<T> {
    fn new() -> Lines<T> {
        Lines {
            of: HashMap::new(),
            order: BTreeSet::new(),
            loaded: BTreeSet::new(),
            resting: BTreeSet::new(),
            now: 0,
            weight: 0,
            cost: Duration::ZERO,
            count: 0,
        }
    }

    fn push(&mut self, standing: &Standing, job: Job<T>) {
        let Lines { of, order, loaded, resting, now, weight, .. } = self;
        let tenant = &standing.tenant;
        let line = of.entry(Arc::clone(tenant)).or_insert_with(|| Line {
            jobs: VecDeque::new(),
            weight: standing.weight,
            finish: *now,
            start: *now,
            load: Duration::ZERO,
            usual: job.cost,
        });
        self.cost += job.cost;
        self.count += 1;
        if line.jobs.is_empty() {
            resting.remove(&(line.finish, Arc::clone(tenant)));
            line.weight = standing.weight;
            *weight += line.weight;
            line.start = line.finish.max(*now);
            order.insert((line.start, Arc::clone(tenant)));
        }
        if job.sheddable {
            loaded.remove(&(share(line.load, line.weight), Arc::clone(tenant)));
            line.load += job.cost;
            loaded.insert((share(line.load, line.weight), Arc::clone(tenant)));
        }
        line.jobs.push_back(job);
    }

    fn pop(&mut self) -> Option<(T, Duration)> {
        let (start, tenant) = self.order.pop_first()?;
        self.now = self.now.max(start);
        let line = self.of.get_mut(&tenant).expect("lines in order are there");
        let job = line.jobs.pop_front().expect("lines in order have jobs");
        line.finish = start.saturating_add(share(job.cost, line.weight));
        line.start = line.finish;
        match line.jobs.is_empty() {
            true => {
                self.weight -= line.weight;
                self.resting.insert((line.finish, Arc::clone(&tenant)));
            }
            false => drop(self.order.insert((line.start, Arc::clone(&tenant)))),
        }
        self.uncount(&tenant, &job);
        self.forget();
        Some((job.token, job.cost))
    }

    /// Takes the newest job of the line with most waiting for its weight; none where that is the newcomer's own.
    fn give_way(&mut self, newcomer: &Standing, cost: Duration) -> Option<T> {
        let own = self.of.get(&newcomer.tenant).map_or(Duration::ZERO, |line| line.load) + cost;
        let (load, tenant) = self.loaded.last().cloned()?;
        if tenant == newcomer.tenant || load <= share(own, newcomer.weight) {
            return None;
        }
        let line = self.of.get_mut(&tenant).expect("loaded lines are there");
        let newest = line.jobs.iter().rposition(|job| job.sheddable).expect("loaded lines have jobs to refuse");
        let job = line.jobs.remove(newest).expect("it is there");
        if line.jobs.is_empty() {
            self.weight -= line.weight;
            self.order.remove(&(line.start, Arc::clone(&tenant)));
            self.resting.insert((line.finish, Arc::clone(&tenant)));
        }
        self.uncount(&tenant, &job);
        Some(job.token)
    }

    fn uncount(&mut self, tenant: &Arc<str>, job: &Job<T>) {
        self.cost = self.cost.saturating_sub(job.cost);
        self.count -= 1;
        let line = self.of.get_mut(tenant).expect("its line is there");
        if job.sheddable {
            self.loaded.remove(&(share(line.load, line.weight), Arc::clone(tenant)));
            line.load = line.load.saturating_sub(job.cost);
            if line.jobs.iter().any(|job| job.sheddable) {
                self.loaded.insert((share(line.load, line.weight), Arc::clone(tenant)));
            }
        }
    }

    /// Drops the lines that have neither jobs nor more than their share.
    fn forget(&mut self) {
        while let Some((finish, _)) = self.resting.first()
            && *finish <= self.now
        {
            let (_, tenant) = self.resting.pop_first().expect("there is a first");
            self.of.remove(&tenant);
        }
        if self.count == 0 {
            *self = Lines::new();
        }
    }

    fn settle(&mut self, tenant: &Arc<str>, expected: Duration, took: Duration) {
        let Some(line) = self.of.get_mut(tenant) else { return };
        line.usual = line.usual * 7 / 8 + took / 8;
        let (more, less) = (took.saturating_sub(expected), expected.saturating_sub(took));
        let finish = line.finish.saturating_add(share(more, line.weight)).saturating_sub(share(less, line.weight));
        let (set, before) = match line.jobs.is_empty() {
            true => (&mut self.resting, line.finish),
            false => (&mut self.order, line.start),
        };
        if set.remove(&(before, Arc::clone(tenant))) {
            (line.finish, line.start) = (finish, finish.max(self.now));
            set.insert((if line.jobs.is_empty() { line.finish } else { line.start }, Arc::clone(tenant)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_micros(100);
    const MOST: Duration = Duration::from_millis(10);

    fn standing(tenant: &str, class: Class, weight: u32) -> Standing {
        Standing { tenant: tenant.into(), class, weight, sheddable: true }
    }

    /// Fills a queue with so many jobs each, and counts whose the first `turns` are.
    fn served(who: &[(Standing, usize)], turns: usize) -> Vec<usize> {
        let mut queue = Queue::default();
        for (place, (standing, jobs)) in who.iter().enumerate() {
            for _ in 0..*jobs {
                assert_eq!(queue.admit(standing, place, USUAL, Duration::MAX), Ok(Vec::new()));
            }
        }
        let mut counts = vec![0; who.len()];
        (0..turns).for_each(|_| counts[queue.pop().expect("there are enough jobs").0] += 1);
        counts
    }

    #[test]
    fn tenants_share_by_weight_whatever_they_send() {
        let normal = |tenant, weight| standing(tenant, Class::Normal, weight);
        assert_eq!(served(&[(normal("a", 1), 1000), (normal("b", 1), 100)], 200), [100, 100]);
        assert_eq!(served(&[(normal("a", 1), 1000), (normal("b", 3), 1000)], 400), [100, 300]);
        assert_eq!(served(&[(normal("a", 1000), 2000), (normal("b", 1), 10)], 1003), [1001, 2]);
    }

    #[test]
    fn urgent_classes_go_first_and_the_others_are_not_starved() {
        let who = [
            (standing("a", Class::Interactive, 1), 1000),
            (standing("b", Class::Normal, 1), 1000),
            (standing("c", Class::Bulk, 1), 1000),
        ];
        assert_eq!(served(&who, 200), [190, 0, 10]);
    }

    #[test]
    fn a_quiet_tenant_gets_in_where_a_loud_one_has_filled_the_queue() {
        let (loud, quiet) = (standing("loud", Class::Normal, 1), standing("quiet", Class::Normal, 1));
        let mut queue = Queue::default();
        for number in 0..100 {
            assert_eq!(queue.admit(&loud, number, USUAL, MOST), Ok(Vec::new()));
        }
        assert_eq!(queue.admit(&loud, 100, USUAL, MOST), Err(Full { ahead: MOST }));
        // The newest of whoever has most waiting goes.
        assert_eq!(queue.admit(&quiet, 1000, USUAL, MOST), Ok(vec![99]));
        assert_eq!((queue.pop(), queue.pop()), (Some((0, USUAL)), Some((1000, USUAL))));
        assert_eq!(queue.len(), 98);
    }

    #[test]
    fn bulk_waits_and_is_never_refused_nor_does_it_keep_others_out() {
        let bulk = Standing { sheddable: false, ..standing("bulk", Class::Bulk, 1) };
        let mut queue = Queue::default();
        for number in 0..1000 {
            assert_eq!(queue.admit(&bulk, number, USUAL, MOST), Ok(Vec::new()));
        }
        assert_eq!(queue.admit(&standing("a", Class::Normal, 1), 1000, USUAL, MOST), Ok(Vec::new()));
        assert_eq!(queue.pop(), Some((1000, USUAL)));
    }

    #[test]
    fn whoever_takes_longer_than_expected_gets_fewer_turns() {
        let (slow, quick) = (standing("slow", Class::Normal, 1), standing("quick", Class::Normal, 1));
        let mut queue = Queue::default();
        let mut counts = [0, 0];
        for _ in 0..20 {
            (0..2).for_each(|_| queue.admit(&slow, 0, USUAL, Duration::MAX).map(drop).expect("there is room"));
            (0..12).for_each(|_| queue.admit(&quick, 1, USUAL, Duration::MAX).map(drop).expect("there is room"));
        }
        for _ in 0..110 {
            let (who, expected) = queue.pop().expect("there are enough jobs");
            counts[who] += 1;
            let (standing, took) = if who == 0 { (&slow, USUAL * 10) } else { (&quick, USUAL) };
            queue.settle(standing, expected, took);
        }
        assert_eq!(counts[0] + counts[1], 110);
        assert!((8..=14).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn nothing_is_kept_of_those_who_are_gone() {
        let mut queue = Queue::default();
        for number in 0..1000 {
            let tenant = standing(&format!("t{number}"), Class::Normal, 1);
            assert_eq!(queue.admit(&tenant, number, USUAL, Duration::MAX), Ok(Vec::new()));
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 1000);
        assert!(queue.classes.iter().all(|lines| lines.of.is_empty() && lines.cost.is_zero()));
        assert_eq!(queue.pop(), None);
    }
}
