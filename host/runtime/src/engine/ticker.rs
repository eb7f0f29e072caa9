//! The clock of guests: one thread that advances the epoch.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Length of an epoch.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Advances an engine's epoch until it is dropped.
pub(super) struct Ticker {
    /// Dropping it ends the thread; nothing is ever sent.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> Ticker {
        let (stop, stopped) = mpsc::channel::<()>();
        let tick = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new().name("weir-ticker".into()).spawn(tick);
        Ticker { stop: Some(stop), thread: Some(thread.expect("one thread can be started while a host starts")) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the ticker only counts");
        }
    }
}
