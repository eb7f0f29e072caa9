//! One request on its way: selected, judged, combined, recorded. Dropped halfway, it still leaves its record.

use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::combine::{Judged, combine};
use crate::decision::{Decision, PolicyReport};
use crate::digest::Digest;
use crate::generation::{Generation, Policy};
use crate::hostcalls::Log;
use crate::instance::{Run, Waiting};
use crate::metrics::Counters;
use crate::reads::Reads;
use crate::record::{Evidence, PolicyEvidence, Recorder};
use crate::request::Request;
use crate::set::WhenUnbound;
use crate::verdict::{Answer, Effect, Failure, FailureKind, Verdict, decode};

/// An evaluation in progress.
pub(crate) struct Evaluation<'a> {
    generation: &'a Generation,
    recorder: &'a Recorder,
    counters: &'a Counters,
    request: Request,
    waiting: Waiting,
    /// The whole request as guests see it, encoded once.
    encoded: Vec<u8>,
    selected: Vec<&'a Policy>,
    /// One for each selected policy that has answered, in the same order.
    judged: Vec<Judgement>,
    /// Whether the recorder has taken over.
    recorded: bool,
}

/// What became of one policy.
struct Judgement {
    report: PolicyReport,
    /// Digest of what it was given; none where that is the whole request.
    given: Option<Digest>,
    log: Log,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(
        generation: &'a Generation,
        recorder: &'a Recorder,
        counters: &'a Counters,
        request: Request,
        waiting: Waiting,
    ) -> Evaluation<'a> {
        let case = generation.case(&request);
        let (selected, encoded) = (generation.select(&case), Reads::default().cut(&case));
        let judged = Vec::with_capacity(selected.len());
        Evaluation { generation, recorder, counters, request, waiting, encoded, selected, judged, recorded: false }
    }

    /// Runs every selected policy, one after the other, and records what they come to.
    pub(crate) async fn decide(mut self) -> Decision {
        for position in 0..self.selected.len() {
            let judgement = self.judge(self.selected[position]).await;
            self.judged.push(judgement);
        }
        let checkpoint = self.generation.checkpoint(self.request.checkpoint());
        let (decision, traces) = self.ruled();
        let body = self.evidence(&decision, &traces).body(&decision);
        // From here on the journal keeps the record even if this future is dropped.
        self.recorded = true;
        self.recorder.record(decision, &body, checkpoint, self.counters).await
    }

    async fn judge(&self, policy: &Policy) -> Judgement {
        let cut;
        let (input, given) = if policy.reads.is_everything() {
            (&self.encoded, None)
        } else {
            cut = policy.reads.cut(&self.generation.case(&self.request));
            (&cut, Some(Digest::of(&cut)))
        };
        let Run { answer, fuel, memory_bytes, took, log } = policy.template.run(input, self.waiting).await;
        self.counters.log_lines_dropped.fetch_add(log.dropped, Relaxed);
        let outcome = answer.and_then(|answer| self.decoded(policy, &answer));
        let micros = took.as_nanos() as f64 / 1e3;
        Judgement { report: self.report(policy, outcome, fuel, memory_bytes, micros), given, log }
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

    /// What all judgements come to, not yet recorded, and the traces they leave for the record.
    fn ruled(&mut self) -> (Decision, Vec<(Option<Digest>, Log)>) {
        let judged = std::mem::take(&mut self.judged);
        let (reports, traces): (Vec<_>, Vec<_>) =
            judged.into_iter().map(|judgement| (judgement.report, (judgement.given, judgement.log))).unzip();
        let (shadow, policies): (Vec<_>, Vec<_>) = reports.into_iter().partition(|report| report.shadow);
        let unbound = match self.generation.checkpoint(self.request.checkpoint()).when_unbound {
            WhenUnbound::Deny => Effect::Deny,
            WhenUnbound::Allow => Effect::Allow,
        };
        let judged: Vec<Judged<'_>> = policies
            .iter()
            .map(|report| Judged { policy: &report.name, outcome: &report.outcome, counted_as: report.counted_as })
            .collect();
        let ruling = combine(&judged, unbound);
        let (request, generation) = (self.request.clone(), self.generation.id());
        (Decision { request, record: None, generation, ruling, policies, shadow }, traces)
    }

    fn evidence<'e>(&'e self, decision: &'e Decision, traces: &'e [(Option<Digest>, Log)]) -> Evidence<'e> {
        let mut verdicts = decision.policies.iter().map(|report| report.outcome.as_ref().ok());
        let policies = self.selected.iter().zip(traces).map(|(policy, (given, log))| PolicyEvidence {
            name: &policy.name,
            reads: (!policy.reads.is_everything()).then(|| policy.reads.pointers()),
            given: *given,
            // The whole verdict of a shadow stands in the decision.
            verdict: if policy.shadow {
                None
            } else {
                verdicts.next().flatten().filter(|verdict| says_more(verdict))
            },
            log: &log.lines,
            log_dropped: log.dropped,
        });
        Evidence {
            kind: "decision",
            at: Timestamp::now(),
            request_digest: Digest::of(&self.encoded),
            time: self.request.time_text(),
            policies: policies.collect(),
        }
    }
}

fn says_more(verdict: &Verdict) -> bool {
    let Verdict { effect: _, findings, edits, scores, obligations } = verdict;
    !(findings.is_empty() && edits.is_empty() && scores.is_empty() && obligations.is_empty())
}

impl Drop for Evaluation<'_> {
    /// The caller has gone: whatever had not answered by then is recorded as cancelled.
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        for position in self.judged.len()..self.selected.len() {
            let outcome = Err(Failure::new(FailureKind::Cancelled, "the caller went away"));
            let report = self.report(self.selected[position], outcome, 0, 0, 0.0);
            self.judged.push(Judgement { report, given: None, log: Log::default() });
        }
        let (decision, traces) = self.ruled();
        let body = self.evidence(&decision, &traces).body(&decision);
        self.recorder.record_abandoned(&decision, &body, self.counters);
    }
}
