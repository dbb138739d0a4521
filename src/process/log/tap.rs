//! Somebody who hears of events beside the log, such as whoever sends them elsewhere.
//!
//! It hears of what the filter lets through. **Invariant:** without one, an event costs one look.

use std::sync::OnceLock;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::target;

static TAP: OnceLock<Box<dyn Tap>> = OnceLock::new();

/// Who hears of events, on the thread that logs: it must not wait.
pub trait Tap: Send + Sync + 'static {
    /// Hears of an event, and of the part of the program it comes from.
    fn hear(&self, event: &Event<'_>, target: &str);
}

/// Has somebody hear of all events from now on, until the end. There is one of them: a second one is not taken.
pub fn tap(tap: impl Tap) -> bool {
    TAP.set(Box::new(tap)).is_ok()
}

/// Tells whoever hears.
pub(super) struct Tapped;

impl<S: Subscriber> Layer<S> for Tapped {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(tap) = TAP.get() {
            tap.hear(event, &target::of(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl Tap for Heard {
        fn hear(&self, event: &Event<'_>, target: &str) {
            self.0.lock().unwrap().push(format!("{target} {}", event.metadata().level()));
        }
    }

    #[test]
    fn only_the_first_one_hears_and_only_from_then_on() {
        let (first, second) = (Heard::default(), Heard::default());
        tracing::subscriber::with_default(Registry::default().with(Tapped), || {
            tracing::warn!(target: "tapped", "unheard");
            assert!(tap(first.clone()) && !tap(second.clone()));
            tracing::error!(target: "tapped", "heard");
        });
        assert_eq!(*first.0.lock().unwrap(), ["tapped ERROR"]);
        assert!(second.0.lock().unwrap().is_empty());
    }
}
