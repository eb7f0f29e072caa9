//! Who is next: jobs that wait, class by class, and within a class by start-time fair queueing over tenants.
//!
//! A job starts, in virtual time, where its tenant's job before it finished, or now; it finishes its cost, divided by its
//! tenant's weight, later. The earliest start is next, and is what is now. So a tenant gets its share whatever the others
//! send, and what it did not use is not saved up. (Goyal, Vin, Cheng: Start-time Fair Queuing, SIGCOMM 1996.)

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::set::Class;

/// How many times the usual bound may be ahead of a tenant that has not used more than its share, until it has sent so much:
/// where evaluations are long, the usual bound is one or two of them, and chance, or a machine that stands still for a moment,
/// would refuse those who hardly ask. Callers who are less patient are refused for that.
const BURST: u32 = 50;
/// Tenants whose use is remembered while they have nothing waiting.
const REMEMBERED: usize = 10_000;
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
    /// Its jobs that may be refused, and their cost.
    sheddable: usize,
    load: Duration,
    /// What its jobs took lately.
    usual: Duration,
    /// Cost of jobs that it may still have waiting behind more than the usual bound.
    allowance: Duration,
}

impl<T> Line<T> {
    /// Whether it has jobs, or has used more than its share by now.
    fn is_busy(&self, now: u64) -> bool {
        !self.jobs.is_empty() || self.finish > now
    }

    /// Where its jobs that may be refused end in virtual time.
    fn end(&self) -> u64 {
        self.start.saturating_add(share(self.load, self.weight))
    }
}

/// The lines of one class.
struct Lines<T> {
    of: HashMap<Arc<str>, Line<T>>,
    /// Lines with jobs, by the start of their first.
    order: BTreeSet<(u64, Arc<str>)>,
    /// Lines with jobs that may be refused, by where these end in virtual time: the last one is furthest beyond its share.
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

    /// Lets a job wait where no more than `most` is ahead of it, or [`BURST`] times that for a tenant that begins to use its
    /// share, or it is not to be refused, or nothing waits at all. Where too much does, the newest jobs of whoever is furthest
    /// beyond its share go; their tokens come back. `usual` is what a job takes of whose tenant nothing is known.
    ///
    /// # Errors
    /// Its own tenant is furthest beyond its share.
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
            let long = most.saturating_mul(BURST);
            let begins = lines.allowance(&standing.tenant, long) >= cost;
            let most = if begins { long } else { most };
            if !standing.sheddable || ahead + cost <= most || lines.count == 0 {
                break;
            }
            match lines.give_way(standing, cost, begins) {
                Some(evicted) => gone.push(evicted),
                None => return Err(Full { ahead }),
            }
        }
        let lines = &mut self.classes[standing.class as usize];
        let allowance = lines.allowance(&standing.tenant, most.saturating_mul(BURST)).saturating_sub(cost);
        lines.push(standing, Job { cost, sheddable: standing.sheddable, token }, allowance);
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

    /// Forgets who has used what: nobody has waited for a while.
    pub(super) fn forget(&mut self) {
        if self.len() == 0 {
            self.classes = std::array::from_fn(|_| Lines::new());
        }
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

    fn push(&mut self, standing: &Standing, job: Job<T>, allowance: Duration) {
        let Lines { of, order, loaded, resting, now, weight, .. } = self;
        let tenant = &standing.tenant;
        let line = of.entry(Arc::clone(tenant)).or_insert_with(|| Line {
            jobs: VecDeque::new(),
            weight: standing.weight,
            finish: *now,
            start: *now,
            sheddable: 0,
            load: Duration::ZERO,
            usual: job.cost,
            allowance,
        });
        line.allowance = allowance;
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
            loaded.remove(&(line.end(), Arc::clone(tenant)));
            line.sheddable += 1;
            line.load += job.cost;
            loaded.insert((line.end(), Arc::clone(tenant)));
        }
        line.jobs.push_back(job);
    }

    /// What a tenant may still send before it has to be content with the usual bound: `full` where it has not used more than
    /// its share so far.
    fn allowance(&self, tenant: &Arc<str>, full: Duration) -> Duration {
        self.of.get(tenant).filter(|line| line.is_busy(self.now)).map_or(full, |line| line.allowance)
    }

    fn pop(&mut self) -> Option<(T, Duration)> {
        let (start, tenant) = self.order.pop_first()?;
        self.now = self.now.max(start);
        let line = self.of.get_mut(&tenant).expect("lines in order are there");
        self.loaded.remove(&(line.end(), Arc::clone(&tenant)));
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

    /// Takes the newest job of the line that is furthest beyond its share; none where that is the newcomer's own, or where it
    /// only `begins` to use its share and the newcomer does not.
    fn give_way(&mut self, newcomer: &Standing, cost: Duration, begins: bool) -> Option<T> {
        let now = self.now;
        let starts = |line: &Line<T>| if line.jobs.is_empty() { line.finish.max(now) } else { line.end() };
        let own = self.of.get(&newcomer.tenant).map_or(now, starts).saturating_add(share(cost, newcomer.weight));
        let (end, tenant) = self.loaded.last().cloned()?;
        let spared = !begins && self.of.get(&tenant).is_some_and(|line| line.allowance >= line.usual);
        if tenant == newcomer.tenant || end <= own || spared {
            return None;
        }
        self.loaded.pop_last();
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

    /// Counts a job that has left a line, which is not among the loaded ones while it does.
    fn uncount(&mut self, tenant: &Arc<str>, job: &Job<T>) {
        self.cost = self.cost.saturating_sub(job.cost);
        self.count -= 1;
        let line = self.of.get_mut(tenant).expect("its line is there");
        if job.sheddable {
            line.sheddable -= 1;
            line.load = line.load.saturating_sub(job.cost);
        }
        if line.sheddable > 0 {
            self.loaded.insert((line.end(), Arc::clone(tenant)));
        }
    }

    /// Drops the lines that have neither jobs nor more than their share, and those beyond what is remembered.
    fn forget(&mut self) {
        while let Some((finish, _)) = self.resting.first()
            && (*finish <= self.now || self.resting.len() > REMEMBERED)
        {
            let (_, tenant) = self.resting.pop_first().expect("there is a first");
            self.of.remove(&tenant);
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
        let loaded = self.loaded.remove(&(line.end(), Arc::clone(tenant)));
        if set.remove(&(before, Arc::clone(tenant))) {
            (line.finish, line.start) = (finish, finish.max(self.now));
            set.insert((if line.jobs.is_empty() { line.finish } else { line.start }, Arc::clone(tenant)));
        }
        if loaded {
            self.loaded.insert((line.end(), Arc::clone(tenant)));
        }
    }
}

#[cfg(test)]
mod tests;
