//! Profiles as pprof reads them: the part of its message that the tests look at, with its field numbers.

use std::io::Read as _;

use prost::Message as _;

/// A profile.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    kinds: Vec<Kind>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    locations: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    functions: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    texts: Vec<String>,
    #[prost(int64, tag = "10")]
    pub(crate) nanoseconds: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Kind {
    #[prost(int64, tag = "1")]
    what: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    locations: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    values: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    /// Reads one that is not compressed.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self::decode(bytes).unwrap()
    }

    /// Reads one that is compressed with gzip.
    pub(crate) fn read_compressed(bytes: &[u8]) -> Self {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        Self::read(&plain)
    }

    /// What is counted: `WHAT/UNIT`.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.kinds.iter().map(|kind| format!("{}/{}", self.text(kind.what), self.text(kind.unit))).collect()
    }

    /// The sum of what is counted, by its place among the kinds.
    pub(crate) fn sum(&self, kind: usize) -> i64 {
        self.samples.iter().map(|sample| sample.values[kind]).sum()
    }

    /// The stacks of functions, from the innermost outwards; what has no name is `?`.
    pub(crate) fn stacks(&self) -> Vec<Vec<&str>> {
        self.samples.iter().map(|sample| sample.locations.iter().map(|id| self.name(*id)).collect()).collect()
    }

    fn name(&self, id: u64) -> &str {
        let location =
            self.locations.iter().find(|location| location.id == id).expect("each location is there");
        let Some(line) = location.lines.first() else { return "?" };
        let function = self.functions.iter().find(|function| function.id == line.function);
        self.text(function.expect("each function is there").name)
    }

    fn text(&self, number: i64) -> &str {
        &self.texts[usize::try_from(number).unwrap()]
    }
}
