use axum::body::to_bytes;
use axum::http::Request;
use axum::routing::get;
use futures::future::join;
use tower::ServiceExt as _;

use super::*;

fn router(answer: impl Fn() -> Body + Clone + Send + Sync + 'static) -> Router {
    Pace::default().of(Router::new().route("/", get(async move || answer())))
}

async fn ask(router: &Router) -> Response {
    router.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap()
}

/// How long it takes until all is there, and how many bytes that is.
async fn read(router: &Router) -> (Duration, usize) {
    let began = tokio::time::Instant::now();
    let body = to_bytes(ask(router).await.into_body(), usize::MAX).await.unwrap();
    (began.elapsed(), body.len())
}

fn text(length: usize) -> Body {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>().into()
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_does_not_wait() {
    let (took, length) = read(&router(|| text(PIECE))).await;
    assert_eq!((took, length), (Duration::ZERO, PIECE));
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_comes_in_pieces_whole_and_with_its_length() {
    let router = router(|| text(3 * PIECE + 1));
    let (took, _) = read(&router).await;
    assert!(took >= 3 * PAUSE, "{took:?}");
    let answer = ask(&router).await;
    assert_eq!(answer.headers()[CONTENT_LENGTH], (3 * PIECE + 1).to_string());
    let pieces: Vec<_> = answer.into_body().into_data_stream().map(Result::unwrap).collect().await;
    assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, PIECE, PIECE + 1]);
    assert_eq!(pieces.concat(), to_bytes(text(3 * PIECE + 1), usize::MAX).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_take_no_more_than_one() {
    let router = router(|| text(11 * PIECE));
    let ((took, _), (too, _)) = join(read(&router), read(&router)).await;
    assert!(took.max(too) >= 20 * PAUSE, "{took:?} {too:?}");
}

#[tokio::test(start_paused = true)]
async fn somebody_who_goes_leaves_the_turn_to_others() {
    let router = router(|| text(2 * PIECE));
    let mut gone = ask(&router).await.into_body().into_data_stream();
    assert!(futures::poll!(gone.next()).is_pending());
    drop(gone);
    assert_eq!(read(&router).await.1, 2 * PIECE);
}

/// A profile is waited for and costs nothing meanwhile.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_something_keeps_no_turn() {
    let pace = Pace::default();
    let silent = pace.of(Router::new()
        .route("/", get(async || Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>()))));
    let mut waits = ask(&silent).await.into_body().into_data_stream();
    assert!(futures::poll!(waits.next()).is_pending());
    let other = pace.of(Router::new().route("/", get(async || text(2 * PIECE))));
    assert_eq!(read(&other).await.1, 2 * PIECE);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_is_broken() {
    let broken = || {
        Body::from_stream(stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("broken"))]))
    };
    let body = ask(&router(broken)).await.into_body();
    assert!(to_bytes(body, usize::MAX).await.is_err());
}
