//! h2 as the client.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use culvert_core::tunnel::http2::Role;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Method, Request};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use super::leg::Leg;
use super::{Outcome, Pings, check_headers, configure, headers, in_order};
use crate::plan::{Plan, authority};
use crate::report::Report;

pub(super) async fn run(plan: Rc<Plan>, io: DuplexStream) -> Result<Vec<Report>, String> {
    let mut builder = Builder::new();
    configure!(builder, plan.theirs)
        .initial_max_send_streams(plan.theirs.streams as usize)
        .enable_push(false);
    let (ask, connection) = match builder.handshake::<_, Bytes>(io).await {
        Ok(both) => both,
        Err(_) if plan.is_cut() => return Ok(in_order(&plan, [])),
        Err(error) => return Err(format!("h2's handshake failed: {error}")),
    };
    let mut tasks = JoinSet::new();
    for index in 0..plan.scripts.len() {
        tasks.spawn_local(request(Rc::clone(&plan), index, ask.clone()));
    }
    drop(ask);
    let (outcomes, driven) = tokio::join!(tasks.join_all(), drive(&plan, connection));
    let outcomes: Vec<Outcome> = outcomes.into_iter().collect::<Result<_, _>>()?;
    driven?;
    Ok(in_order(&plan, outcomes))
}

async fn drive(plan: &Plan, mut connection: Connection<DuplexStream>) -> Result<(), String> {
    let mut pings = Pings::new(connection.ping_pong(), plan.theirs.pings);
    let mut turns = 0;
    let driven = poll_fn(|cx| {
        turns += 1;
        if plan.theirs.resize.is_some_and(|(after, _)| turns == after) {
            let (_, window) = plan.theirs.resize.unwrap();
            // Not while the one before is not acknowledged; then it stays as it is.
            let _ = connection.set_initial_window_size(window);
        }
        pings.poll(cx);
        Pin::new(&mut connection).poll(cx)
    });
    match driven.await {
        Err(error) if !plan.is_cut() => Err(format!("h2's connection broke: {error}")),
        _ => Ok(()),
    }
}

/// Asks for a stream until it is not refused, and follows its script.
async fn request(plan: Rc<Plan>, index: usize, ask: SendRequest<Bytes>) -> Result<Outcome, String> {
    let mut refused = 0;
    loop {
        let leg = Leg::new(&plan, index, Role::Client);
        leg.note(|report| report.refused = refused);
        leg.rest(3).await;
        let Some((response, mut send)) = begin(&leg, index, ask.clone()).await? else {
            return Ok((index, Report { refused, ..Report::default() }));
        };
        let (listened, ()) = tokio::join!(listen(&leg, response), leg.speak(&mut send));
        match listened? {
            _ if plan.is_cut() => return Ok((index, leg.report.into_inner())),
            Seen::All => return Ok((index, leg.report.into_inner())),
            Seen::Nothing => return Ok((index, Report { refused, ..Report::default() })),
            Seen::Refused => refused += 1,
        }
    }
}

/// `None` when the connection takes no more streams.
async fn begin(
    leg: &Leg,
    index: usize,
    ask: SendRequest<Bytes>,
) -> Result<Option<(ResponseFuture, SendStream<Bytes>)>, String> {
    let mut request = Request::builder().method(Method::CONNECT).uri(authority(index)).body(()).unwrap();
    headers(leg.script(), request.headers_mut());
    let begun = match ask.ready().await {
        Ok(mut ask) => ask.send_request(request, false),
        Err(error) => Err(error),
    };
    match begun {
        Ok(begun) => Ok(Some(begun)),
        Err(error) if leg.is_told(&error) => Ok(None),
        Err(error) => Err(format!("h2 cannot ask for stream {index}: {error}")),
    }
}

/// How a request ended.
enum Seen {
    All,
    /// The server looked at nothing.
    Nothing,
    Refused,
}

async fn listen(leg: &Leg, response: ResponseFuture) -> Result<Seen, String> {
    let response = match response.await {
        Ok(response) => response,
        Err(error) if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) => {
            leg.listened();
            return Ok(if leg.was_given_up() { Seen::All } else { Seen::Refused });
        }
        Err(error) if leg.is_told(&error) => {
            leg.listened();
            return Ok(if leg.was_given_up() { Seen::All } else { Seen::Nothing });
        }
        Err(error) => return leg.end(Some(&error)).map(|()| Seen::All),
    };
    check_headers(leg.script(), response.headers())?;
    leg.note(|report| report.answered = Some(response.status().as_u16()));
    leg.listen(&mut response.into_body()).await.map(|()| Seen::All)
}
