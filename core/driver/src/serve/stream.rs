//! Bytes in and out of a client's stream, and how long anything may take.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use crate::runtime::{Runtime, within};

/// How long a client may take to read what it asked for, or a frame of it.
pub(super) const WRITING: Duration = Duration::from_secs(5);
/// How long a client may take to hang up after the last word.
const HANGING_UP: Duration = Duration::from_secs(1);

/// How much it may say meanwhile, in KiB: a stream that always has something to read is never waited for, and
/// so no time passes.
const IGNORED: usize = 256;

/// Reads some bytes; 0 is the end of the stream.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer)).await
}

/// Writes all of `bytes`, unless that takes too long.
pub(super) async fn write_all<R: Runtime, S: AsyncWrite + Unpin>(
    runtime: &R,
    stream: &mut S,
    mut bytes: &[u8],
) -> io::Result<()> {
    let writing = async {
        while !bytes.is_empty() {
            let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
    };
    within(runtime, WRITING, writing).await.unwrap_or(Err(ErrorKind::TimedOut.into()))
}

/// Hangs up so that the last word arrives: a stream that is dropped with bytes unread is reset by the system,
/// and what was written to it last may be lost with that.
pub(super) async fn hang_up<R: Runtime, S: AsyncRead + AsyncWrite + Unpin>(runtime: &R, mut stream: S) {
    let hanging_up = async {
        poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await?;
        let mut ignored = [0; 1024];
        for _ in 0..IGNORED {
            if read(&mut stream, &mut ignored).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whatever comes of that, there is nobody left to tell.
    let _ = within(runtime, HANGING_UP, hanging_up).await;
}

/// A stream of which only so many bytes can be read before somebody says that there may be more. Who reads it
/// in a loop that ends with a message, as a websocket does, is done some time even where none comes to its end.
pub(super) struct Rationed<S> {
    stream: S,
    left: usize,
}

impl<S> Rationed<S> {
    pub(super) fn new(stream: S, left: usize) -> Self {
        Self { stream, left }
    }

    pub(super) fn refill(&mut self, left: usize) {
        self.left = left;
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rationed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(ErrorKind::QuotaExceeded.into()));
        }
        let room = buffer.len().min(self.left);
        let length = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..room]))?;
        self.left -= length;
        Poll::Ready(Ok(length))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rationed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
