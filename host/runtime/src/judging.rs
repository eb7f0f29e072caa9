//! One request before the policies that apply: selected, run one after the other, combined. Nothing is recorded here.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::combine::{Judged, Ruling, combine};
use crate::decision::PolicyReport;
use crate::digest::Digest;
use crate::generation::{Loaded, Policy};
use crate::hostcalls::{Log, Moment};
use crate::instance::{Deadline, Question, Run, Waiting};
use crate::pool::Rest;
use crate::reads::Reads;
use crate::request::Request;
use crate::set::WhenUnbound;
use crate::state::{Account, State, StateCall, Taken};
use crate::verdict::{Answer, Effect, Failure, FailureKind, Verdict, decode};

/// A request and what its policies have said so far.
pub(crate) struct Judging<'a> {
    loaded: &'a Loaded,
    state: &'a Arc<State>,
    pub(crate) request: Request,
    waiting: Waiting,
    /// The whole request as guests see it, encoded once.
    pub(crate) encoded: Vec<u8>,
    /// The parts of it that policies have been given so far.
    cuts: Vec<Cut>,
    /// What components have been given so far, by their readings.
    images: Vec<(usize, Vec<u8>)>,
    pub(crate) selected: Vec<&'a Policy>,
    /// One for each selected policy that has answered, in the same order.
    judged: Vec<Judgement>,
}

/// What all policies of one reading are given.
struct Cut {
    reading: usize,
    bytes: Vec<u8>,
    digest: Digest,
}

/// What became of one policy.
struct Judgement {
    report: PolicyReport,
    trace: Trace,
    taken: Taken,
}

/// What a policy leaves for the record beside its report.
#[derive(Default)]
pub(crate) struct Trace {
    /// Digest of what it was given; none where that is the whole request.
    pub(crate) given: Option<Digest>,
    pub(crate) log: Log,
    /// What it asked of its counters, and what it was told.
    pub(crate) calls: Vec<StateCall>,
}

/// What a policy took, until it is known whether the ruling stands.
pub(crate) struct Claim {
    taken: Taken,
    /// What a shadow's own verdict is; none where the ruling says whether it stands.
    shadow: Option<Effect>,
}

impl Claim {
    /// The decision is made.
    pub(crate) fn end(self, ruling: Effect) {
        self.taken.end(self.shadow.unwrap_or(ruling) == Effect::Allow);
    }
}

/// What all judgements come to.
pub(crate) struct Ruled {
    pub(crate) ruling: Ruling,
    pub(crate) policies: Vec<PolicyReport>,
    pub(crate) shadow: Vec<PolicyReport>,
    /// In the order of the selected policies.
    pub(crate) traces: Vec<Trace>,
    /// Of the policies that have answered; what the others took is given back.
    pub(crate) claims: Vec<Claim>,
}

