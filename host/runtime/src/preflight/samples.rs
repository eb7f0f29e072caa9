//! Whether a policy can do its work: it has to judge its own samples within its limits.

use crate::instance::{Deadline, Question, Template, Waiting};
use crate::manifest::Manifest;
use crate::request::{Request, RequestLimits};
use crate::system::Case;
use crate::verdict::{self, Verdict};

/// A request the module brings, and what its policy is given of it.
pub(super) struct Sample {
    request: Request,
    pub(super) given: Vec<u8>,
}

/// The samples of a manifest.
pub(super) fn of(manifest: &Manifest, template: &Template) -> Result<Vec<Sample>, String> {
    let sample = |(index, text): (usize, &String)| {
        let request = Request::parse_within(text.as_bytes(), &RequestLimits::default())
            .map_err(|error| format!("sample {index} of its manifest is no request: {error}"))?
            .reproducible();
        let given = template.given(&manifest.reads, &Case { request: &request, system: None });
        Ok(Sample { request, given })
    };
    manifest.samples.iter().enumerate().map(sample).collect()
}

/// What a policy says to its samples.
pub(super) struct Said {
    verdicts: Vec<Verdict>,
    /// Most fuel one of them took.
    pub(super) fuel: u64,
}

impl Said {
    /// The first sample to which others say something else.
    pub(super) fn differs(&self, other: &Said) -> Option<usize> {
        self.verdicts.iter().zip(&other.verdicts).position(|(one, other)| one != other)
    }
}

/// Lets a policy judge its samples, each in a fresh instance.
pub(super) async fn judge(template: &Template, manifest: &Manifest, samples: &[Sample]) -> Result<Said, String> {
    let mut said = Said { verdicts: Vec::with_capacity(samples.len()), fuel: 0 };
    for (index, Sample { request, given }) in samples.iter().enumerate() {
        let run = template.run(Question::trial(given, Deadline::begin(template.limits(), Waiting::Nobody))).await;
        said.fuel = said.fuel.max(run.fuel);
        let judged = run.answer.map_err(|failure| failure.to_string()).and_then(|answer| {
            verdict::decode(&answer, request.root(), |at| manifest.reads.may_edit(at))
                .map_err(|error| format!("bad_output at `{}`: {}", error.pointer, error.message))
        });
        match judged {
            Ok(verdict::Answer::Verdict(verdict)) => said.verdicts.push(verdict),
            Ok(verdict::Answer::Error(error)) => {
                return Err(format!("sample {index} of its manifest: guest_error: {error}"));
            }
            Err(error) => return Err(format!("sample {index} of its manifest: {error}")),
        }
    }
    Ok(said)
}
