//! The thread that sends: it gives way to the data plane, and has a second at the end.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use culvert_proto::otlp::common::Resource;
use culvert_sys::priority;
use tokio::runtime;
use tokio::sync::watch;

use super::attributes::Attributes;
use super::client::Client;
use super::deliver::{Delivery, Health};
use super::signal::{Logs, Signal, Traces};
use super::{Config, Waiting, tap, tls};

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
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let (ending, ended) = watch::channel(false);
    let Waiting { spans, logs } = waiting;
    let (spans, logs) = {
        // Channels belong to the runtime they are made in.
        let _inside = runtime.enter();
        let make = Make { config, ended: &ended };
        let spans = spans.map(|waiting| make.delivery::<Traces>(waiting)).transpose()?;
        (spans, logs.map(|waiting| make.delivery::<Logs>(waiting)).transpose()?)
    };
    let (done, over) = mpsc::channel();
    let send = move || {
        if let Err(error) = priority::give_way() {
            tracing::warn!(%error, "what is told of connections is as important as they are");
        }
        tap::do_not_listen_here();
        runtime.block_on(async { tokio::join!(run(spans), run(logs)) });
        drop(done);
    };
    thread::Builder::new().name("culvert-telemetry".into()).spawn(send).map_err(Error::Thread)?;
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
