//! Counters in the text a node exports them in.

use std::collections::BTreeMap;

use super::pairs;

/// The samples of an exposition that have whole numbers, which all counters of connections and bytes do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metrics(Vec<Sample>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
}

impl Metrics {
    /// Reads an exposition; comments and other samples are left out.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(sample).collect())
    }

    /// The sum of all samples of a name that have these labels, whatever else they have.
    pub(crate) fn total(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |sample: &&Sample| {
            let is =
                |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|found| found == value);
            sample.name == name && labels.iter().all(is)
        };
        self.0.iter().filter(has).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some(Sample { name: name.to_owned(), labels: pairs::read(labels, ','), value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_have_the_labels_are_added_up() {
        let metrics = Metrics::parse(
            "# TYPE opened counter\n\
             opened_total{reporter=\"source\",to=\"web-1\"} 2\n\
             opened_total{reporter=\"source\",to=\"web-2\"} 3\n\
             opened_total{reporter=\"destination\",to=\"web-1\"} 7\n\
             load 0.5\n\
             open 4\n\
             # EOF\n",
        );
        assert_eq!(metrics.total("opened_total", &[("reporter", "source")]), 5);
        assert_eq!(metrics.total("opened_total", &[("reporter", "source"), ("to", "web-1")]), 2);
        assert_eq!(metrics.total("opened_total", &[("from", "x")]), 0);
        assert_eq!((metrics.total("open", &[]), metrics.total("load", &[])), (4, 0));
    }
}
