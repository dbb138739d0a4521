//! h2 as the server.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use culvert_core::tunnel::http2::Role;
use h2::RecvStream;
use h2::server::{Builder, Connection, SendResponse};
use http::{Method, Request, Response};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use super::leg::Leg;
use super::{Outcome, Pings, check_headers, configure, headers, in_order};
use crate::plan::{End, Plan, index};
use crate::report::Report;

type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

pub(super) async fn run(plan: Rc<Plan>, io: DuplexStream) -> Result<Vec<Report>, String> {
    let mut builder = Builder::new();
    configure!(builder, plan.theirs).max_concurrent_streams(plan.theirs.streams);
    let mut connection = match builder.handshake::<_, Bytes>(io).await {
        Ok(connection) => connection,
        Err(_) if plan.is_cut() => return Ok(in_order(&plan, [])),
        Err(error) => return Err(format!("h2's handshake failed: {error}")),
    };
    let mut turns =
        Turns { pings: Pings::new(connection.ping_pong(), plan.theirs.pings), count: 0, left: false };
    let mut tasks = JoinSet::new();
    while let Some(accepted) = turns.accept(&plan, &mut connection).await {
        match accepted {
            Ok(accepted) => {
                let (plan, settled) = (Rc::clone(&plan), Rc::clone(&turns.pings.answered));
                tasks.spawn_local(async move {
                    // The answer to a PING comes after the acknowledgement of h2's settings. Before that, it must not give
                    // back anything of windows that then become smaller.
                    settled.pass().await;
                    serve(plan, accepted).await
                });
            }
            Err(_) if plan.is_cut() => break,
            Err(error) => return Err(format!("h2's connection broke: {error}")),
        }
    }
    drop(connection);
    turns.pings.answered.open();
    let outcomes: Vec<Outcome> = tasks.join_all().await.into_iter().collect::<Result<_, _>>()?;
    Ok(in_order(&plan, outcomes))
}

/// What happens on the connection itself.
struct Turns {
    pings: Pings,
    count: u32,
    left: bool,
}

impl Turns {
    async fn accept(
        &mut self,
        plan: &Plan,
        connection: &mut Connection<DuplexStream, Bytes>,
    ) -> Option<Result<Accepted, h2::Error>> {
        poll_fn(|cx| {
            self.count += 1;
            if plan.theirs.resize.is_some_and(|(after, _)| self.count == after) {
                let (_, window) = plan.theirs.resize.unwrap();
                // Not while the one before is not acknowledged; then it stays as it is.
                let _ = connection.set_initial_window_size(window);
            }
            self.leave(plan, connection);
            self.pings.poll(cx);
            connection.poll_accept(cx)
        })
        .await
    }

    fn leave(&mut self, plan: &Plan, connection: &mut Connection<DuplexStream, Bytes>) {
        let Some(leave) = plan.leave else { return };
        if self.left || leave.by != End::Theirs || self.count < leave.after {
            return;
        }
        self.left = true;
        match leave.code {
            None => connection.graceful_shutdown(),
            Some(code) => connection.abrupt_shutdown(code.into()),
        }
    }
}

async fn serve(plan: Rc<Plan>, (request, mut respond): Accepted) -> Result<Outcome, String> {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let index = index(&authority).ok_or_else(|| format!("h2 was asked for {authority:?}"))?;
    let leg = Leg::new(&plan, index, Role::Server);
    if request.method() != Method::CONNECT {
        return Err("h2 was asked for something other than CONNECT".to_owned());
    }
    check_headers(leg.script(), request.headers())?;
    let mut receive = request.into_body();
    leg.rest(2).await;
    if leg.is_due() {
        let code = leg.script().server_breaks.unwrap().code;
        leg.note(|report| report.reset_sent = Some(code));
        respond.send_reset(code.into());
        return Ok((index, leg.report.into_inner()));
    }
    answer(&leg, &mut respond, &mut receive).await?;
    Ok((index, leg.report.into_inner()))
}

async fn answer(
    leg: &Leg,
    respond: &mut SendResponse<Bytes>,
    receive: &mut RecvStream,
) -> Result<(), String> {
    let script = leg.script();
    if script.interim {
        let _ = respond.send_informational(Response::builder().status(103).body(()).unwrap());
    }
    let end = script.status != 200;
    let mut response = Response::builder().status(script.status).body(()).unwrap();
    headers(script, response.headers_mut());
    let listening = leg.listen(receive);
    match respond.send_response(response, end) {
        Ok(_) if end => {
            leg.note(|report| {
                report.answered = Some(script.status);
                report.sent_end = true;
            });
            listening.await
        }
        Ok(mut send) => {
            leg.note(|report| report.answered = Some(script.status));
            let (listened, ()) = tokio::join!(listening, leg.speak(&mut send));
            listened
        }
        Err(_) => {
            // It was reset meanwhile; after the end of what is to be listened to, only this half sees it.
            if let Ok(reason) = poll_fn(|cx| respond.poll_reset(cx)).await {
                leg.note(|report| report.reset_seen = Some(reason.into()));
            }
            listening.await
        }
    }
}
