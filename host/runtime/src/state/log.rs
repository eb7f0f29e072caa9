//! Confirmed changes on disk: a snapshot of all counters, and a log of what came after it.
//!
//! ```text
//! state/counters/snapshot   all counters, written whole under another name and renamed
//! state/counters/7.log      changes since, appended before an answer goes out
//! ```
//!
//! A line of the log is in the kernel's hands before the decision is answered, so a host that is killed forgets nothing; the
//! disk has it a tenth of a second later, which is what a machine that loses its power may forget. Changes of a shard have
//! numbers, and the snapshot says up to which of them it goes: a change that stands in both counts once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::{CounterName, Op, Owner, State, Window, WindowKind, place_of};
use crate::poison;

const FOLDER: &str = "counters";
const SNAPSHOT: &str = "snapshot";
const EXTENSION: &str = "log";
/// The first bytes of a snapshot, with the version of all these files.
const MAGIC: &[u8; 16] = b"weir counters 1\n";
/// Bytes of a line.
const LINE: usize = 80;
/// Bytes of a line that its checksum covers.
const COVERED: usize = LINE - CHECK;
/// Bytes of a checksum.
const CHECK: usize = 8;
/// Bytes of a log that are worth a new snapshot.
const LONG: u64 = 16 << 20;
/// How long what was written may wait for the disk.
const SYNC_EVERY: Duration = Duration::from_millis(100);

/// A change of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: CounterName,
    pub(super) owner: Owner,
    pub(super) window: Window,
    /// Number of the change in its shard.
    pub(super) sequence: u64,
    pub(super) op: Op,
    pub(super) bucket: u64,
    pub(super) delta: i64,
    /// Hash of an estimate's name.
    pub(super) held: u64,
}

impl Line {
    fn bytes(&self) -> [u8; LINE] {
        let Line { name, owner, window, sequence, op, bucket, delta, held } = self;
        let mut bytes = [0; LINE];
        let mut rest = &mut bytes[..];
        let mut put = |part: &[u8]| {
            let (here, after) = std::mem::take(&mut rest).split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        };
        put(&name.0);
        put(&owner.0);
        // The longest window has 35 bits.
        put(&(window.millis() | (window.kind() as u64) << 48 | (*op as u64) << 56).to_le_bytes());
        put(&sequence.to_le_bytes());
        put(&bucket.to_le_bytes());
        put(&delta.to_le_bytes());
        put(&held.to_le_bytes());
        let check = checksum(&bytes[..COVERED]);
        bytes[COVERED..].copy_from_slice(&check);
        bytes
    }

    /// None where these are not the bytes of a line.
    fn read(bytes: &[u8]) -> Option<Line> {
        let covered = bytes.get(..COVERED)?;
        if bytes.get(COVERED..LINE)? != checksum(covered) {
            return None;
        }
        let (name, rest) = covered.split_first_chunk()?;
        let (owner, rest) = rest.split_first_chunk()?;
        let mut numbers = rest.chunks_exact(8).map(number);
        let [packed, sequence, bucket, delta, held] = std::array::from_fn(|_| numbers.next().unwrap_or_default());
        let kind = [WindowKind::Sliding, WindowKind::Tumbling][usize::from(packed >> 48 & 1 == 1)];
        let op = [Op::Take, Op::Hold, Op::Settle, Op::Held].into_iter().find(|op| *op as u64 == packed >> 56)?;
        Some(Line {
            name: CounterName(*name),
            owner: Owner(*owner),
            window: Window::new(packed & ((1 << 48) - 1), kind)?,
            sequence,
            op,
            bucket,
            delta: delta as i64,
            held,
        })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_le_bytes).unwrap_or_default()
}

fn checksum(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECK]);
    check
}

/// A folder of changes, open for more.
pub(super) struct Log {
    folder: PathBuf,
    writer: Mutex<Writer>,
    /// A write failed, and no snapshot has been written since.
    failing: AtomicBool,
    /// Wakes the thread that syncs.
    work: Condvar,
    todo: Mutex<Todo>,
    /// One snapshot at a time.
    compacting: Mutex<()>,
}

#[derive(Default)]
struct Todo {
    sync: bool,
    compact: bool,
    ended: bool,
}

