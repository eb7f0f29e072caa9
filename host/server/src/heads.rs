//! Watches the heads of requests as they are read, for line ends that two servers read differently.
//!
//! A line that ends with a line feed alone is one line to some readers and two to others, so that a request can hide in
//! another's head. hyper takes it; here it becomes a byte that no head may have, which hyper answers with 400. Bodies are
//! passed over by their length, and bodies of another kind are refused before anything is read behind them.

/// Bytes of a line that matter: longer than the names that are looked for, with a length behind one.
const LINE: usize = 48;

/// Where the reader is in what a client sends.
#[derive(Debug)]
pub(crate) enum Heads {
    Head {
        previous: u8,
        line: Vec<u8>,
        lines: usize,
        length: u64,
    },
    Body {
        left: u64,
    },
    /// Not watched any more: it is refused, or no HTTP/1.
    Over,
}

impl Heads {
    pub(crate) fn new() -> Heads {
        Heads::Head { previous: 0, line: Vec::new(), lines: 0, length: 0 }
    }

    /// Looks at what was read, and spoils the first line end that is none.
    pub(crate) fn watch(&mut self, mut read: &mut [u8]) {
        while !read.is_empty() {
            match self {
                Heads::Over => return,
                Heads::Body { left } => {
                    let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                    *left -= passed as u64;
                    if *left == 0 {
                        *self = Heads::new();
                    }
                    read = &mut read[passed..];
                }
                Heads::Head { .. } => {
                    let seen = self.head(read);
                    read = &mut read[seen..];
                }
            }
        }
    }

    /// Watches a head up to its end or that of what was read, and says how far it came.
    fn head(&mut self, read: &mut [u8]) -> usize {
        let Heads::Head { previous, line, lines, length } = self else { return 0 };
        for (at, byte) in read.iter_mut().enumerate() {
            let before = std::mem::replace(previous, *byte);
            if *byte != b'\n' {
                if line.len() < LINE {
                    line.push(byte.to_ascii_lowercase());
                }
                continue;
            }
            if before != b'\r' {
                *byte = 0;
                *self = Heads::Over;
                return at + 1;
            }
            let text = line.trim_ascii_end();
            if text.is_empty() && *lines > 0 {
                *self = if *length > 0 { Heads::Body { left: *length } } else { Heads::new() };
                return at + 1;
            }
            if text.starts_with(b"transfer-encoding") || (*lines == 0 && text.starts_with(b"pri * http/2")) {
                *self = Heads::Over;
                return at + 1;
            }
            if let Some(digits) = text.strip_prefix(b"content-length:") {
                // One that is no number is refused by whoever reads it for good.
                let digits = std::str::from_utf8(digits.trim_ascii()).ok();
                *length = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
            }
            *lines += usize::from(!text.is_empty());
            line.clear();
        }
        read.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, in whatever pieces it was read.
    fn watched(text: &str, piece: usize) -> String {
        let (mut heads, mut bytes) = (Heads::new(), text.as_bytes().to_vec());
        bytes.chunks_mut(piece).for_each(|read| heads.watch(read));
        String::from_utf8(bytes).expect("it was text")
    }

    #[test]
    fn line_feeds_alone_are_spoilt_in_heads_and_nowhere_else() {
        let body = "{\n\"a\":\n1}";
        let post = format!("POST /a HTTP/1.1\r\nContent-LENGTH:  {}\r\nHost: a\r\n\r\n{body}", body.len());
        let twice = format!("\r\n{post}{post}GET / HTTP/1.1\r\n\r\n");
        let bad = "GET / HTTP/1.1\r\nA: b\nContent-Length: 5\r\n\r\n";
        let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n\n";
        for piece in [1, 2, 3, 7, 1000] {
            for fine in [&post, &twice, http2, chunked] {
                assert_eq!(watched(fine, piece), fine, "{piece}");
            }
            assert_eq!(watched(bad, piece), bad.replacen("b\n", "b\0", 1));
            let behind = format!("{post}{bad}");
            assert_eq!(watched(&behind, piece), behind.replacen("b\n", "b\0", 1));
            assert_eq!(watched("GET / HTTP/1.1\n\n", piece), "GET / HTTP/1.1\0\n");
        }
    }
}
