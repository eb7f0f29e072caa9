//! Logs without files: the last lines in memory, or none at all.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use super::segment::Segment;
use crate::poison;

/// Keeps the last lines.
#[derive(Debug)]
pub(super) struct Memory {
    /// How many lines are kept.
    capacity: usize,
    /// A lock, because readers look while a caller writes.
    lines: Mutex<VecDeque<String>>,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Memory {
        Memory { capacity, lines: Mutex::default() }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        poison::lock(&self.lines).iter().cloned().collect()
    }
}

impl Segment for Memory {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut lines = poison::lock(&self.lines);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            lines.push_back(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
        }
        let surplus = lines.len().saturating_sub(self.capacity);
        lines.drain(..surplus);
        Ok(())
    }

    fn cut(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn next(&self, _first: u64) -> io::Result<Arc<dyn Segment>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Keeps nothing.
#[derive(Debug)]
pub(super) struct Discard;

impl Segment for Discard {
    fn write(&self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn next(&self, _first: u64) -> io::Result<Arc<dyn Segment>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