impl Todo {
    fn is_empty(&self) -> bool {
        !(self.sync || self.compact || self.ended)
    }
}

struct Writer {
    file: Arc<File>,
    number: u64,
    length: u64,
}

impl Writer {
    fn create(folder: &Path, number: u64) -> io::Result<Writer> {
        let path = folder.join(format!("{number}.{EXTENSION}"));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Writer { file: Arc::new(file), number, length: 0 })
    }
}

impl Log {
    /// Opens the folder of a host's state; with what was written there before, in an order that can be applied.
    pub(super) fn open(folder: &Path) -> io::Result<(Log, Vec<Line>)> {
        let folder = folder.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (thresholds, mut lines) = snapshot(&folder.join(SNAPSHOT))?;
        let numbers = logs(&folder)?;
        for number in &numbers {
            let bytes = fs::read(folder.join(format!("{number}.{EXTENSION}")))?;
            // What the machine did not finish writing before it lost its power is no line.
            let written = bytes.chunks_exact(LINE).filter_map(Line::read);
            lines.extend(written.filter(|line| {
                thresholds
                    .get(place_of(&line.name, thresholds.len().max(1)))
                    .is_none_or(|up_to| line.sequence > *up_to)
            }));
        }
        let writer = Mutex::new(Writer::create(&folder, numbers.last().map_or(1, |last| last + 1))?);
        let log = Log {
            folder,
            writer,
            failing: AtomicBool::new(false),
            work: Condvar::new(),
            todo: Mutex::default(),
            compacting: Mutex::default(),
        };
        Ok((log, lines))
    }

    /// Hands changes to the kernel, all or none.
    pub(super) fn write(&self, lines: &[Line]) -> io::Result<()> {
        if self.is_failing() {
            // The snapshot that ends this will have them.
            return Err(io::Error::other("a write before this one has failed"));
        }
        let bytes: Vec<u8> = lines.iter().flat_map(Line::bytes).collect();
        let mut writer = poison::lock(&self.writer);
        let Writer { file, length, .. } = &mut *writer;
        let written = (&**file).write_all(&bytes);
        match written {
            Ok(()) => *length += bytes.len() as u64,
            // Half a line would hide where the next one begins.
            Err(_) => _ = file.set_len(*length),
        }
        let long = *length > LONG;
        drop(writer);
        if written.is_err() {
            self.failing.store(true, Relaxed);
        }
        self.ask(|todo| (todo.sync, todo.compact) = (true, todo.compact || long || written.is_err()));
        written
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// Waits until the disk has everything.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file = Arc::clone(&poison::lock(&self.writer).file);
        file.sync_data()
    }

    /// Lets the next write fail, as on a full disk.
    #[cfg(test)]
    pub(super) fn break_for_test(&self) {
        let unwritable = File::open(&self.folder).expect("the folder is there");
        poison::lock(&self.writer).file = Arc::new(unwritable);
    }

    /// Ends the thread that syncs.
    pub(super) fn end(&self) {
        self.ask(|todo| todo.ended = true);
    }

    fn ask(&self, what: impl FnOnce(&mut Todo)) {
        let mut todo = poison::lock(&self.todo);
        let idle = todo.is_empty();
        what(&mut todo);
        drop(todo);
        if idle {
            self.work.notify_one();
        }
    }

    /// Writes all counters down anew and begins another log.
    pub(super) fn compact(&self, state: &State) -> io::Result<()> {
        let _one = poison::lock(&self.compacting);
        let old = {
            let mut writer = poison::lock(&self.writer);
            let next = Writer::create(&self.folder, writer.number + 1)?;
            std::mem::replace(&mut *writer, next)
        };
        // What fails to be written from here on may be missing in the snapshot.
        self.failing.store(false, Relaxed);
        let written = self.write_down(state, old.number);
        if written.is_err() {
            self.failing.store(true, Relaxed);
        }
        written
    }

