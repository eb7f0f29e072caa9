//! A running `weir eval --follow`, and patience with it: nothing here waits longer than a minute, or for a fixed time.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Ended, Place, request};

const MOST: Duration = Duration::from_secs(60);

/// Stopped by its pid when it is dropped.
pub(crate) struct Host {
    child: Child,
    stdin: Option<ChildStdin>,
    decisions: Receiver<String>,
    /// What it has said on stderr so far.
    said: Arc<Mutex<String>>,
    /// Number of the next request.
    next: usize,
}

impl Host {
    /// `weir` with these arguments, once it has judged its first request, which is `says.allow`.
    pub(crate) fn start(place: &Place, arguments: &str) -> Host {
        Host::over(place.command(arguments).stdin(Stdio::piped()).spawn().unwrap())
    }

    /// A process that was started, once it has judged its first request; its stderr is read where it is still there.
    pub(crate) fn over(mut child: Child) -> Host {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take());
        let (sender, decisions) = mpsc::channel();
        // Both readers end with the process, whose pipes they read.
        std::thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| sender.send(line.unwrap())));
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let Some(mut stderr) = stderr else { return };
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut bytes) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        let mut host = Host { child, stdin, decisions, said, next: 0 };
        host.ask("allow");
        host
    }

    /// Sends a request and waits for its decision.
    pub(crate) fn ask(&mut self, effect: &str) -> Value {
        self.next += 1;
        writeln!(self.stdin.as_mut().unwrap(), "{}", request(self.next, effect)).unwrap();
        let line = self.decisions.recv_timeout(MOST);
        let line = line.unwrap_or_else(|error| panic!("no decision: {error}; it said: {}", self.said()));
        let decision: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(decision["request"], format!("r-{}", self.next));
        decision
    }

    /// Sends requests until one is judged by a generation of this number.
    pub(crate) fn judged_by(&mut self, generation: u64) -> Value {
        until(&format!("a decision of generation {generation}"), || {
            Some(self.ask("allow")).filter(|decision| decision["generation"]["number"] == generation)
        })
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said this on stderr.
    pub(crate) fn says(&self, text: &str) {
        until(text, || self.said().contains(text).then_some(()));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Takes its input away.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.ended()
    }

    /// Waits until it has ended, whatever it had to say.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        until("its end", || self.child.try_wait().unwrap())
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> Ended {
        let status = until("its end", || self.child.try_wait().unwrap());
        let stdout = self.decisions.iter().map(|line| line + "\n").collect();
        // Its last words may still be in the pipe; the reader's clone goes when it has them.
        until("its last words", || (Arc::strong_count(&self.said) == 1).then_some(()));
        Ended { code: status.code(), stdout, stderr: self.said() }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again, for a minute at most.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < MOST, "there was never {what}");
        pause();
    }
}

/// A moment, so that asking again does not keep the machine from what is asked for.
pub(crate) fn pause() {
    let (_never, silent) = mpsc::channel::<()>();
    let _ = silent.recv_timeout(Duration::from_millis(20));
}

impl Place {
    /// Puts a file into the place of another, whole.
    pub(crate) fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write("next", content);
        fs::rename(self.path("next"), self.path(name)).unwrap();
    }

    /// What `weir … --json` answers, which has to end like this.
    pub(crate) fn json(&self, arguments: &str, code: i32) -> Value {
        let ended = self.weir(&format!("{arguments} --json"));
        assert_eq!(ended.code, Some(code), "{arguments}: {ended:?}");
        assert!(ended.stderr.is_empty() && ended.stdout.lines().count() == 1, "{arguments}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }
}
