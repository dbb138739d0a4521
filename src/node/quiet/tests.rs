use std::net::SocketAddr;

use culvert_metrics::Settings;
use futures::FutureExt as _;
use tokio::time::Instant;

use super::*;
use crate::ledger::OfPod;
use crate::proxy::PodInfo;
use crate::stream::Side;
use crate::stream::quiet::{Ended, Quiet};

const HOUR: Duration = Duration::from_secs(3600);
/// What the settings say when nobody says anything.
const DEFAULTS: Limits = Limits { half_closed: Some(HOUR), open: None };

fn pod(books: &OfNode) -> OfPod {
    books.begin(
        PodInfo { name: "web".into(), namespace: "shop".into(), service_account: "default".into() },
        None,
    )
}

fn open(pod: &OfPod, direction: Direction) -> Arc<Moved> {
    let address = SocketAddr::from(([10, 0, 0, 1], 80));
    let record = pod.book().begin(direction, address, address);
    record.facts().enter(Stage::Open);
    Arc::clone(&record.facts().moved)
}

#[tokio::test(start_paused = true)]
async fn after_an_hour_without_a_byte_half_closed_ones_end_and_others_do_not() {
    let books = OfNode::default();
    let pod = pod(&books);
    let [half_closed, idle, busy] = [(); 3].map(|()| open(&pod, Direction::Outbound));
    half_closed.closed(Side::Client);
    busy.closed(Side::Server);
    let began = Instant::now();
    let _looking = tokio::spawn(end_quiet_ones(books.clone(), DEFAULTS)).abort_handle();
    let speak = async {
        let mut speaks = interval(HOUR / 2);
        loop {
            speaks.tick().await;
            busy.forth.add(1);
        }
    };
    let quiet = tokio::select! {
        quiet = half_closed.too_quiet() => quiet,
        () = speak => unreachable!("it speaks for ever"),
    };
    assert_eq!(quiet.ended, Ended::Only(Side::Client));
    let took = began.elapsed();
    assert!((HOUR..=HOUR + 2 * LONGEST_PAUSE).contains(&took), "{took:?}");
    assert_eq!(idle.too_quiet().now_or_never(), None);
    assert_eq!(busy.too_quiet().now_or_never(), None);
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_kept_as_well_as_a_long_one() {
    const SECOND: Duration = Duration::from_secs(1);
    let books = OfNode::default();
    let pod = pod(&books);
    let idle = open(&pod, Direction::Inbound);
    let began = Instant::now();
    let _looking = tokio::spawn(end_quiet_ones(books.clone(), Limits { open: Some(SECOND), ..DEFAULTS }));
    let Quiet { ended, time } = idle.too_quiet().await;
    assert_eq!(ended, Ended::Neither);
    assert!(time >= SECOND && began.elapsed() <= SECOND + SECOND / 2, "{time:?} {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_not_connected_yet_is_not_idle() {
    let books = OfNode::default();
    let pod = pod(&books);
    let connecting = open(&pod, Direction::Outbound);
    pod.book().live()[0].facts().enter(Stage::Connecting);
    let looking = end_quiet_ones(books.clone(), Limits { open: Some(Duration::from_secs(1)), ..DEFAULTS });
    assert!(tokio::time::timeout(HOUR, looking).await.is_err());
    assert_eq!(connecting.too_quiet().now_or_never(), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_where_there_is_no_limit() {
    end_quiet_ones(OfNode::default(), Limits::default()).await;
}

#[tokio::test(start_paused = true)]
async fn half_closed_ones_are_counted_by_direction_and_told_by_pair() {
    let books = OfNode::default();
    let metrics = Metrics::new(Settings::default());
    watch(&metrics, books.clone());
    let shown = |outbound, inbound| {
        let text = metrics.text();
        for (direction, count) in [("outbound", outbound), ("inbound", inbound)] {
            let line = format!("culvert_half_closed_connections{{direction=\"{direction}\"}} {count}\n");
            assert!(text.contains(&line), "{text}");
        }
    };
    let pod = pod(&books);
    shown(0, 0);
    let all = [(); 3].map(|()| open(&pod, Direction::Outbound));
    all[0].closed(Side::Server);
    tokio::time::advance(HOUR).await;
    all[1].closed(Side::Client);
    open(&pod, Direction::Inbound).closed(Side::Client);
    shown(2, 1);
    let pairs = pod.book().traffic();
    let pair = pairs.iter().find(|pair| pair.direction == Direction::Outbound).unwrap();
    assert_eq!((pair.open, pair.half_closed), (3, 2));
    let since = pair.half_closed_since.unwrap();
    assert_eq!(since.until(Moment::now()), HOUR, "the oldest of them");
    for record in pod.book().live() {
        pod.book().end(&record, Ok(()));
    }
    shown(0, 0);
    assert!(
        pod.book().traffic().iter().all(|pair| pair.half_closed == 0 && pair.half_closed_since.is_none())
    );
}
