//! One request on its way: judged and recorded. Dropped halfway, it still leaves its record.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::future::join;
use jiff::Timestamp;

use crate::decision::{Decision, Written};
use crate::digest::Digest;
use crate::generation::Generation;
use crate::instance::Waiting;
use crate::judging::{Claim, Judging, Ruled, Trace};
use crate::metrics::Counters;
use crate::record::{Evidence, PolicyEvidence, Recorder};
use crate::request::Request;
use crate::schedule::Slot;
use crate::set::Isolation;
use crate::state::State;
use crate::verdict::Verdict;

/// An evaluation in progress; on the heap, so that the futures around it stay small.
pub(crate) struct Evaluation<'a> {
    generation: &'a Generation,
    recorder: &'a Recorder,
    counters: &'a Counters,
    judging: Judging<'a>,
    /// Whether the recorder has taken over.
    recorded: bool,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(
        generation: &'a Generation,
        state: &'a Arc<State>,
        recorder: &'a Recorder,
        counters: &'a Counters,
        request: Request,
        waiting: Waiting,
    ) -> Box<Evaluation<'a>> {
        let judging = Judging::new(generation.loaded(), state, request, waiting);
        Box::new(Evaluation { generation, recorder, counters, judging, recorded: false })
    }

    /// Runs every selected policy, leaves its core to others, and records what they come to.
    pub(crate) async fn decide(mut self: Box<Self>, slot: Slot<'_>) -> Decision {
        self.judging.ask_all().await;
        let checkpoint = self.generation.loaded().checkpoint(self.judging.request.checkpoint());
        let (decision, claims) = self.ruled();
        // From here on the journal keeps the record even if this future is dropped.
        self.recorded = true;
        let recorded = self.recorder.record(decision, checkpoint, self.counters);
        // In this order: the record is on its way, or written, before others have their turn.
        let decision = join(recorded, slot.leave()).await.0;
        // What was taken counts once the decision stands, and before anybody hears of it.
        claims.into_iter().for_each(|claim| claim.end(decision.effect()));
        decision
    }

    /// What all judgements come to, not yet recorded.
    fn ruled(&mut self) -> (Decision, Vec<Claim>) {
        let Ruled { ruling, policies, shadow, traces, claims } = self.judging.rule();
        traces.iter().filter(|trace| trace.log.dropped > 0).for_each(|trace| {
            self.counters.log_lines_dropped.fetch_add(trace.log.dropped, Relaxed);
        });
        let (request, generation) = (self.judging.request.clone(), self.generation.id());
        let written = Written::default();
        let mut decision = Decision { request, record: None, generation, ruling, policies, shadow, written };
        decision.written = self.evidence(&decision, &traces).written(&decision);
        (decision, claims)
    }

    fn evidence<'e>(&'e self, decision: &'e Decision, traces: &'e [Trace]) -> Evidence<'e> {
        let mut verdicts = decision.policies.iter().map(|report| report.outcome.as_ref().ok());
        let policies =
            self.judging.selected.iter().zip(traces).map(|(policy, Trace { given, log, calls })| PolicyEvidence {
                name: &policy.name,
                snapshot: policy.variant.note.snapshot,
                isolation: Some(policy.variant.pool.isolation()).filter(|isolation| *isolation == Isolation::Reuse),
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
                host_calls: calls,
            });
        Evidence {
            kind: "decision",
            at: Timestamp::now(),
            request_digest: Digest::of(&self.judging.encoded),
            time: self.judging.request.time_text(),
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
        self.judging.abandon();
        let (decision, _) = self.ruled();
        self.recorder.record_abandoned(&decision, self.counters);
    }
}