impl<'a> Judging<'a> {
    pub(crate) fn new(loaded: &'a Loaded, state: &'a Arc<State>, request: Request, waiting: Waiting) -> Judging<'a> {
        let case = loaded.case(&request);
        let (selected, encoded) = (loaded.select(&case), Reads::default().cut(&case));
        let judged = Vec::with_capacity(selected.len());
        Judging { loaded, state, request, waiting, encoded, cuts: Vec::new(), images: Vec::new(), selected, judged }
    }

    /// Runs every selected policy, one after the other.
    pub(crate) async fn ask_all(&mut self) {
        // The end of one is the beginning of the next: reading the clock costs as much as a small call.
        let mut clock = Instant::now();
        for position in self.judged.len()..self.selected.len() {
            let policy = self.selected[position];
            self.cut_for(policy);
            let judgement = match self.judge_at_once(policy, &mut clock) {
                Ok(judgement) => judgement,
                // What waits has a future of its own on the heap: whoever polls this one does not move it.
                Err(rest) => Box::pin(self.judge_rest(policy, rest, &mut clock)).await,
            };
            self.judged.push(judgement);
        }
    }

    /// Whoever has not answered by now is cancelled.
    pub(crate) fn abandon(&mut self) {
        for position in self.judged.len()..self.selected.len() {
            let outcome = Err(Failure::new(FailureKind::Cancelled, "the caller went away"));
            let report = self.report(self.selected[position], outcome, 0, 0, 0.0);
            self.judged.push(Judgement { report, trace: Trace::default(), taken: Taken::default() });
        }
    }

    /// Combines what was said.
    pub(crate) fn rule(&mut self) -> Ruled {
        let judged = std::mem::take(&mut self.judged);
        let mut traces = Vec::with_capacity(judged.len());
        let (mut policies, mut shadow, mut claims) = (Vec::with_capacity(judged.len()), Vec::new(), Vec::new());
        for Judgement { report, trace, taken } in judged {
            if !taken.is_empty() && report.outcome.is_ok() {
                claims.push(Claim { taken, shadow: report.shadow.then_some(report.counted_as) });
            }
            if report.shadow { &mut shadow } else { &mut policies }.push(report);
            traces.push(trace);
        }
        let unbound = match self.loaded.checkpoint(self.request.checkpoint()).when_unbound {
            WhenUnbound::Deny => Effect::Deny,
            WhenUnbound::Allow => Effect::Allow,
        };
        let judged: Vec<Judged<'_>> = policies
            .iter()
            .map(|report| Judged { policy: &report.name, outcome: &report.outcome, counted_as: report.counted_as })
            .collect();
        Ruled { ruling: combine(&judged, unbound), policies, shadow, traces, claims }
    }

    /// Encodes what a policy is given, where no policy before was given the same.
    fn cut_for(&mut self, policy: &Policy) {
        let Policy { reads, reading, variant, .. } = policy;
        let case = self.loaded.case(&self.request);
        if !reads.is_the_request() && !self.cuts.iter().any(|cut| cut.reading == *reading) {
            let bytes = reads.cut(&case);
            self.cuts.push(Cut { reading: *reading, digest: Digest::of(&bytes), bytes });
        }
        let template = variant.pool.template();
        if !template.takes_json() && !self.images.iter().any(|(of, _)| of == reading) {
            self.images.push((*reading, template.given(reads, &case)));
        }
    }

    /// What a policy is given, and the digest that names it in records; none where it is the whole request.
    fn given(&self, policy: &Policy) -> (&[u8], Option<Digest>) {
        let cut = self.cuts.iter().find(|cut| cut.reading == policy.reading);
        let (json, digest) = cut.map_or((&self.encoded, None), |cut| (&cut.bytes, Some(cut.digest)));
        if policy.variant.pool.template().takes_json() {
            return (json, digest);
        }
        let image = self.images.iter().find(|(reading, _)| *reading == policy.reading);
        (&image.expect("what a policy is given is made before it is asked").1, digest)
    }

    /// What a policy judges where that takes no waiting, from when the clock says on; the clock is set to when it has judged.
    fn judge_at_once(&self, policy: &'a Policy, clock: &mut Instant) -> Result<Judgement, Rest<'a>> {
        let account = policy.counts.then(|| self.account(policy));
        let question = self.question(policy, account.as_ref(), *clock);
        let run = policy.variant.pool.run_at_once(question)?;
        Ok(self.judgement(policy, run, clock))
    }

    /// As [`Judging::judge_at_once`], for what has to wait.
    async fn judge_rest(&self, policy: &'a Policy, rest: Rest<'a>, clock: &mut Instant) -> Judgement {
        let account = policy.counts.then(|| self.account(policy));
        let question = self.question(policy, account.as_ref(), *clock);
        let run = policy.variant.pool.run_rest(rest, question).await;
        self.judgement(policy, run, clock)
    }

    fn question<'q>(&'q self, policy: &'q Policy, account: Option<&'q Account>, started: Instant) -> Question<'q> {
        let template = policy.variant.pool.template();
        let deadline = Deadline::since(started, template.limits(), self.waiting);
        let moment = if template.has_clock() { self.moment(policy) } else { Moment::default() };
        Question { given: self.given(policy).0, deadline, account, moment }
    }

    fn judgement(&self, policy: &Policy, run: Run, clock: &mut Instant) -> Judgement {
        let Run { answer, fuel, memory_bytes, log, mut taken } = run;
        let outcome = answer.and_then(|answer| self.decoded(policy, &answer));
        let started = std::mem::replace(clock, Instant::now());
        let micros = (*clock - started).as_nanos() as f64 / 1e3;
        let trace = Trace { given: self.given(policy).1, log, calls: taken.calls() };
        Judgement { report: self.report(policy, outcome, fuel, memory_bytes, micros), trace, taken }
    }

    /// The request's time, and its id as a seed, as far as the policy reads them.
    fn moment(&self, policy: &Policy) -> Moment {
        let may_read = |pointer: &str| policy.reads.is_everything() || policy.reads.may_edit(pointer);
        let nanos = i64::try_from(self.request.time().as_nanosecond()).unwrap_or(0);
        // FNV-1a: a seed keeps no secret.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let seed = self.request.id().bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        Moment { nanos: if may_read("/time") { nanos } else { 0 }, seed: if may_read("/id") { seed } else { 0 } }
    }

    fn account(&self, policy: &Policy) -> Account {
        let now = u64::try_from(self.request.time().as_millisecond()).unwrap_or(0);
        Account::new(self.state, &policy.name, self.request.tenant(), policy.shadow, now)
    }

    fn report(
        &self,
        policy: &Policy,
        outcome: Result<Verdict, Failure>,
        fuel: u64,
        memory_bytes: u64,
        micros: f64,
    ) -> PolicyReport {
        let counted_as = match &outcome {
            Ok(verdict) => verdict.effect,
            Err(_) => policy.on_failure.counts_as(self.today()),
        };
        PolicyReport {
            name: policy.name.clone(),
            module: policy.module,
            config: policy.config,
            outcome,
            counted_as,
            fuel,
            memory_bytes,
            micros,
            shadow: policy.shadow,
        }
    }

    /// The day for what expires: the later of the host's and the request's, since a caller who dates a request back must
    /// not bring back what has expired.
    fn today(&self) -> Date {
        TimeZone::UTC.to_datetime(self.request.time().max(Timestamp::now())).date()
    }

    fn decoded(&self, policy: &Policy, answer: &[u8]) -> Result<Verdict, Failure> {
        match decode(answer, self.request.root(), |at| policy.reads.may_edit(at)) {
            Ok(Answer::Verdict(verdict)) => Ok(verdict),
            Ok(Answer::Error(text)) => Err(Failure::new(FailureKind::GuestError, text)),
            Err(error) if error.pointer.is_empty() => Err(Failure::new(FailureKind::BadOutput, error.message)),
            Err(error) => {
                Err(Failure::new(FailureKind::BadOutput, format!("at `{}`: {}", error.pointer, error.message)))
            }
        }
    }
}
