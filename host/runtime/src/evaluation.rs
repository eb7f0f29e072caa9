//! One request on its way: selected, judged, combined, recorded. Dropped halfway, it still leaves its record.

use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
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
    judged: Vec<PolicyJudged>,
    /// Whether the recorder has taken over.
    recorded: bool,
}

/// What became of one policy.
struct PolicyJudged {
    outcome: Result<Verdict, Failure>,
    given: Option<Digest>,
    fuel: u64,
    memory_bytes: u64,
    micros: f64,
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
            let policy = self.selected[position];
            let judged = self.judge(policy).await;
            self.judged.push(judged);
        }
        let checkpoint = self.generation.checkpoint(self.request.checkpoint());
        let decision = self.decision();
        // From here on the journal keeps the record even if this future is dropped.
        self.recorded = true;
        self.recorder.record(decision, self.evidence(), checkpoint, self.counters).await
    }

    async fn judge(&self, policy: &Policy) -> PolicyJudged {
        let cut;
        let (given, digest) = if policy.reads.is_everything() {
            (&self.encoded, None)
        } else {
            cut = policy.reads.cut(&self.generation.case(&self.request));
            (&cut, Some(Digest::of(&cut)))
        };
        let Run { answer, fuel, memory_bytes, took, log } = policy.template.run(given, self.waiting).await;
        self.counters.log_lines_dropped.fetch_add(log.dropped, Relaxed);
        let outcome = answer.and_then(|answer| self.decoded(&answer));
        PolicyJudged { outcome, given: digest, fuel, memory_bytes, micros: took.as_nanos() as f64 / 1e3, log }
    }

    fn decoded(&self, answer: &[u8]) -> Result<Verdict, Failure> {
        match decode(answer, self.request.root()) {
            Ok(Answer::Verdict(verdict)) => Ok(verdict),
            Ok(Answer::Error(text)) => Err(Failure::new(FailureKind::GuestError, text)),
            Err(error) if error.pointer.is_empty() => Err(Failure::new(FailureKind::BadOutput, error.message)),
            Err(error) => {
                Err(Failure::new(FailureKind::BadOutput, format!("at `{}`: {}", error.pointer, error.message)))
            }
        }
    }

    /// The ruling of what has been judged so far, not yet recorded.
    fn decision(&self) -> Decision {
        let today = TimeZone::UTC.to_datetime(self.request.time()).date();
        let answered = || self.selected.iter().zip(&self.judged);
        let judged: Vec<Judged<'_>> = answered()
            .filter(|(policy, _)| !policy.shadow)
            .map(|(policy, judged)| Judged {
                policy: &policy.name,
                outcome: &judged.outcome,
                on_failure: policy.on_failure.counts_as(today),
            })
            .collect();
        let unbound = match self.generation.checkpoint(self.request.checkpoint()).when_unbound {
            WhenUnbound::Deny => Effect::Deny,
            WhenUnbound::Allow => Effect::Allow,
        };
        let report = |(policy, judged): (&&Policy, &PolicyJudged)| PolicyReport {
            name: policy.name.clone(),
            module: policy.module,
            config: policy.config,
            outcome: judged.outcome.clone(),
            counted_as: judged.outcome.as_ref().map_or(policy.on_failure.counts_as(today), |verdict| verdict.effect),
            fuel: judged.fuel,
            memory_bytes: judged.memory_bytes,
            micros: judged.micros,
            shadow: policy.shadow,
        };
        Decision {
            request: self.request.clone(),
            record: None,
            generation: self.generation.id(),
            ruling: combine(&judged, unbound),
            policies: answered().filter(|(policy, _)| !policy.shadow).map(report).collect(),
            shadow: answered().filter(|(policy, _)| policy.shadow).map(report).collect(),
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        let policies = self.selected.iter().zip(&self.judged).map(|(policy, judged)| PolicyEvidence {
            name: &policy.name,
            reads: (!policy.reads.is_everything()).then(|| policy.reads.pointers()),
            given: judged.given,
            verdict: judged.outcome.as_ref().ok().filter(|verdict| !policy.shadow && says_more(verdict)),
            log: &judged.log,
        });
        Evidence {
            kind: "decision",
            at: Timestamp::now(),
            request_digest: Digest::of(&self.encoded),
            time: self.request.time(),
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
        let cancelled = || PolicyJudged {
            outcome: Err(Failure::new(FailureKind::Cancelled, "the caller went away")),
            given: None,
            fuel: 0,
            memory_bytes: 0,
            micros: 0.0,
            log: Log::default(),
        };
        self.judged.resize_with(self.selected.len(), cancelled);
        self.recorder.record_abandoned(&self.decision(), self.evidence(), self.counters);
    }
}
