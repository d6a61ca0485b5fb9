//! Who is let in, and how many.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;

use super::Serve;
use super::answer::Answer;
use super::end::End;
use super::feed::Feed;
use super::head::{self, MOST, Request};
use super::pools::Pools;
use super::route::{Reply, reply};
use super::stream::{hang_up, read, write_all};
use crate::runtime::within;

/// Clients at a time; as many more are told that there are too many, and those beyond are not even told.
const CLIENTS: usize = 32;
/// How long a request may take to arrive.
const ARRIVING: Duration = Duration::from_secs(5);
/// How long to wait when the system has no more sockets.
const REST: Duration = Duration::from_millis(100);

/// What all clients of a server share.
pub(super) struct House<R> {
    pub(super) runtime: R,
    pub(super) pools: Pools,
    /// What the server may be called, in lower case, besides what everybody may be called.
    pub(super) hosts: Mutex<BTreeSet<String>>,
    pub(super) end: End,
    guests: AtomicUsize,
}

impl<R: Serve> House<R> {
    pub(super) fn new(runtime: R) -> Self {
        Self {
            runtime,
            pools: Pools::default(),
            hosts: Mutex::default(),
            end: End::default(),
            guests: AtomicUsize::new(0),
        }
    }

    /// What comes of `future`, unless the server ends before that.
    async fn unless_over<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut over = pin!(self.end.wait());
        poll_fn(|cx| match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => future.as_mut().poll(cx).map(Some),
        })
        .await
    }
}

/// One client, as long as it is here.
struct Guest<R: Serve>(Arc<House<R>>);

impl<R: Serve> Drop for Guest<R> {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets clients in until the server is dropped.
pub(super) async fn receive<R: Serve>(house: Arc<House<R>>, mut listener: R::Listener) {
    while let Some(accepted) = house.unless_over(house.runtime.accept(&mut listener)).await {
        let Ok(stream) = accepted else {
            let rest = house.runtime.sleep_until(house.runtime.now().after(REST));
            house.unless_over(rest).await;
            continue;
        };
        let before = house.guests.fetch_add(1, Ordering::Relaxed);
        let guest = Guest(Arc::clone(&house));
        if before < CLIENTS {
            house.runtime.spawn(welcome(guest, stream));
        } else if before < 2 * CLIENTS {
            house.runtime.spawn(turn_away(guest, stream));
        }
    }
}

async fn turn_away<R: Serve>(guest: Guest<R>, stream: R::Stream) {
    let why = format!("{CLIENTS} clients are here already: come back later");
    say(&guest, stream, &Answer::refusal(503, why)).await;
}

async fn welcome<R: Serve>(guest: Guest<R>, mut stream: R::Stream) {
    let house = &guest.0;
    let asking = house.unless_over(within(&house.runtime, ARRIVING, listen(house, &mut stream)));
    let asked = match asking.await {
        Some(Some(Some(asked))) => asked,
        Some(None) => Err(Answer::refusal(408, format!("the request did not arrive within {ARRIVING:?}"))),
        // The server ends, or the client went without a word.
        None | Some(Some(None)) => return,
    };
    match asked.and_then(|request| reply(house, request)) {
        Ok(Reply::Answer(answer)) => say(&guest, stream, &answer).await,
        Ok(Reply::Feed(wanted)) => {
            if write_all(&house.runtime, &mut stream, wanted.consent.as_bytes()).await.is_ok() {
                Feed::new(house, wanted, stream).await.run().await;
            }
        }
        Err(refusal) => say(&guest, stream, &refusal).await,
    }
}

/// Reads the head of a request; `None` where the client hangs up before its end.
async fn listen<R: Serve>(house: &House<R>, stream: &mut R::Stream) -> Option<Result<Request, Answer>> {
    let mut bytes = vec![0; MOST];
    let mut length = 0;
    loop {
        if length == MOST {
            return Some(Err(Answer::refusal(431, format!("a request has at most {MOST} bytes"))));
        }
        match read(stream, &mut bytes[length..]).await {
            Ok(0) | Err(_) => return None,
            Ok(more) => length += more,
        }
        let request = head::parse(&bytes[..length], |host| house.hosts.lock().contains(host));
        if let Some(request) = request.transpose() {
            return Some(request);
        }
    }
}

async fn say<R: Serve>(guest: &Guest<R>, mut stream: R::Stream, answer: &Answer) {
    let runtime = &guest.0.runtime;
    if write_all(runtime, &mut stream, answer.to_string().as_bytes()).await.is_ok() {
        hang_up(runtime, stream).await;
    }
}