    /// Writes a snapshot, which makes logs up to a number superfluous.
    fn write_down(&self, state: &State, up_to: u64) -> io::Result<()> {
        let path = self.folder.join(SNAPSHOT);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        write_snapshot(&mut file, state)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.folder)?.sync_all()?;
        for number in logs(&self.folder)?.into_iter().filter(|number| *number <= up_to) {
            fs::remove_file(self.folder.join(format!("{number}.{EXTENSION}")))?;
        }
        Ok(())
    }

    /// Starts the thread that syncs and compacts, as long as there is somebody to write.
    pub(super) fn tend(self: &Arc<Log>, state: Weak<State>) -> io::Result<()> {
        let log = Arc::clone(self);
        std::thread::Builder::new().name("weir-state".to_owned()).spawn(move || log.run(&state)).map(drop)
    }

    fn run(&self, state: &Weak<State>) {
        loop {
            let waited = self.work.wait_while(poison::lock(&self.todo), |todo| todo.is_empty());
            let Todo { compact, ended, .. } = std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner));
            // Faults show at the next write; a snapshot that fails is tried again with it.
            let _ = self.sync();
            if let Some(state) = state.upgrade().filter(|_| compact) {
                let again = self.compact(&state).is_err();
                self.ask(|todo| todo.compact |= again);
            }
            if ended || state.strong_count() == 0 {
                return;
            }
            drop(self.work.wait_timeout_while(poison::lock(&self.todo), SYNC_EVERY, |todo| !todo.ended));
        }
    }
}

/// Numbers of the logs in a folder, ascending.
fn logs(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = PathBuf::from(entry?.file_name());
        let number: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        numbers.extend(number.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Up to which change of each shard a snapshot goes, and its lines; nothing where there is none.
fn snapshot(path: &Path) -> io::Result<(Vec<u64>, Vec<Line>)> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
        read => read?,
    };
    read_snapshot(&bytes).ok_or_else(|| {
        let path = path.display();
        io::Error::other(format!(
            "`{path}` is not a snapshot of counters of this version; bring back a copy, or remove its folder to begin with \
             budgets that nobody has used"
        ))
    })
}

fn read_snapshot(bytes: &[u8]) -> Option<(Vec<u64>, Vec<Line>)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (shards, rest) = rest.split_first_chunk::<8>()?;
    let (covered, rest) = rest.split_at_checked(usize::try_from(number(shards)).ok()?.checked_mul(8)?)?;
    let (check, rest) = rest.split_first_chunk::<CHECK>()?;
    if *check != checksum(covered) || rest.len() % LINE != 0 {
        return None;
    }
    let lines: Option<Vec<Line>> = rest.chunks_exact(LINE).map(Line::read).collect();
    Some((covered.chunks_exact(8).map(number).collect(), lines?))
}

fn write_snapshot(file: &mut File, state: &State) -> io::Result<()> {
    let (mut sequences, mut lines) = (Vec::new(), Vec::new());
    for shard in &state.shards {
        let shard = poison::lock(shard);
        sequences.extend(shard.sequence.to_le_bytes());
        shard.lines(|line| lines.extend(line.bytes()));
    }
    file.write_all(MAGIC)?;
    file.write_all(&(sequences.len() as u64 / 8).to_le_bytes())?;
    file.write_all(&sequences)?;
    file.write_all(&checksum(&sequences))?;
    file.write_all(&lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(
            name in any::<[u8; 16]>(), owner in any::<[u8; 16]>(), millis in 1u64..31_622_400_000, sliding in any::<bool>(),
            numbers in any::<(u64, u64, i64, u64)>(), op in 0usize..4, spoil in 0..LINE,
        ) {
            let kind = if sliding { WindowKind::Sliding } else { WindowKind::Tumbling };
            let (sequence, bucket, delta, held) = numbers;
            let op = [Op::Take, Op::Hold, Op::Settle, Op::Held][op];
            let window = Window::new(millis, kind).unwrap();
            let line =
                Line { name: CounterName(name), owner: Owner(owner), window, sequence, op, bucket, delta, held };
            let mut bytes = line.bytes();
            prop_assert_eq!(Line::read(&bytes), Some(line));
            bytes[spoil] ^= 1;
            prop_assert_eq!(Line::read(&bytes), None);
        }

        #[test]
        fn no_bytes_are_a_snapshot_by_accident(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let dressed: Vec<u8> = MAGIC.iter().chain(&bytes).copied().collect();
            prop_assert_eq!(read_snapshot(&dressed), None);
        }
    }
}
