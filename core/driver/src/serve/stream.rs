//! Bytes in and out of a client's stream, and how long anything may take.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use crate::runtime::{Runtime, within};

/// How long a client may take to read what it asked for, or a frame of it.
pub(super) const WRITING: Duration = Duration::from_secs(5);
/// How long a client may take to hang up after the last word.
const HANGING_UP: Duration = Duration::from_secs(1);

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
        while read(&mut stream, &mut ignored).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever comes of that, there is nobody left to tell.
    let _ = within(runtime, HANGING_UP, hanging_up).await;
}
