use std::sync::Arc;

use culvert_proto::otlp::trace::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use tokio::sync::watch;

use super::super::signal::Traces;
use super::super::testing::Collector;
use super::super::{Ended, queue};
use super::*;
use crate::ledger::{Direction, OfNode};
use crate::proxy::PodInfo;

/// What a collector that gives some answers has taken of two spans, and what was dropped; and how often it was asked.
async fn sent_and_dropped(answers: &[(u16, &[u8])], ending: bool) -> (u64, u64, usize) {
    let (collector, config) = Collector::start(answers).await;
    let pod = PodInfo { name: "web-1".into(), namespace: "shop".into(), service_account: "web".into() };
    let pod = OfNode::default().begin(pod, None);
    let (queue, waiting) = queue::of(2);
    for _ in 0..2 {
        let address = ([10, 0, 0, 1], 80).into();
        let (book, record) = (Arc::clone(pod.book()), pod.book().begin(Direction::Inbound, address, address));
        queue.push(Ended { book, record });
    }
    let (_end, ending) = watch::channel(ending);
    let client = Client::new(&config).unwrap();
    let (resource, health) = (Resource::default(), Health::default());
    let mut delivery = Delivery::<Traces> { waiting, client, resource, ending, health };
    delivery.empty().await;
    let counts = queue.counts();
    (counts.sent, counts.dropped, collector.asked.lock().unwrap().len())
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_the_rest_is_dropped_and_counted() {
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 1, error_message: String::new() });
    let partly = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let (ok, down, refused, partly) = ((200, &[][..]), (503, &[][..]), (400, &[][..]), (200, &partly[..]));
    assert_eq!(sent_and_dropped(&[ok], false).await, (2, 0, 1));
    assert_eq!(sent_and_dropped(&[down, down, ok], false).await, (2, 0, 3));
    assert_eq!(sent_and_dropped(&[down, refused], false).await, (0, 2, 2));
    assert_eq!(sent_and_dropped(&[partly], false).await, (1, 1, 1));
    assert_eq!(sent_and_dropped(&[down], true).await, (0, 2, 1), "at the end there is no other time");
}
