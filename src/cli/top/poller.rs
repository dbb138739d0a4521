//! The thread that asks the node, once a second, for what is on the screen.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use culvert_process::exit::Chain;
use culvert_process::signal::Stop;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use super::sample::Sample;
use super::tab::Tab;
use super::{EVERY, Error};
use crate::client::{Client, NodeOptions};

/// What the screen wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// What is on this tab.
    Show(Tab),
    /// Nothing for now.
    Pause,
    /// Nothing any more.
    End,
}

/// What the screen is told.
#[derive(Debug)]
pub(super) enum News {
    /// Who is asked.
    Asking(String),
    /// What the node said.
    Heard(Box<Sample>),
    /// Why it said nothing.
    Trouble(String),
    /// The program is asked to end.
    Stopped,
}

/// The thread; it ends with the value.
#[derive(Debug)]
pub(super) struct Poller {
    wishes: watch::Sender<Wish>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Starts to ask.
    pub(super) fn start(node: NodeOptions, tab: Tab, news: mpsc::Sender<News>) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let (wishes, wished) = watch::channel(Wish::Show(tab));
        let work = move || {
            runtime.block_on(until_the_end(&node, wished, &news));
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("poller".into()).spawn(work).map_err(Error::Thread)?;
        Ok(Self { wishes, thread: Some(thread) })
    }

    /// Says what is wanted from now on.
    pub(super) fn wish(&self, wish: Wish) {
        self.wishes.send_if_modified(|known| std::mem::replace(known, wish) != wish);
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.wish(Wish::End);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the screen is gone already.
            let _ = thread.join();
        }
    }
}

async fn until_the_end(node: &NodeOptions, mut wished: watch::Receiver<Wish>, news: &mpsc::Sender<News>) {
    let mut last = wished.clone();
    let ended = async {
        // Whoever wished is gone as well.
        let _ = last.wait_for(|wish| *wish == Wish::End).await;
    };
    tokio::select! {
        () = ask(node, &mut wished, news) => {}
        () = ended => {}
        () = stopped() => {
            let _ = news.send(News::Stopped);
        }
    }
}

/// Waits for a signal that asks the program to end. Without handlers it ends at once, and leaves the terminal as it is.
async fn stopped() {
    let (Ok(mut stop), Ok(mut hangup)) = (Stop::listen(), signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = stop.asked() => {}
        _ = hangup.recv() => {}
    }
}

async fn ask(node: &NodeOptions, wished: &mut watch::Receiver<Wish>, news: &mpsc::Sender<News>) {
    let began = Instant::now();
    let mut client = None;
    loop {
        let next = Instant::now() + EVERY;
        let wish = *wished.borrow_and_update();
        if let Wish::Show(tab) = wish {
            let said = tokio::select! {
                said = one(node, &mut client, tab, began, news) => said,
                // Somebody wants to see something else: what was asked is of no use.
                _ = wished.changed() => continue,
            };
            if news.send(said).is_err() {
                return;
            }
        }
        // Whichever comes first: the next second, or another wish.
        let _ = tokio::time::timeout_at(next, wished.changed()).await;
    }
}

/// Looks once. The way to the node is found anew after a failure: its pod may be another one.
async fn one(
    node: &NodeOptions,
    client: &mut Option<Client>,
    tab: Tab,
    began: Instant,
    news: &mpsc::Sender<News>,
) -> News {
    match attempt(node, client, tab, began, news).await {
        Ok(sample) => News::Heard(Box::new(sample)),
        Err(error) => {
            *client = None;
            News::Trouble(Chain(&error).to_string())
        }
    }
}

async fn attempt(
    node: &NodeOptions,
    client: &mut Option<Client>,
    tab: Tab,
    began: Instant,
    news: &mpsc::Sender<News>,
) -> Result<Sample, crate::client::Error> {
    let open = match client {
        Some(open) => open,
        None => client.insert(Client::open(node).await?),
    };
    // Whoever does not listen any more is noticed with the answer.
    let _ = news.send(News::Asking(open.address().to_owned()));
    Sample::take(open, tab, began).await
}
