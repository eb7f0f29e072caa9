//! Policies by themselves, to be measured: judged as a host judges them, but nothing is selected, combined or recorded.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::compiler::Compiler;
use crate::engine::Traps;
use crate::generation::{Loaded, Policy};
use crate::instance::{Deadline, Question, Run, Waiting};
use crate::loader::{Source, load};
use crate::plan::Plan;
use crate::pool::InstanceMetrics;
use crate::preflight::{Workshop, prepare};
use crate::request::Request;
use crate::runtime::{OpenError, READY, workshop};
use crate::verdict::Failure;

/// The policies of a set, loaded to be measured: what `weir bench` and the figures of this project come from.
///
/// There are no decisions here, so nothing can act on what a policy answers.
pub struct Trial {
    workshop: Workshop,
    loaded: Loaded,
}

/// What one call of one policy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The guest's own bytes, not decoded.
    pub answer: Result<Vec<u8>, Failure>,
    /// Fuel it took.
    pub fuel: u64,
    /// Its linear memory at the end, in bytes.
    pub memory_bytes: u64,
}

/// How a trial loads its policies.
#[derive(Debug, Clone)]
pub struct TrialOptions {
    /// Who compiles; default: this process.
    pub compiler: Compiler,
    /// Most instances that are kept ready; default 4,096.
    pub ready_instances: usize,
    /// Whether policies start from snapshots where they can, as in a host; default true. Without, each is configured at each
    /// start, and its instances are not kept.
    pub snapshots: bool,
}

impl Default for TrialOptions {
    fn default() -> Self {
        TrialOptions { compiler: Compiler::in_process(), ready_instances: READY, snapshots: true }
    }
}

impl Trial {
    /// Loads a set as a host does. Policies that are off are left out.
    ///
    /// # Errors
    /// As for [`check`](crate::check()).
    pub fn open(source: &Source, options: TrialOptions) -> Result<Trial, OpenError> {
        let mut workshop = workshop(options.compiler, None, options.ready_instances, Traps::default())?;
        workshop.snapshots = options.snapshots;
        let loaded = pollster::block_on(prepare(&workshop, &load(source)?, &[], &|| false))?;
        loaded.warm();
        Ok(Trial { workshop, loaded })
    }

    /// What was loaded.
    pub fn plan(&self) -> &Plan {
        self.loaded.plan()
    }

    /// What a policy would be given of a request: what its manifest says it reads, encoded as its ABI has it.
    ///
    /// # Panics
    /// There is no policy at this place of the set.
    pub fn given(&self, policy: usize, request: &Request) -> Vec<u8> {
        let Policy { variant, reads, .. } = self.policy(policy);
        variant.pool.template().given(reads, &self.loaded.case(request))
    }

    /// Lets a policy judge. Blocks; a deadline is one second at least, as for whatever nobody waits for.
    ///
    /// # Panics
    /// There is no policy at this place of the set.
    pub fn call(&self, policy: usize, given: &[u8]) -> Called {
        let pool = &self.policy(policy).variant.pool;
        let deadline = Deadline::begin(pool.template().limits(), Waiting::Nobody);
        let mut run = pin!(pool.run(Question::trial(given, deadline)));
        // A call that runs inline is over when it has been polled once.
        let run = match run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(run) => run,
            Poll::Pending => pollster::block_on(run),
        };
        let Run { answer, fuel, memory_bytes, .. } = run;
        Called { answer, fuel, memory_bytes }
    }

    /// Makes more instances of a policy ready; the answer is how many there are now, in all, which the budget bounds.
    ///
    /// # Panics
    /// There is no policy at this place of the set.
    pub fn make_ready(&self, policy: usize, more: usize) -> usize {
        self.policy(policy).variant.pool.add(more);
        self.workshop.keeper.budget().instances()
    }

    /// What has become of ready instances.
    pub fn instances(&self) -> InstanceMetrics {
        self.workshop.keeper.metrics()
    }

    fn policy(&self, place: usize) -> &Policy {
        self.loaded.policy(place).expect("the caller names a policy of the set")
    }
}
