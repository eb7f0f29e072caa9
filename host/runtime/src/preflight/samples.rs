//! Whether a policy can do its work: it is started, configured, and has to judge its own samples within its limits.

use crate::instance::{Template, Waiting};
use crate::manifest::Manifest;
use crate::request::{Request, RequestLimits};
use crate::system::Case;
use crate::verdict;

/// Starts the policy once, and lets it judge each of its samples. The answer is the most fuel one of them took.
pub(super) async fn judge(template: &Template, manifest: &Manifest) -> Result<u64, String> {
    template.rehearse().await.map_err(|failure| format!("cannot be started: {failure}"))?;
    let mut most = 0;
    for (index, sample) in manifest.samples.iter().enumerate() {
        let request = Request::parse_within(sample.as_bytes(), &RequestLimits::default())
            .map_err(|error| format!("sample {index} of its manifest is no request: {error}"))?;
        let case = Case { request: &request, system: None };
        let run = template.run(&manifest.reads.cut(&case), Waiting::Nobody).await;
        most = most.max(run.fuel);
        let judged = run.answer.map_err(|failure| failure.to_string()).and_then(|answer| {
            verdict::decode(&answer, request.root(), |at| manifest.reads.may_edit(at))
                .map_err(|error| format!("bad_output at `{}`: {}", error.pointer, error.message))
        });
        match judged {
            Ok(verdict::Answer::Verdict(_)) => {}
            Ok(verdict::Answer::Error(error)) => {
                return Err(format!("sample {index} of its manifest: guest_error: {error}"));
            }
            Err(error) => return Err(format!("sample {index} of its manifest: {error}")),
        }
    }
    Ok(most)
}
