//! Where lines end up: one segment after the other, and how a failed write is undone.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::Batch;

/// One file's worth of lines. Only the holder of the [`Writer`] writes, cuts and goes on to the next; only the
/// thread syncs, possibly during a write.
pub(super) trait Segment: fmt::Debug + Send + Sync {
    /// Appends all of `bytes`; a failure may leave a part of them behind.
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts everything behind the first `length` bytes.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Makes what was written before this call safe against power loss.
    fn sync(&self) -> io::Result<()>;
    /// Creates the segment whose first line has the number `first`.
    fn next(&self, first: u64) -> io::Result<Arc<dyn Segment>>;
}

/// The right to write, and what must be known for it. There is one; it lies in the shared state while nobody writes.
#[derive(Debug)]
pub(super) struct Writer {
    segment: Arc<dyn Segment>,
    /// Bytes of whole lines: where a torn write is cut back to.
    length: u64,
    /// Bytes may stand behind `length`, because a write failed and cutting back failed, too.
    torn: bool,
    /// A sync failed. The kernel may have dropped pages and calls them clean, so another sync of this file proves
    /// nothing: the next line goes to a new one.
    lost: bool,
    /// The length at which the segment is to be followed by the next.
    rotate_at: u64,
    /// The setting behind `rotate_at`.
    segment_bytes: u64,
}

impl Writer {
    pub(super) fn new(segment: Arc<dyn Segment>, length: u64, segment_bytes: u64) -> Writer {
        Writer { segment, length, torn: false, lost: false, rotate_at: segment_bytes, segment_bytes }
    }

    pub(super) fn segment(&self) -> &Arc<dyn Segment> {
        &self.segment
    }

    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    pub(super) fn is_long(&self) -> bool {
        self.length >= self.rotate_at
    }

    /// Never syncs this segment again.
    pub(super) fn abandon_segment(&mut self) {
        self.lost = true;
    }

    /// Writes a batch whole or not at all. While a torn line cannot be cut off, every write fails.
    pub(super) fn write(&mut self, batch: &Batch) -> io::Result<()> {
        self.mend()?;
        if self.lost {
            self.start_next(batch.first())?;
        }
        let result = self.segment.write(batch.bytes());
        match result {
            Ok(()) => self.length += batch.bytes().len() as u64,
            Err(_) => {
                self.torn = true;
                // The write's error is the one to report; cutting is tried again before the next write.
                let _ = self.mend();
            }
        }
        result
    }

    /// Goes on to a new segment; a failure is tried again a sixteenth of a segment later.
    pub(super) fn rotate(&mut self, first: u64) -> io::Result<()> {
        let result = self.mend().and_then(|()| self.start_next(first));
        if result.is_err() {
            self.rotate_at = self.length.saturating_add(self.segment_bytes / 16);
        }
        result
    }

    /// Cuts off what a failed write left behind.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.segment.cut(self.length)?;
            self.torn = false;
        }
        Ok(())
    }

    fn start_next(&mut self, first: u64) -> io::Result<()> {
        *self = Writer::new(self.segment.next(first)?, 0, self.segment_bytes);
        Ok(())
    }
}

/// The folder of a log on disk.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// For syncing the names of new segments.
    pub(super) handle: File,
    /// Held locked as long as any segment is open, so that no second process numbers records here.
    pub(super) _lock: File,
}

impl Folder {
    pub(super) fn segment_path(&self, first: u64) -> PathBuf {
        segment_path(&self.path, first)
    }
}

/// The file of the segment that begins with this record.
pub(super) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("records-{first:020}.jsonl"))
}

/// A segment on disk.
#[derive(Debug)]
pub(super) struct FileSegment {
    folder: Arc<Folder>,
    /// Opened for appending, so a write after a cut lands at the new end without seeking.
    file: File,
    /// The folder has been synced since the file was created; before that, power loss may take the whole file.
    name_synced: AtomicBool,
}

impl FileSegment {
    /// Creates the segment whose first line has the number `first`.
    pub(super) fn create(folder: Arc<Folder>, first: u64) -> io::Result<FileSegment> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        let file = options.open(folder.segment_path(first))?;
        Ok(FileSegment { folder, file, name_synced: AtomicBool::new(false) })
    }

    /// Opens the segment whose first line has the number `first`.
    pub(super) fn open(folder: Arc<Folder>, first: u64) -> io::Result<FileSegment> {
        let file = OpenOptions::new().read(true).append(true).open(folder.segment_path(first))?;
        Ok(FileSegment { folder, file, name_synced: AtomicBool::new(false) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Segment for FileSegment {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.name_synced.load(Ordering::Relaxed) {
            self.folder.handle.sync_all()?;
            self.name_synced.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn next(&self, first: u64) -> io::Result<Arc<dyn Segment>> {
        Ok(Arc::new(FileSegment::create(Arc::clone(&self.folder), first)?))
    }
}
