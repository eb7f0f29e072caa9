//! A connection whose client has to go on taking what it is sent, whose heads are watched, and whose refused heads are
//! answered with a reason.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::bare;
use crate::heads::Heads;

/// A stream that fails when nothing can be written for too long. Bytes that wait are bounded by the kernel's buffer and
/// hyper's own.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    heads: Heads,
    /// What is left to write of a last answer, in place of one without a body.
    instead: Vec<u8>,
    /// Made when a write first has to wait: most connections never do.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Patient<S> {
        Patient { stream, patience, heads: Heads::new(), instead: Vec::new(), stuck: None }
    }

    /// Watches what a write came to.
    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stuck = None;
            return polled;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        match stuck.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heads.watch(&mut buffer.filled_mut()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    /// Writes what stands in place of an answer without a body.
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let polled = Pin::new(&mut self.stream).poll_write(context, &self.instead);
            let written = ready!(self.watch(context, polled))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = match bare::begins(bytes) {
            Some(0) => {
                self.instead = bare::explained(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            Some(at) => &bytes[..at],
            None => bytes,
        };
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some((last, before)) = parts.split_last()
            && bare::begins(last).is_some()
        {
            match before {
                [] => return self.poll_write(context, last),
                _ => parts = before,
            }
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled)
    }
}
