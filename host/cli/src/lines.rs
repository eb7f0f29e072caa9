//! Requests from files of JSON lines: read in a thread of their own, one line at a time, and never more than a few.
//!
//! ```text
//! thread: file, file, stdin ─► line ─► Request::parse ─► bounded channel ─► stream for Runtime::evaluate_all
//!                                            └─ bad line: on stderr, counted
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use weir::{Request, RequestError, RequestLimits};

use crate::exit::{Failed, OrFail};
use crate::progress::Progress;

/// Requests that may wait between the reader and the cores; when there are as many, reading waits.
const WAITING: usize = 1_024;
/// Bad lines that are shown; the others are counted. A file of another kind has many.
const MOST_SHOWN: u64 = 20;

/// What the reader has done so far.
#[derive(Debug, Default)]
pub(crate) struct Progressed {
    pub(crate) bytes: AtomicU64,
    pub(crate) bad_lines: AtomicU64,
    /// Reading ended with an error of the system.
    pub(crate) failed: AtomicBool,
}

/// The files to read, in order; `-` is stdin.
#[derive(Debug)]
pub(crate) struct Inputs {
    files: Vec<PathBuf>,
    /// Bytes of all files; none where there is stdin or a pipe among them.
    pub(crate) length: Option<u64>,
}

impl Inputs {
    /// Looks at every file before the first one is read, so that a wrong name is found at once.
    pub(crate) fn new(files: &[PathBuf]) -> Result<Inputs, Failed> {
        let files = if files.is_empty() { vec![PathBuf::from("-")] } else { files.to_vec() };
        let mut length = Some(0);
        for file in &files {
            let known = if is_stdin(file) { None } else { file_length(file)? };
            length = length.zip(known).map(|(sum, more)| sum + more);
        }
        Ok(Inputs { files, length })
    }

    /// Starts to read. After the first bad line nothing more is read if `strict`.
    pub(crate) fn read(
        self,
        strict: bool,
        progress: Progress,
    ) -> (Arc<Progressed>, impl Stream<Item = Request> + use<>) {
        let progressed = Arc::new(Progressed::default());
        let (sender, receiver) = mpsc::channel(WAITING);
        let reader = Reader { strict, progress, sender, progressed: Arc::clone(&progressed) };
        // Nobody joins it: a read of stdin cannot be interrupted, and the end of the process ends it.
        std::thread::spawn(move || reader.read_all(&self.files));
        let next = |mut receiver: mpsc::Receiver<Request>| async move { Some((receiver.recv().await?, receiver)) };
        (progressed, stream::unfold(receiver, next))
    }
}

