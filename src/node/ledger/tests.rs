use std::net::SocketAddr;

use super::*;
use crate::outcome::Failure;

fn pod(name: &str) -> PodInfo {
    PodInfo { name: name.into(), namespace: "shop".into(), service_account: "default".into() }
}

fn address(last: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], last))
}

fn begin(book: &Book, port: u16) -> Arc<Record> {
    book.begin(Direction::Outbound, address(port), address(80))
}

#[test]
fn a_connection_is_found_while_it_lives_and_after_it() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    let other = books.begin(pod("other"), None);
    let record = begin(web.book(), 1);
    begin(other.book(), 2);
    let found = |id| books.find(id).map(|(book, record)| (book.pod.name.clone(), record.facts().stage));
    assert_eq!(found(record.id), Some(("web".into(), Stage::Deciding)));
    assert_eq!((web.book().open(), web.book().live().len()), (1, 1));
    record.facts().enter(Stage::Open);
    web.book().end(&record, Ok(()));
    assert_eq!(found(record.id), Some(("web".into(), Stage::Ended)));
    assert_eq!((web.book().open(), web.book().complete().len(), web.book().failed().len()), (0, 1, 0));
    assert_eq!(found(Id::new()), None);
}

#[test]
fn a_crowd_that_has_left_keeps_no_room() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    let crowd: Vec<_> = (0..20_000).map(|port| begin(web.book(), port)).collect();
    let (last, most) = (&crowd[0], web.book().room());
    crowd[1..].iter().for_each(|record| drop(web.book().end(record, Ok(()))));
    assert!(web.book().room() <= most / 16, "{} of {most}", web.book().room());
    assert!(books.find(last.id).is_some(), "who stays is still there");
}

#[test]
fn what_an_idle_connection_keeps_is_small() {
    use crate::{outcome::Report, stream::Moved};
    let sizes = [size_of::<Record>(), size_of::<Moved>(), size_of::<Report>()];
    assert!(sizes.into_iter().zip([384, 152, 56]).all(|(size, most)| size <= most), "{sizes:?}");
}

#[test]
fn failures_are_kept_apart_and_what_is_kept_has_a_bound() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    let refused = begin(web.book(), 1);
    web.book().end(&refused, Err(Failure::Drained));
    for port in 0..1000 {
        let record = begin(web.book(), port);
        record.facts().enter(Stage::Open);
        web.book().end(&record, Ok(()));
    }
    assert!(books.find(refused.id).is_some(), "what ends well pushes no failure out");
    assert!(web.book().complete().len() < 100);
    let ports: Vec<u16> = (0..1000)
        .map(|port| {
            let record = begin(web.book(), port);
            web.book().end(&record, Err(Failure::Drained));
            record.client.port()
        })
        .collect();
    let kept: Vec<u16> = web.book().failed().iter().map(|record| record.client.port()).collect();
    assert!(kept.len() < 100);
    let newest: Vec<u16> = ports.into_iter().rev().take(kept.len()).collect();
    assert_eq!(kept, newest, "the newest first");
    let totals = &web.book().totals;
    assert_eq!((totals.begun(), totals.refused(), totals.broken()), (2001, 1001, 0));
}

#[test]
fn strangers_who_are_refused_push_out_nothing_the_pod_has_called() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    let own = begin(web.book(), 1);
    web.book().end(&own, Err(Failure::Drained));
    for port in 0..1000 {
        let stranger = web.book().begin(Direction::Inbound, address(port), address(port));
        web.book().end(&stranger, Err(Failure::Drained));
    }
    assert!(books.find(own.id).is_some());
    let traffic = web.book().traffic();
    assert!(traffic.iter().any(|pair| pair.direction == Direction::Outbound) && traffic.len() > 100);
    assert_eq!(web.book().failed().iter().filter(|it| it.direction == Direction::Outbound).count(), 1);
}

#[test]
fn what_breaks_after_it_was_made_is_broken_and_not_refused() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    let record = begin(web.book(), 1);
    record.facts().enter(Stage::Open);
    record.facts().moved.forth.add(11);
    record.facts().moved.back.add(22);
    let ended = web.book().end(&record, Err(Failure::Drained));
    assert!(ended.was_open);
    let totals = &web.book().totals;
    assert_eq!((totals.refused(), totals.broken(), totals.bytes()), (0, 1, (11, 22)));
    let traffic = web.book().traffic();
    let [pair] = &traffic[..] else { panic!("{traffic:?}") };
    assert_eq!((pair.connections, pair.open, pair.broken, pair.refused), (1, 0, 1, 0));
    assert_eq!((pair.to_server, pair.to_client, pair.last_reason), (11, 22, Some("drained")));
}

#[test]
fn open_connections_are_part_of_who_talks_to_whom_once() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    let records: Vec<_> = (0..3).map(|port| begin(web.book(), port)).collect();
    for record in &records {
        record.facts().enter(Stage::Open);
        record.facts().moved.forth.add(5);
    }
    web.book().end(&records[0], Ok(()));
    for _ in 0..2 {
        let traffic = web.book().traffic();
        let [pair] = &traffic[..] else { panic!("{traffic:?}") };
        assert_eq!((pair.connections, pair.open, pair.to_server), (3, 2, 15), "looking changes nothing");
    }
}

#[test]
fn pairs_do_not_become_more_for_ever_and_the_last_ones_are_kept() {
    let books = OfNode::default();
    let web = books.begin(pod("web"), None);
    for port in 1..=1000 {
        let record = web.book().begin(Direction::Outbound, address(9), address(port));
        web.book().end(&record, Err(Failure::Drained));
    }
    let traffic = web.book().traffic();
    assert!(traffic.len() <= 256, "{}", traffic.len());
    assert!(traffic.iter().any(|pair| pair.address == Some(address(1000))));
}

#[test]
fn the_book_of_a_pod_outlives_it_for_a_while_but_not_its_namespace() {
    let books = OfNode::default();
    let netns = Arc::new(Netns::create().expect("a namespace"));
    let web = books.begin(pod("web"), Some(&netns));
    let record = begin(web.book(), 1);
    let book = Arc::clone(web.book());
    assert!(book.netns().is_some());
    drop(web);
    drop(netns);
    assert!(book.netns().is_none() && book.gone().is_some());
    assert!(books.find(record.id).is_some());
    for nth in 0..200 {
        drop(books.begin(pod(&format!("job-{nth}")), None));
    }
    let _last = books.begin(pod("last"), None);
    assert!(books.books().len() <= MOST_GONE + 2, "{}", books.books().len());
    assert!(books.find(record.id).is_none(), "the oldest went first");
}
