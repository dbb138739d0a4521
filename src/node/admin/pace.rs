//! How fast answers are given: whoever asks for much, or again and again, waits for himself.
//!
//! A thread that gives way to the data plane still takes what is free of a processor, and with it caches, memory bandwidth, and the moment
//! in which a kernel would have noticed that somebody more important has woken. So no more than a small part of a processor is taken,
//! however many ask: all long answers take turns, a piece at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::map_response;
use axum::response::Response;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::Mutex;
use tokio::time::sleep;

/// What is sent at a time; shorter answers do not wait.
const PIECE: usize = 64 * 1024;

/// The least time between two pieces, of whichever answers: 100 MB take two to four seconds.
const PAUSE: Duration = Duration::from_millis(1);

/// A piece that took long to make (it may be compressed) is followed by a pause so many times as long,
const REST: u32 = 3;
/// but no longer than this: it may have been waited for.
const LONGEST: Duration = Duration::from_millis(50);

/// Whose turn it is. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Arc<Mutex<()>>);

/// What is left of an answer.
struct Left {
    body: BodyDataStream,
    made: Bytes,
}

impl Pace {
    /// Has a router give long answers piece by piece.
    pub(super) fn of(&self, router: Router) -> Router {
        let pace = self.clone();
        router.layer(map_response(move |answer| std::future::ready(pace.clone().slow(answer))))
    }

    fn slow(self, mut answer: Response) -> Response {
        let length = answer.body().size_hint().exact();
        if length.is_some_and(|length| length <= PIECE as u64) {
            return answer;
        }
        if let Some(length) = length {
            answer.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        answer.map(|body| Body::from_stream(self.pieces(body)))
    }

    fn pieces(self, body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> {
        let left = Left { body: body.into_data_stream(), made: Bytes::new() };
        stream::unfold((self, left), async |(pace, mut left)| {
            let began = Instant::now();
            let piece = left.next().await?;
            let made_in = began.elapsed();
            let turn = pace.0.lock().await;
            sleep((made_in * REST).clamp(PAUSE, LONGEST)).await;
            drop(turn);
            Some((piece, (pace, left)))
        })
    }
}

impl Left {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        if self.made.is_empty() {
            self.made = match self.body.next().await? {
                Ok(made) => made,
                failed => return Some(failed),
            };
        }
        // Whoever makes pieces of that size may make them a little larger; nothing is left over then.
        let all = self.made.len();
        Some(Ok(self.made.split_to(if all < 2 * PIECE { all } else { PIECE })))
    }
}

#[cfg(test)]
mod tests;
