//! Whether a service answers, since when, and why not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Service;

/// What is known of a service. All clones see the same.
#[derive(Debug, Clone)]
pub(crate) struct Status(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    address: String,
    view: Mutex<View>,
}

/// What is known at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: State,
    /// Since when.
    pub(crate) since: SystemTime,
    /// What the server calls the state it last sent, if it does.
    pub(crate) version: String,
    /// When something the server said was taken over last: a part of the mesh state, a certificate.
    pub(crate) updated: Option<SystemTime>,
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It was not asked yet.
    Unused,
    Up,
    /// It does not answer, and why.
    Down(String),
}

impl Status {
    pub(crate) fn new(service: Service, address: &str) -> Self {
        let (since, version) = (SystemTime::now(), String::new());
        let view = View { state: State::Unused, since, version, updated: None };
        Self(Arc::new(Inner { service, address: address.to_owned(), view: Mutex::new(view) }))
    }

    /// The service has answered.
    pub(crate) fn up(&self) {
        self.change(State::Up, |before| *before != State::Up);
    }

    /// The service could not be reached, or has gone. The first failure in a row tells since when.
    pub(crate) fn down(&self, why: &str) {
        self.change(State::Down(why.to_owned()), |before| !matches!(before, State::Down(_)));
    }

    /// The server has sent a state of this name.
    pub(crate) fn version(&self, version: &str) {
        if !version.is_empty() {
            self.lock().version = version.to_owned();
        }
    }

    /// Something the server said was taken over.
    pub(crate) fn updated(&self) {
        self.lock().updated = Some(SystemTime::now());
    }

    fn change(&self, state: State, is_news: impl Fn(&State) -> bool) {
        let mut view = self.lock();
        if is_news(&view.state) {
            view.since = SystemTime::now();
        }
        view.state = state;
        let since = view.since.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let up = if view.state == State::Up { 1.0 } else { 0.0 };
        // Set each time, news or not: the first answer can come before there is a recorder.
        let service = self.key();
        metrics::gauge!("culvert_control_plane_up", "service" => service).set(up);
        metrics::gauge!("culvert_control_plane_since_seconds", "service" => service).set(since.as_secs_f64());
    }

    /// What the service is called in metrics and dumps: who issues certificates is `ca`, whoever it is.
    pub(crate) fn key(&self) -> &'static str {
        match self.0.service {
            Service::Authority | Service::Agent => "ca",
            Service::Xds => "xds",
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    pub(crate) fn view(&self) -> View {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_when_it_began() {
        let status = Status::new(Service::Xds, "x:1");
        assert_eq!(status.view().state, State::Unused);
        status.up();
        let since = status.view().since;
        status.up();
        assert_eq!((status.view().state, status.view().since), (State::Up, since));
        status.down("one");
        let since = status.view().since;
        status.down("two");
        assert_eq!((status.view().state, status.view().since), (State::Down("two".into()), since));
    }

    #[test]
    fn an_update_is_what_was_taken_over_and_no_mere_answer() {
        let status = Status::new(Service::Xds, "x:1");
        status.up();
        assert_eq!(status.view().updated, None);
        status.updated();
        let updated = status.view().updated;
        assert!(updated.is_some());
        status.down("gone");
        assert_eq!(status.view().updated, updated, "it is not forgotten");
    }

    #[test]
    fn metrics_tell_the_same() {
        let recorder = culvert_metrics::Metrics::new(culvert_metrics::Settings::default());
        let exposed = |name: &str| {
            let text = recorder.text();
            let line = text.lines().find(|line| line.starts_with(name)).expect(name);
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        let status = Status::new(Service::Authority, "x:1");
        // Before metrics are recorded.
        status.down("early");
        metrics::with_local_recorder(&recorder, || status.down("again"));
        assert_eq!(exposed("culvert_control_plane_up{service=\"ca\"}"), 0.0);
        let since = exposed("culvert_control_plane_since_seconds{service=\"ca\"}");
        let known = status.view().since.duration_since(UNIX_EPOCH).unwrap();
        assert!((since - known.as_secs_f64()).abs() < 0.01, "{since} {known:?}");
        metrics::with_local_recorder(&recorder, || status.up());
        assert_eq!(exposed("culvert_control_plane_up{service=\"ca\"}"), 1.0);
    }
}
