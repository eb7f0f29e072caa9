//! Opening a folder: lock it, find the newest segment, and see how far its last whole line reaches.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::JournalError;
use super::segment::{FileSegment, Folder, segment_path};

/// The number of the first record of a new log.
pub(super) const FIRST_SEQUENCE: u64 = 1;

/// A log ready to be continued.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) segment: FileSegment,
    /// Bytes of whole lines in it.
    pub(super) length: u64,
    /// The number of the next line.
    pub(super) next: u64,
    /// Bytes of a torn line that were cut off.
    pub(super) cut_bytes: u64,
}

/// Opens the log in `dir` and cuts off a torn last line. Everything is judged before anything is changed.
pub(super) fn open(dir: &Path, host: &str) -> Result<Opened, JournalError> {
    check_host(host)?;
    let folder = Arc::new(open_folder(dir)?);
    let Some(first) = segments(dir)?.pop() else {
        let path = folder.segment_path(FIRST_SEQUENCE);
        let segment = FileSegment::create(folder, FIRST_SEQUENCE).map_err(|source| at("create", &path, source))?;
        return Ok(Opened { segment, length: 0, next: FIRST_SEQUENCE, cut_bytes: 0 });
    };
    let path = folder.segment_path(first);
    let segment = FileSegment::open(folder, first).map_err(|source| at("open", &path, source))?;
    let length = segment.file().metadata().map_err(|source| at("look at", &path, source))?.len();
    let (offset, tail) = read_tail(segment.file(), length).map_err(|source| at("read", &path, source))?;
    let end = judge_tail(&path, host, first, offset, &tail)?;
    if end.length < length {
        segment.file().set_len(end.length).map_err(|source| at("cut the torn end of", &path, source))?;
    }
    // A former process may have been killed before its last sync.
    segment.file().sync_all().map_err(|source| at("sync", &path, source))?;
    Ok(Opened { segment, length: end.length, next: end.next, cut_bytes: length - end.length })
}

/// The name stands in every line without escaping and in front of a `/`.
fn check_host(host: &str) -> Result<(), JournalError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if (1..=253).contains(&host.len()) && host.bytes().all(plain) {
        Ok(())
    } else {
        Err(JournalError::Host { host: host.to_owned() })
    }
}

fn open_folder(dir: &Path) -> Result<Folder, JournalError> {
    if !dir.exists() {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        created.map_err(|source| at("create", dir, source))?;
        sync_parent(dir);
    }
    let handle = File::open(dir).map_err(|source| at("open", dir, source))?;
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(&path).map_err(|source| at("open", &path, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(Folder { path: dir.to_owned(), handle, _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(at("lock", &path, source)),
    }
}

/// Makes the new folder's own name safe; where a parent cannot be opened or synced, nobody loses by trying.
fn sync_parent(dir: &Path) {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let _ = File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all());
}

/// The last `bytes` of each of the newest segments, the newest first.
pub(super) fn tails(dir: &Path, segments: usize, bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let newest = self::segments(dir).unwrap_or_default().into_iter().rev().take(segments);
    newest.filter_map(move |first| {
        let file = File::open(segment_path(dir, first)).ok()?;
        let length = file.metadata().ok()?.len();
        end_of(&file, length, bytes).ok()
    })
}

/// The first numbers of all segments, in their order. Files with other names are not ours and are left alone.
fn segments(dir: &Path) -> Result<Vec<u64>, JournalError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| at("read", dir, source))? {
        let name = entry.map_err(|source| at("read", dir, source))?.file_name();
        let name = name.to_string_lossy();
        let Some(digits) = name.strip_prefix("records-").and_then(|rest| rest.strip_suffix(".jsonl")) else {
            continue;
        };
        let exact = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let first = digits.parse::<u64>().ok().filter(|_| exact);
        segments.push(first.ok_or_else(|| JournalError::Name { path: dir.join(&*name) })?);
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The last `bytes` of a file of this length, or all of it.
fn end_of(file: &File, length: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let size = length.min(bytes);
    let mut end = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut end, length - size)?;
    Ok(end)
}

/// The end of the file, long enough for a torn line and two whole ones in front of it: where it starts, and its bytes.
fn read_tail(file: &File, length: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut window = 64 << 10;
    loop {
        let tail = end_of(file, length, window)?;
        let size = tail.len() as u64;
        let line_ends = tail.iter().filter(|byte| **byte == b'\n').count();
        if size == length || line_ends >= 3 {
            return Ok((length - size, tail));
        }
        window *= 4;
    }
}

struct End {
    length: u64,
    next: u64,
}

/// Where the log really ends. A crash tears the bytes behind the last line end, and lost pages may spoil the last
/// complete line, too; anything beyond that is damage of another kind, which is not for us to cut away.
fn judge_tail(path: &Path, host: &str, first: u64, offset: u64, tail: &[u8]) -> Result<End, JournalError> {
    let line_end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
    let mut end = line_end(tail).map_or(0, |position| position + 1);
    for _ in 0..2 {
        if end == 0 && offset == 0 {
            return Ok(End { length: 0, next: first });
        }
        let line = &tail[..end.saturating_sub(1)];
        let start = line_end(line).map_or(0, |position| position + 1);
        if let Some(sequence) = judge_line(path, host, &line[start..])? {
            if sequence < first {
                break;
            }
            return Ok(End { length: offset + end as u64, next: sequence + 1 });
        }
        end = start;
    }
    Err(JournalError::Damaged { path: path.to_owned(), at: offset + end as u64 })
}

/// The number of a whole line of ours, or nothing for a torn one.
fn judge_line(path: &Path, host: &str, line: &[u8]) -> Result<Option<u64>, JournalError> {
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Ok(None);
    };
    let (Some(version), Some(Value::String(record))) = (members.get("v"), members.get("record")) else {
        return Ok(None);
    };
    if version.as_u64() != Some(1) {
        return Err(JournalError::Version { path: path.to_owned(), found: version.to_string() });
    }
    let (owner, digits) = record.rsplit_once('/').unwrap_or((record, ""));
    if owner != host {
        let (found, host) = (record.clone(), host.to_owned());
        return Err(JournalError::Foreign { path: path.to_owned(), found, host });
    }
    Ok(digits.parse().ok())
}

fn at(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { action, path: PathBuf::from(path), source }
}
