//! A kept instance, put back after each call: learned pages are copied back, all others cannot be written.
//!
//! ```text
//! image      ████████████████████████████████   what every evaluation starts from
//! protected  ▒▒▒▒▒▒    ▒▒▒▒▒▒▒▒▒▒▒  ▒▒▒▒▒▒▒▒▒   a store here is a trap of the guest: repeat on a fresh instance, learn
//! open             ████           ██            what evaluations write: copied back after each call
//! ```
//!
//! A call and its reset need no system call and no fault handler. What the pages cannot hold is put back elsewhere or
//! cannot change: globals are set back by the module itself, tables and segments are never written ([`rewrite`]), and an
//! instance whose memory has grown is not kept.
//!
//! This file and `compiled` are the only ones that say `unsafe`: here, to protect pages.
//!
//! [`rewrite`]: crate::rewrite

use std::ops::Range;
use std::sync::Arc;

use rustix::mm::{MprotectFlags, mprotect};

use crate::abi::{Guest, Input};

/// What is protected as a whole.
pub(crate) const PAGE: usize = 4096;
/// Most pages that are copied back: more would cost what a fresh instance costs.
const MOST_PAGES: usize = 40;

/// Which pages evaluations write, and what these hold before one begins.
pub(crate) struct Layout {
    /// Counts the layouts of one policy.
    pub(crate) version: u32,
    /// Bytes of the whole memory.
    image_bytes: usize,
    /// The open pages as spans of bytes, in order, apart from each other.
    open: Box<[Range<usize>]>,
    /// Their content.
    content: Content,
}

/// What the open pages hold, as it is written back.
struct Content {
    parts: Box<[Part]>,
    /// The bytes of all parts that are not zero.
    bytes: Box<[u8]>,
    /// Where they begin.
    begin: usize,
}

/// So many bytes of the open pages.
#[derive(Clone, Copy)]
struct Part {
    at: usize,
    length: usize,
    zero: bool,
}

impl Content {
    /// A little ahead of where it is copied to, counted from the beginning of a page: processors take a load for one that
    /// depends on the store before it where these parts of their addresses are equal.
    const AHEAD: usize = 256;
    /// What is zero is filled and not copied, which leaves more of the first cache to the guest: in pieces of this size, since
    /// smaller ones cost more than they save.
    const PIECE: usize = 256;
    /// Most bytes written at once: for more, copies switch to an instruction that is slower for a few pages.
    const AT_ONCE: usize = PAGE / 2;

    fn of(image: &[u8], pages: &[usize]) -> Content {
        let mut parts: Vec<Part> = Vec::new();
        let pieces = pages.iter().flat_map(|page| (page * PAGE..(page + 1) * PAGE).step_by(Content::PIECE));
        for at in pieces {
            let zero = image[at..at + Content::PIECE].iter().all(|byte| *byte == 0);
            match parts.last_mut() {
                Some(last) if last.at + last.length == at && last.zero == zero && last.length < Content::AT_ONCE => {
                    last.length += Content::PIECE;
                }
                _ => parts.push(Part { at, length: Content::PIECE, zero }),
            }
        }
        let copied = || parts.iter().filter(|part| !part.zero);
        let length: usize = copied().map(|part| part.length).sum();
        let mut bytes = vec![0; PAGE + Content::AHEAD + length].into_boxed_slice();
        let begin = bytes.as_ptr().align_offset(PAGE) + Content::AHEAD;
        let mut end = begin;
        for Part { at, length, .. } in copied() {
            bytes[end..end + length].copy_from_slice(&image[*at..at + length]);
            end += length;
        }
        Content { parts: parts.into(), bytes, begin }
    }

    fn write_to(&self, memory: &mut [u8]) {
        let mut rest = &self.bytes[self.begin..];
        for Part { at, length, zero } in &self.parts {
            let part = &mut memory[*at..at + length];
            match zero {
                true => part.fill(0),
                false => {
                    let (content, after) = rest.split_at(*length);
                    part.copy_from_slice(content);
                    rest = after;
                }
            }
        }
    }
}

impl Layout {
    /// A memory without an open page.
    pub(crate) fn closed(image: &[u8]) -> Layout {
        Layout { version: 0, image_bytes: image.len(), open: Box::default(), content: Content::of(image, &[]) }
    }

