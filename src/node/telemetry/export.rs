//! The thread that sends: it gives way to the data plane, and has a second at the end.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use culvert_proto::otlp::common::Resource;
use tokio::sync::watch;

use super::attributes::Attributes;
use super::client::Client;
use super::deliver::{Delivery, Health};
use super::signal::{Logs, Signal, Traces};
use super::{Config, Waiting, tap, tls};
use crate::aside::Aside;

/// How long the end of the process waits for the collector.
const PARTING: Duration = Duration::from_secs(1);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error("cannot start the thread that sends telemetry")]
    Thread(#[source] io::Error),
}

/// Held for as long as there is something to be told of; gives what waits a second to be sent when dropped.
#[derive(Debug)]
pub(crate) struct Exporting {
    ending: watch::Sender<bool>,
    /// Closed when all is sent.
    over: mpsc::Receiver<()>,
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.ending.send_replace(true);
        // Whether it was in time or not: there is nothing more to be done.
        let _ = self.over.recv_timeout(PARTING);
    }
}

/// Starts the thread.
pub(super) fn start(config: &Config, waiting: Waiting) -> Result<Exporting, Error> {
    let aside = Aside::new().map_err(Error::Thread)?;
    let (ending, ended) = watch::channel(false);
    let Waiting { spans, logs } = waiting;
    let (spans, logs) = {
        let _inside = aside.enter();
        let make = Make { config, ended: &ended };
        let spans = spans.map(|waiting| make.delivery::<Traces>(waiting)).transpose()?;
        (spans, logs.map(|waiting| make.delivery::<Logs>(waiting)).transpose()?)
    };
    let (done, over) = mpsc::channel();
    let send = async {
        tap::do_not_listen_here();
        tokio::join!(run(spans), run(logs));
        drop(done);
    };
    aside.run("culvert-telemetry", send).map_err(Error::Thread)?;
    Ok(Exporting { ending, over })
}

async fn run<S: Signal>(delivery: Option<Delivery<S>>) {
    if let Some(delivery) = delivery {
        delivery.run().await;
    }
}

struct Make<'a> {
    config: &'a Config,
    ended: &'a watch::Receiver<bool>,
}

impl Make<'_> {
    fn delivery<S: Signal>(
        &self,
        waiting: super::queue::Receiver<S::Item>,
    ) -> Result<Delivery<S>, tls::Error> {
        let mut resource = Attributes::default();
        for (key, value) in &self.config.resource {
            resource.text(key, Some(&**value));
        }
        Ok(Delivery {
            waiting,
            client: Client::new(self.config)?,
            resource: Resource { attributes: resource.done() },
            ending: self.ended.clone(),
            health: Health::default(),
        })
    }
}
