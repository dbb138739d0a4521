//! The nameserver a pod has chosen, as far as its queries show.
//!
//! In goes how it went with the servers clients wanted to ask; out comes the one that is asked for the pod where there is no
//! client. An application may ask any server, one its user names even, and that must not make this server answer for all
//! connections of the pod. So the first that is of help is the choice, and another one takes its place only when that has failed
//! or was of no help lately, never by answering alone.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a choice holds that no query confirms. Pods do not change their mind often, and a server that somebody tried by hand
/// must not stay for ever.
const HOLDS: Duration = Duration::from_secs(600);
/// How long nobody takes the place of a server that was of help.
const LATELY: Duration = Duration::from_secs(180);

/// The choice of one pod.
#[derive(Debug, Default)]
pub(super) struct Choice(Mutex<Option<Chosen>>);

#[derive(Debug)]
struct Chosen {
    server: SocketAddr,
    /// When it was of help last.
    helped: Instant,
    has_failed: bool,
}

impl Choice {
    /// The server, and for how long that holds.
    pub(super) fn server(&self) -> Option<(SocketAddr, Duration)> {
        let chosen = self.lock();
        let Chosen { server, helped, .. } = chosen.as_ref()?;
        let left = HOLDS.checked_sub(helped.elapsed()).filter(|left| !left.is_zero())?;
        Some((*server, left))
    }

    /// A server that a client wanted to ask has answered.
    pub(super) fn was_of_help(&self, server: SocketAddr) {
        let mut chosen = self.lock();
        let is_settled = |it: &Chosen| it.server != server && !it.has_failed && it.helped.elapsed() < LATELY;
        if !chosen.as_ref().is_some_and(is_settled) {
            *chosen = Some(Chosen { server, helped: Instant::now(), has_failed: false });
        }
    }

    /// A client wanted to ask it what it had answered before. Whether it still does is not known.
    pub(super) fn is_still_wanted(&self, server: SocketAddr) {
        if let Some(chosen) = self.lock().as_mut().filter(|chosen| chosen.server == server) {
            chosen.helped = Instant::now();
        }
    }

    /// A server did not answer.
    pub(super) fn has_failed(&self, server: SocketAddr) {
        if let Some(chosen) = self.lock().as_mut().filter(|chosen| chosen.server == server) {
            chosen.has_failed = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Chosen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn servers() -> [SocketAddr; 2] {
        ["192.0.2.53:53", "198.51.100.53:53"].map(|server| server.parse().unwrap())
    }

    fn server(choice: &Choice) -> Option<SocketAddr> {
        choice.server().map(|(server, _)| server)
    }

    #[tokio::test(start_paused = true)]
    async fn another_server_does_not_win_by_answering_but_when_the_first_was_of_no_help_lately() {
        let (choice, [first, other]) = (Choice::default(), servers());
        choice.was_of_help(first);
        tokio::time::advance(LATELY - MOMENT).await;
        choice.was_of_help(other);
        assert_eq!(server(&choice), Some(first));
        tokio::time::advance(MOMENT).await;
        choice.was_of_help(other);
        assert_eq!(server(&choice), Some(other));
    }

    #[tokio::test(start_paused = true)]
    async fn another_server_takes_the_place_of_one_that_has_failed_and_did_not_come_back() {
        let (choice, [first, other]) = (Choice::default(), servers());
        choice.was_of_help(first);
        choice.has_failed(first);
        choice.was_of_help(first);
        choice.has_failed(other);
        choice.was_of_help(other);
        assert_eq!(server(&choice), Some(first));
        choice.has_failed(first);
        choice.is_still_wanted(first);
        choice.was_of_help(other);
        assert_eq!(server(&choice), Some(other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_choice_holds_while_the_pod_keeps_to_it() {
        let (choice, [first, other]) = (Choice::default(), servers());
        choice.is_still_wanted(first);
        assert_eq!(server(&choice), None, "nothing says that it is of help");
        choice.was_of_help(first);
        tokio::time::advance(HOLDS / 4).await;
        choice.is_still_wanted(first);
        tokio::time::advance(HOLDS / 4).await;
        choice.was_of_help(other);
        assert_eq!(choice.server(), Some((first, HOLDS - HOLDS / 4)));
        tokio::time::advance(HOLDS - HOLDS / 4).await;
        assert_eq!(server(&choice), None);
    }
}
