//! A thread for work that would keep an executor's thread from its other tasks.
//!
//! It stays while its owner does: to start one takes as long as to load a small set, and the memory it works with is warm.

use std::sync::{Arc, Mutex, Weak, mpsc};

use tokio::sync::oneshot;

use crate::poison;

type Job = Box<dyn FnOnce() + Send>;

/// The thread where it has nothing to do. It ends when this is dropped.
#[derive(Default)]
pub(crate) struct Thread(Arc<Idle>);

type Idle = Mutex<Option<mpsc::Sender<Job>>>;

impl Thread {
    /// Does some work, in another thread if this one is busy. It goes on if nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, answer) = oneshot::channel();
        // Whoever asked may have gone.
        let job: Job = Box::new(move || _ = done.send(work()));
        let idle = poison::lock(&self.0).take();
        match idle {
            Some(idle) => idle.send(job).expect("an idle thread waits for work"),
            None => self.start(job),
        }
        answer.await.expect("loading a set does not panic")
    }

    fn start(&self, first: Job) {
        let idle = Arc::downgrade(&self.0);
        let work = move || {
            first();
            while let Some(job) = wait(&idle) {
                job();
            }
        };
        let thread = std::thread::Builder::new().name("weir-loader".into()).spawn(work);
        thread.expect("a host can start one more thread");
    }
}

/// The next job of a thread that has nothing to do; none where another waits already, or nobody is left to ask.
fn wait(idle: &Weak<Idle>) -> Option<Job> {
    let (me, jobs) = mpsc::channel();
    let owner = idle.upgrade()?;
    let mut place = poison::lock(&owner);
    if place.is_some() {
        return None;
    }
    *place = Some(me);
    drop(place);
    drop(owner);
    jobs.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(thread: &Thread) -> std::thread::ThreadId {
        pollster::block_on(thread.run(|| std::thread::current().id()))
    }

    #[test]
    fn one_thread_does_what_follows_and_another_what_is_asked_meanwhile() {
        let thread = Thread::default();
        let first = id(&thread);
        while poison::lock(&thread.0).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(id(&thread), first);
        let inside = Thread(Arc::clone(&thread.0));
        let (outer, inner) = pollster::block_on(thread.run(move || (std::thread::current().id(), id(&inside))));
        assert_ne!(outer, inner);
    }

    #[test]
    fn an_idle_thread_ends_with_its_owner() {
        let (alive, ended) = mpsc::channel::<()>();
        let thread = Thread::default();
        thread_local!(static HELD: std::cell::RefCell<Option<mpsc::Sender<()>>> = const { std::cell::RefCell::new(None) });
        pollster::block_on(thread.run(move || HELD.set(Some(alive))));
        drop(thread);
        assert!(ended.recv().is_err(), "what the thread held is gone with it");
    }
}
