//! From a module to a policy that can judge: configured, trained, snapshotted, and ready to be restored.
//!
//! ```text
//! module ─► instrumented ─► compiled ─► started, configured: says A to its samples
//!                                    └► started, configured, trained with its samples ─► snapshot
//! snapshot ─► restorable ─► compiled ─► started: says B to its samples, A = B or refused ─► pages learned
//! ```
//!
//! Whatever cannot be done is left out, and the reason is kept for whoever asks: without a snapshot a policy is configured
//! at each start; without a layout its instances are not kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Fault;
use super::samples::{self, Said, Sample};
use super::shelf::Shelf;
use crate::abi::Guest;
use crate::compiled::{Blank, MachineCode};
use crate::digest::Digest;
use crate::engine::Code;
use crate::inspect::{Abi, Inspection, Trust, survey};
use crate::instance::{Asked, Deadline, Question, Run, Template, Waiting};
use crate::manifest::Manifest;
use crate::rego::{self, Calls};
use crate::request::{Request, RequestLimits};
use crate::restore::{self, Kept, Layout, pages_of};
use crate::rewrite::restorable;
use crate::set::Binding;
use crate::snapshot::{Instrumented, instrument};
use crate::system::Case;
use crate::variant::Note;

/// Longest time that pages are learned for while a set is loaded.
const LEARNING: Duration = Duration::from_millis(100);

/// What a variant is made from.
pub(super) struct Order<'a> {
    pub(super) code: &'a MachineCode,
    /// Whether it may become a snapshot.
    pub(super) snapshots: bool,
    pub(super) binding: &'a Binding,
    pub(super) wasm: &'a [u8],
    pub(super) facts: &'a Inspection,
    /// Whether the module was validated now.
    pub(super) validated: bool,
    pub(super) manifest: &'a Manifest,
    /// Digest of the module its code is made from.
    pub(super) module: Digest,
    /// The configuration as the guest is given it, and its digest.
    pub(super) config: &'a str,
    pub(super) digest: Digest,
}

/// What a variant's pool is made of, and what is known of it.
pub(super) struct Finished {
    pub(super) template: Template,
    pub(super) layout: Option<Layout>,
    pub(super) note: Note,
    /// The code it began with, where that was needed.
    pub(super) blank: Option<Blank>,
}