    /// The layout with more pages open, of the same image; none where that would be too many, or no more than there are.
    pub(crate) fn with(&self, more: &[usize], image: &[u8]) -> Option<Layout> {
        let (before, inside) = (self.pages().count(), |page: &usize| page * PAGE < image.len());
        let mut pages: Vec<usize> = self.pages().chain(more.iter().copied().filter(inside)).collect();
        pages.sort_unstable();
        pages.dedup();
        if pages.len() > MOST_PAGES || pages.len() == before {
            return None;
        }
        let content = Content::of(image, &pages);
        let mut open: Vec<Range<usize>> = Vec::new();
        for start in pages.into_iter().map(|page| page * PAGE) {
            match open.last_mut() {
                Some(last) if last.end == start => last.end += PAGE,
                _ => open.push(start..start + PAGE),
            }
        }
        Some(Layout { version: self.version + 1, image_bytes: image.len(), open: open.into(), content })
    }

    /// The open pages.
    pub(crate) fn pages(&self) -> impl Iterator<Item = usize> {
        self.open.iter().flat_map(|span| span.start / PAGE..span.end / PAGE)
    }

    /// Mappings of the kernel that an instance with this layout takes beyond those of its memory: each span of open
    /// pages splits one.
    pub(crate) fn mappings(&self) -> usize {
        2 * self.open.len() + 1
    }

    /// Whether the host may write an input here. Open spans are apart, so what lies in two of them is not all open.
    pub(crate) fn takes(&self, input: Input) -> bool {
        let span = input.span();
        span.is_empty() || self.open.iter().any(|open| open.start <= span.start && span.end <= open.end)
    }

    /// The spans between the open ones.
    fn protected(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.open.iter().map(|open| open.end));
        let ends = self.open.iter().map(|open| open.start).chain([self.image_bytes]);
        starts.zip(ends).map(|(start, end)| start..end).filter(|span| !span.is_empty())
    }
}

/// The pages that some bytes of a memory lie in.
pub(crate) fn pages_of(span: &Range<usize>) -> Range<usize> {
    span.start / PAGE..span.end.div_ceil(PAGE)
}

/// The pages that differ between two memories; none where one is larger, since its growth cannot be put back.
pub(crate) fn differing(one: &[u8], other: &[u8]) -> Option<Vec<usize>> {
    let pairs = one.chunks(PAGE).zip(other.chunks(PAGE)).enumerate();
    let differ = pairs.filter(|(_, (one, other))| one != other).map(|(page, _)| page);
    (one.len() == other.len()).then(|| differ.collect())
}

/// Whether this machine has what restoring needs.
pub(crate) fn is_possible() -> bool {
    cfg!(target_os = "linux") && rustix::param::page_size() == PAGE
}

/// An instance whose memory is protected but for its open pages.
///
/// INVARIANT: while a page is protected nobody but the guest's own code stores to it, and only by plain stores, which the
/// engine turns into traps. Of the host only [`Kept::put_back`] and the input of a call write, both to open pages alone;
/// [`Drop`] lifts the protection before the engine takes the memory back.
pub(crate) struct Kept {
    guest: Guest,
    layout: Arc<Layout>,
    /// In debug builds every reset is compared with it, where that is not too much to compare.
    #[cfg(debug_assertions)]
    image: Option<Box<[u8]>>,
}

impl Kept {
    /// Protects an instance that has just started.
    ///
    /// # Errors
    /// The kernel does not protect: it has no more mappings for this process.
    pub(crate) fn new(guest: Guest, layout: Arc<Layout>) -> std::io::Result<Kept> {
        debug_assert_eq!(guest.memory().len(), layout.image_bytes, "an image is all of the memory");
        #[cfg(debug_assertions)]
        let image = (layout.image_bytes <= 1 << 20).then(|| guest.memory().into());
        let mut kept = Kept {
            guest,
            layout,
            #[cfg(debug_assertions)]
            image,
        };
        for span in Arc::clone(&kept.layout).protected() {
            kept.protect(span, MprotectFlags::READ)?;
        }
        Ok(kept)
    }

