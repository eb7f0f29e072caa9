//! A task in the background that is asked to end, and waited for.

use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A running task. Dropping it ends it where it stands.
#[derive(Debug)]
pub(crate) struct Task {
    /// Dropping it is the question.
    stop: oneshot::Sender<()>,
    /// Of the one task; a set because it aborts when it is dropped.
    running: JoinSet<()>,
}

/// Resolves once the task should end.
#[derive(Debug)]
pub(crate) struct Stopped(oneshot::Receiver<()>);

impl Task {
    /// Starts a task that ends soon after what it is given has resolved.
    pub(crate) fn spawn<F>(task: impl FnOnce(Stopped) -> F) -> Task
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(task(Stopped(stopped)));
        Task { stop, running }
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn end(mut self) {
        drop(self.stop);
        // A panic in there has been printed.
        while self.running.join_next().await.is_some() {}
    }
}

impl Stopped {
    /// Waits for the question; may be dropped and called again.
    pub(crate) async fn wait(&mut self) {
        // Nothing is ever sent, so this is the sender's end.
        let _ = (&mut self.0).await;
    }
}