/// The first `most` bytes of a file; `-` is stdin.
pub(crate) fn read_whole(file: &Path, most: u64) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let read = match is_stdin(file) {
        true => io::stdin().lock().take(most).read_to_end(&mut bytes),
        false => File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    read.or_input("read", file.display())?;
    Ok(bytes)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn file_length(file: &Path) -> Result<Option<u64>, Failed> {
    let metadata = std::fs::metadata(file).or_input("read", file.display())?;
    if metadata.is_dir() {
        return Err(Failed::input(format!("`{}` is a folder, not a file of requests", file.display()))
            .help("name the files, such as `requests/*.jsonl`"));
    }
    Ok(metadata.is_file().then_some(metadata.len()))
}

/// Why reading ends early.
enum Stop {
    /// Nobody wants more requests.
    Unwanted,
    /// A bad line, and the command is strict.
    Strict,
    /// The system.
    Failed(io::Error),
}

struct Reader {
    strict: bool,
    progress: Progress,
    sender: mpsc::Sender<Request>,
    progressed: Arc<Progressed>,
}

impl Reader {
    fn read_all(self, files: &[PathBuf]) {
        for file in files {
            let name = if is_stdin(file) { "<stdin>".to_owned() } else { file.display().to_string() };
            let read = if is_stdin(file) {
                self.read(&name, io::stdin().lock())
            } else {
                File::open(file)
                    .map_err(Stop::Failed)
                    .and_then(|file| self.read(&name, BufReader::with_capacity(1 << 16, file)))
            };
            match read {
                Ok(()) => {}
                Err(Stop::Unwanted | Stop::Strict) => return,
                Err(Stop::Failed(error)) => {
                    self.progressed.failed.store(true, Relaxed);
                    return self.progress.say(&format!("weir: cannot read `{name}`: {error}"));
                }
            }
        }
    }

    fn read(&self, name: &str, input: impl BufRead) -> Result<(), Stop> {
        let most = RequestLimits::default().body_bytes;
        let mut lines = Lines { input, most, number: 0, line: Vec::new() };
        while let Some(length) = lines.next().map_err(Stop::Failed)? {
            self.progressed.bytes.fetch_add(length, Relaxed);
            if lines.line.trim_ascii().is_empty() {
                continue;
            }
            match parse(&lines.line, most) {
                Ok(request) => self.sender.blocking_send(request).map_err(|_| Stop::Unwanted)?,
                Err(error) => self.bad_line(name, lines.number, &error)?,
            }
        }
        Ok(())
    }

    fn bad_line(&self, name: &str, line: u64, error: &RequestError) -> Result<(), Stop> {
        let before = self.progressed.bad_lines.fetch_add(1, Relaxed);
        if before < MOST_SHOWN {
            self.progress.say(&format!("{name}:{line}: {error}"));
        }
        if before + 1 == MOST_SHOWN && !self.strict {
            self.progress.say("weir: there may be more bad lines; from here on they are only counted");
        }
        if self.strict { Err(Stop::Strict) } else { Ok(()) }
    }
}

/// A line that was cut is not repeated with the length it was cut to.
fn parse(line: &[u8], most: usize) -> Result<Request, RequestError> {
    if line.len() > most {
        let message = format!("longer than {most} bytes");
        return Err(RequestError { pointer: String::new(), message });
    }
    Request::parse(line)
}

/// Lines of bounded length: of a longer one, only as much is kept as shows that it is too long.
struct Lines<R> {
    input: R,
    most: usize,
    /// Counted from 1.
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line into `line`, without its end; the answer is how many bytes it took, none at the end.
    fn next(&mut self) -> io::Result<Option<u64>> {
        self.line.clear();
        // The end of the line is one byte, and one more shows that the rest is too long.
        let mut length = self.input.by_ref().take(self.most as u64 + 2).read_until(b'\n', &mut self.line)? as u64;
        if length == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > self.most {
            length += self.skip_line()?;
        }
        self.number += 1;
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(Some(length))
    }

    fn skip_line(&mut self) -> io::Result<u64> {
        let mut skipped = 0;
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(used);
            skipped += used as u64;
            if end.is_some() || used == 0 {
                return Ok(skipped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], most: usize) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines { input: BufReader::with_capacity(4, text), most, number: 0, line: Vec::new() };
        let mut all = Vec::new();
        let mut bytes = 0;
        while let Some(length) = lines.next().unwrap() {
            bytes += length;
            all.push((lines.number, lines.line.clone()));
        }
        assert_eq!(bytes, text.len() as u64);
        all
    }

    #[test]
    fn every_line_is_numbered_with_or_without_an_end() {
        assert_eq!(lines(b"a\n\nb", 10), [(1, b"a".to_vec()), (2, vec![]), (3, b"b".to_vec())]);
        assert_eq!(lines(b"", 10), []);
        assert_eq!(lines(b"\xef\xbb\xbf{}\n", 10), [(1, b"{}".to_vec())]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let all = lines(b"0123456789abcdef\nnext\n", 8);
        assert_eq!(all[0].1.len(), 10);
        assert_eq!(all[1], (2, b"next".to_vec()));
        assert_eq!(lines(b"01234567\nx", 8)[0].1, b"01234567");
        assert_eq!(lines(b"012345678\nx", 8), [(1, b"012345678".to_vec()), (2, b"x".to_vec())]);
    }
}