    /// The instance, to be called, and where its memory may be written.
    pub(crate) fn parts(&mut self) -> (&mut Guest, &Layout) {
        (&mut self.guest, &self.layout)
    }

    /// The memory as it is.
    pub(crate) fn memory(&self) -> &[u8] {
        self.guest.memory()
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Whether the guest has done what cannot be put back.
    pub(crate) fn has_grown(&self) -> bool {
        self.guest.memory_bytes() != self.layout.image_bytes as u64
    }

    /// Puts the memory back after a call that ended well and did not grow it.
    pub(crate) fn put_back(&mut self) {
        self.layout.content.write_to(self.guest.memory_mut());
        #[cfg(debug_assertions)]
        if let Some(image) = &self.image {
            assert!(
                self.guest.memory() == &**image,
                "pages {:?} were left behind",
                differing(self.guest.memory(), image)
            );
        }
    }

    /// Opens what a newer layout of the same policy has open, after the memory was put back.
    ///
    /// # Errors
    /// As for [`Kept::new`].
    pub(crate) fn renew(&mut self, layout: Arc<Layout>) -> std::io::Result<()> {
        for span in &layout.open {
            self.protect(span.clone(), MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        self.layout = layout;
        Ok(())
    }

    #[expect(unsafe_code, reason = "pages are protected here and nowhere else")]
    fn protect(&mut self, span: Range<usize>, flags: MprotectFlags) -> std::io::Result<()> {
        let pages = &mut self.guest.memory_mut()[span];
        // SAFETY: the span lies in the linear memory of an instance that this value owns, so it is mapped, and it begins
        // and ends with a page, since memories and layouts do. Taking the right to write away can only turn a store into
        // a fault: a store of the guest's code becomes a trap; by the invariant of `Kept` there is no other. Giving it
        // back restores what the engine had, which maps all of a memory's bytes to be read and written.
        unsafe { mprotect(pages.as_mut_ptr().cast(), pages.len(), flags) }.map_err(std::io::Error::from)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The engine is about to reset these pages itself. Merging mappings needs none, so the kernel cannot refuse for
        // want of them; if it does, the store that comes next ends the process, and nothing goes on with a half-reset memory.
        let image = 0..self.layout.image_bytes;
        let _ = self.protect(image, MprotectFlags::READ | MprotectFlags::WRITE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(layout: &Layout) -> Vec<usize> {
        layout.pages().collect()
    }

    #[test]
    fn layouts_grow_and_hold_what_the_image_holds() {
        let image: Vec<u8> = (0..16 * PAGE).map(|at| (at / PAGE) as u8).collect();
        let closed = Layout::closed(&image);
        assert!(closed.protected().eq(std::iter::once(0..16 * PAGE)));
        let layout = closed.with(&[3, 1, 4, 1], &image).unwrap();
        assert_eq!((pages(&layout), layout.version, layout.mappings()), (vec![1, 3, 4], 1, 5));
        assert_eq!(layout.protected().collect::<Vec<_>>(), [0..PAGE, 2 * PAGE..3 * PAGE, 5 * PAGE..16 * PAGE]);
        let layout = layout.with(&[0, 15], &image).unwrap();
        assert_eq!((pages(&layout), layout.version), (vec![0, 1, 3, 4, 15], 2));
        let mut memory = vec![77; 16 * PAGE];
        layout.content.write_to(&mut memory);
        for (page, bytes) in memory.chunks(PAGE).enumerate() {
            let expected = if [0, 1, 3, 4, 15].contains(&page) { page as u8 } else { 77 };
            assert!(bytes.iter().all(|byte| *byte == expected), "page {page}");
        }
        assert!(layout.with(&(0..MOST_PAGES + 1).collect::<Vec<_>>(), &vec![0; 64 * PAGE]).is_none());
    }

    #[test]
    fn pages_that_differ_are_found() {
        let (one, mut other) = (vec![0; 4 * PAGE], vec![0; 4 * PAGE]);
        other[PAGE - 1] = 1;
        other[3 * PAGE] = 1;
        assert_eq!(differing(&one, &other), Some(vec![0, 3]));
        other.extend([0; PAGE]);
        assert_eq!(differing(&one, &other), None);
    }
}