impl Order<'_> {
    /// The name of this variant among stored notes.
    fn key(&self) -> Digest {
        let Binding { limits, grants, .. } = self.binding;
        let grants: Vec<&str> = grants.iter().map(|grant| grant.as_str()).collect();
        Digest::of(format!("variant {} {} {limits:?} {grants:?}", self.module, self.digest).as_bytes())
    }

    /// The variant as it was made before, on this machine.
    pub(super) async fn stored(&self, shelf: &mut Shelf<'_>) -> Option<Finished> {
        let note: Note = serde_json::from_slice(&shelf.note(&self.key())?).ok()?;
        let module = shelf.find(note.snapshot.as_ref().unwrap_or(&self.module))?;
        let template = self.template(&module, note.snapshot.is_none().then_some(self.config)).ok()?;
        let template = template.calling(note.rego.known());
        let layout = match &note.unrestorable {
            Some(_) => None,
            None => {
                let layout = |guest: &Guest| {
                    let closed = Layout::closed(guest.memory());
                    closed.with(&note.pages, guest.memory()).unwrap_or(closed)
                };
                Some(template.look_at_start(layout).await.ok()?)
            }
        };
        Some(Finished { template, layout, note, blank: None })
    }

    /// Makes the variant from nothing but its module.
    pub(super) async fn make(&self, shelf: &mut Shelf<'_>) -> Result<Finished, Fault> {
        // What only has a name in the store, and no code that is authentic, nobody vouches for.
        if !self.validated && shelf.find(&self.module).is_none() {
            let looked = survey(self.wasm, self.module, Trust::Nobody);
            looked.map_err(|problems| Fault::Policy(problems.join("; ")))?;
        }
        let instrumented = instrument(self.wasm, self.facts);
        let wasm = instrumented.as_ref().map_or(self.wasm, |instrumented| &instrumented.wasm);
        let module = shelf.code(&self.module, wasm).map_err(Fault::Compile)?;
        let mut plain = self.template(&module, Some(self.config)).map_err(Fault::Policy)?;
        plain.rehearse().await.map_err(|failure| Fault::Policy(format!("cannot be started: {failure}")))?;
        let mut calls = Calls::default();
        if self.facts.abi == Abi::Rego {
            calls = self.calls(&plain).await.map_err(Fault::Policy)?;
            plain = plain.calling(calls.known());
        }
        let samples = samples::of(self.manifest, &plain).map_err(Fault::Policy)?;
        let said = samples::judge(&plain, self.manifest, &samples).await.map_err(Fault::Policy)?;
        let snapshot = match instrumented {
            Ok(_) if !self.snapshots => Err(Fault::Snapshot("nobody wants one".to_owned())),
            Ok(instrumented) => self.snapshot(&plain, &instrumented, &samples, &said, shelf).await,
            Err(why) => Err(Fault::Snapshot(why)),
        };
        let (template, layout, mut note) = match snapshot {
            Ok(finished) => finished,
            Err(Fault::Snapshot(why)) => {
                let unrestorable = Some("there is no snapshot to put it back to".to_owned());
                let note = Note { plain: Some(why), unrestorable, sample_fuel: said.fuel, ..Note::default() };
                (plain, None, note)
            }
            Err(fault) => return Err(fault),
        };
        note.rego = calls;
        let written = serde_json::to_vec(&note).expect("a note always serialises into memory");
        shelf.write_down(&self.key(), &written);
        Ok(Finished { template, layout, note, blank: Some(Blank(module)) })
    }

    /// How a module of OPA's is called, if this host has what it asks for.
    async fn calls(&self, plain: &Template) -> Result<Calls, String> {
        let Binding { entrypoint, grants, .. } = self.binding;
        let entry = rego::entry(&plain.told(rego::ENTRY_POINTS).await?, entrypoint.as_deref())?;
        let builtins = rego::builtins(plain.told(rego::BUILTINS).await?, grants)?;
        Ok(Calls { entry, builtins })
    }

    /// The same policy, starting as it is when it is configured and trained.
    async fn snapshot(
        &self,
        plain: &Template,
        instrumented: &Instrumented<'_>,
        samples: &[Sample],
        before: &Said,
        shelf: &mut Shelf<'_>,
    ) -> Result<(Template, Option<Layout>, Note), Fault> {
        let (snapshot, untrained) = self.trained(plain, instrumented, samples).await.map_err(Fault::Snapshot)?;
        let restorable = match self.facts.abi {
            Abi::Core | Abi::Rego => restorable(&snapshot),
            Abi::Component => Err("a component does not show its memory".to_owned()),
        };
        let (wasm, unrestorable) = match restorable {
            Ok(wasm) => (wasm, None),
            Err(why) => (snapshot, Some(why)),
        };
        let digest = Digest::of(&wasm);
        let module = shelf.code(&digest, &wasm).map_err(Fault::snapshot)?;
        let template =
            plain.snapshotted(&module, &self.binding.grants).map_err(|error| Fault::Snapshot(not_linked(&error)))?;
        let after = samples::judge(&template, self.manifest, samples).await.map_err(trained_away)?;
        if let Some(index) = before.differs(&after) {
            return Err(trained_away(format!("sample {index} of its manifest: another verdict")));
        }
        let learned = match unrestorable {
            Some(why) => Err(why),
            None => self.learn(&template, samples).await,
        };
        let (layout, unrestorable) = match learned {
            Ok(layout) => (Some(layout), None),
            Err(why) => (None, Some(why)),
        };
        let pages = layout.iter().flat_map(Layout::pages).collect();
        let note = Note {
            snapshot: Some(digest),
            plain: untrained,
            unrestorable,
            sample_fuel: after.fuel,
            pages,
            ..Note::default()
        };
        Ok((template, layout, note))
    }

    /// The module that starts as an instance that has judged all samples, or none of them, with the reason.
    async fn trained(
        &self,
        plain: &Template,
        instrumented: &Instrumented<'_>,
        samples: &[Sample],
    ) -> Result<(Vec<u8>, Option<String>), String> {
        let begin = || Deadline::begin(plain.limits(), Waiting::Nobody);
        let failure = |run: Run| run.into_failure().to_string();
        let _slot = plain.slot().await;
        let mut guest = plain.start(begin()).await.map_err(failure)?;
        for (index, sample) in samples.iter().enumerate() {
            let asked = plain.ask(&mut guest, Question::trial(&sample.given, begin()), |_| true).await;
            if !matches!(asked, Asked::Answered(Run { answer: Ok(_), .. })) {
                drop(guest);
                let mut guest = plain.start(begin()).await.map_err(failure)?;
                let why = format!("not trained: it does not judge sample {index} after the ones before");
                return Ok((instrumented.snapshot(&mut guest)?, Some(why)));
            }
        }
        Ok((instrumented.snapshot(&mut guest)?, None))
    }

    /// The pages that samples make an evaluation write, or plain requests of our own where there are none. What real requests
    /// write beyond is learned from them.
    async fn learn(&self, template: &Template, samples: &[Sample]) -> Result<Layout, String> {
        if !restore::is_possible() {
            return Err("this machine cannot protect pages".to_owned());
        }
        let image = template.image().await.map_err(|failure| failure.to_string())?;
        let probes = if samples.is_empty() { self.probes(template) } else { Vec::new() };
        let requests = samples.iter().map(|sample| &sample.given).chain(&probes);
        let (mut layout, mut judged, mut too_many) = (Arc::new(Layout::closed(&image)), false, false);
        let until = Instant::now() + LEARNING;
        for request in requests.take_while(|_| Instant::now() < until) {
            match self.opened_for(template, Arc::clone(&layout), &image, request, until).await? {
                Some(opened) => (layout, judged) = (opened, true),
                None => too_many = true,
            }
        }
        match too_many && !judged {
            true => Err("its evaluations write more memory than is worth copying back".to_owned()),
            false => Ok(Arc::into_inner(layout).expect("the instances it was tried in are gone")),
        }
    }

    /// The layout with all pages open that a request makes an evaluation write; none where these are too many.
    async fn opened_for(
        &self,
        template: &Template,
        mut layout: Arc<Layout>,
        image: &[u8],
        request: &[u8],
        until: Instant,
    ) -> Result<Option<Arc<Layout>>, String> {
        while Instant::now() < until
            && let Some(pages) = self.written_beyond(template, &layout, request).await?
        {
            match layout.with(&pages, image) {
                Some(more) => layout = Arc::new(more),
                None => return Ok(None),
            }
        }
        Ok(Some(layout))
    }

    /// The page a request makes an evaluation write that is not open yet; none where there is none that is known.
    async fn written_beyond(
        &self,
        template: &Template,
        layout: &Arc<Layout>,
        request: &[u8],
    ) -> Result<Option<Vec<usize>>, String> {
        let deadline = Deadline::begin(template.limits(), Waiting::Caller).at_most(LEARNING);
        let _slot = template.slot().await;
        let guest = template.start(deadline).await.map_err(|run| run.into_failure().to_string())?;
        let mut kept =
            Kept::new(guest, Arc::clone(layout)).map_err(|error| format!("pages cannot be protected: {error}"))?;
        let (guest, layout) = kept.parts();
        let stopped_at =
            match template.ask(guest, Question::trial(request, deadline), |input| layout.takes(input)).await {
                Asked::Stopped(stop) => stop.at,
                Asked::Answered(_) => None,
            };
        Ok(stopped_at.map(|span| pages_of(&span).collect()))
    }

    /// Plain requests of usual sizes. Larger ones would open pages that are then copied back after every small one, too.
    fn probes(&self, template: &Template) -> Vec<Vec<u8>> {
        const SIZES: [usize; 2] = [100, 800];
        let checkpoints = self.binding.checkpoints.iter().flatten().map(|pattern| pattern.to_string());
        let checkpoints = checkpoints.chain(self.manifest.checkpoints.iter().flatten().cloned());
        let checkpoint = checkpoints.into_iter().find(|name| !name.contains(['*', '?']));
        let checkpoint = checkpoint.unwrap_or_else(|| "inference.input".to_owned());
        let probe = |size: usize| {
            let text = "some words of a text ".repeat(size / 21);
            let json = serde_json::json!({
                "checkpoint": checkpoint,
                "content": [{"role": "user", "origin": "user", "text": text}],
            });
            let request = Request::parse_within(json.to_string().as_bytes(), &RequestLimits::default());
            let request = request.ok()?.reproducible();
            Some(template.given(&self.manifest.reads, &Case { request: &request, system: None }))
        };
        SIZES.into_iter().filter_map(probe).collect()
    }

    fn template(&self, code: &Code, config: Option<&str>) -> Result<Template, String> {
        let Binding { grants, limits, .. } = self.binding;
        let engine = Arc::clone(self.code.engine());
        let template = Template::new(engine, code, grants, *limits, config);
        template.map_err(|error| not_linked(&error))
    }
}

fn not_linked(error: &wasmtime::Error) -> String {
    format!("cannot be linked: {error:#}")
}

/// The error of a policy whose snapshot judges otherwise than the policy itself.
fn trained_away(why: String) -> Fault {
    let cause = "after it has judged its samples once, it judges them otherwise";
    Fault::Policy(format!("{cause}: {why}; an evaluation must not depend on the ones before"))
}
