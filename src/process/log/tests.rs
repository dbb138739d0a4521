use std::io;
use std::sync::{Arc, Mutex};

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt};

use super::{Format, json, text};

#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What is written of what is logged meanwhile.
pub(super) fn logged(format: Format, work: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let make = move || writer.clone();
    let subscriber: Box<dyn Subscriber + Send + Sync> = match format {
        Format::Plain => Box::new(
            Registry::default()
                .with(fmt::layer().fmt_fields(text::Fields).event_format(text::Plain).with_writer(make)),
        ),
        Format::Json => Box::new(
            Registry::default()
                .with(fmt::layer().fmt_fields(json::Fields).event_format(json::Json).with_writer(make)),
        ),
    };
    tracing::subscriber::with_default(subscriber, work);
    sink.text()
}

#[test]
fn a_format_has_a_name() {
    assert_eq!(Format::parse("plain"), Ok(Format::Plain));
    assert_eq!(Format::parse("json"), Ok(Format::Json));
    assert!(Format::parse("morse").unwrap_err().contains("`morse`"));
}
