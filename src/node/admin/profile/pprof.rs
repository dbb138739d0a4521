//! A profile as `pprof` and its relatives read it: a protobuf message.
//!
//! In go stacks of addresses with what was counted there, out come bytes. The fields and their numbers are those of pprof's own
//! `profile.proto`; those of no use here are left out.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost::Message as _;

use super::modules::Module;

/// What was counted, and in what.
pub(super) type Unit = (&'static str, &'static str);

/// How many numbers each stack has.
pub(super) const NUMBERS: usize = 2;

/// All there is to say.
#[derive(Debug)]
pub(super) struct Contents {
    /// What the numbers of a stack are.
    pub(super) units: [Unit; NUMBERS],
    /// What there is one sample for so much of.
    pub(super) period: (Unit, u64),
    pub(super) since: SystemTime,
    pub(super) length: Duration,
    /// Addresses from the innermost function outwards.
    pub(super) stacks: Vec<(Box<[u64]>, [u64; NUMBERS])>,
    pub(super) modules: Vec<Module>,
    pub(super) comment: Option<String>,
}

/// The message, not compressed.
pub(super) fn encode(contents: &Contents) -> Vec<u8> {
    let mut texts = Texts::default();
    texts.of("");
    let unit =
        |texts: &mut Texts, (what, unit): Unit| ValueType { what: texts.of(what), unit: texts.of(unit) };
    let (period_type, period) = contents.period;
    let mut profile = Profile {
        sample_type: contents.units.map(|each| unit(&mut texts, each)).to_vec(),
        time_nanos: contents.since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanoseconds),
        duration_nanos: nanoseconds(contents.length),
        period_type: Some(unit(&mut texts, period_type)),
        period: signed(period),
        comment: contents.comment.iter().map(|comment| texts.of(comment)).collect(),
        default_sample_type: texts.of(contents.units[NUMBERS - 1].0),
        ..Profile::default()
    };
    mappings(&mut profile, &contents.modules, &mut texts);
    let numbers = locations(&mut profile, contents, &mut texts);
    profile.sample = contents
        .stacks
        .iter()
        .map(|(stack, values)| Sample {
            location_id: stack.iter().filter_map(|address| numbers.get(address).copied()).collect(),
            value: values.map(signed).to_vec(),
        })
        .collect();
    profile.string_table = texts.in_order;
    profile.encode_to_vec()
}

fn mappings(profile: &mut Profile, modules: &[Module], texts: &mut Texts) {
    for (id, module) in (1..).zip(modules) {
        profile.mapping.push(Mapping {
            id,
            memory_start: module.addresses.start,
            memory_limit: module.addresses.end,
            file_offset: module.offset,
            filename: texts.of(&module.path),
            build_id: texts.of(&module.build_id()),
            has_functions: true,
        });
    }
}

/// Gives each address a number, and the function that is there, if that is known.
fn locations(profile: &mut Profile, contents: &Contents, texts: &mut Texts) -> HashMap<u64, u64> {
    let mut addresses: Vec<u64> =
        contents.stacks.iter().flat_map(|(stack, _)| stack.iter().copied()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut names = HashMap::new();
    for module in &contents.modules {
        module.name(&addresses, &mut names);
    }
    let mut functions = HashMap::new();
    for (id, address) in (1..).zip(&addresses) {
        let line = names.remove(address).map(|name| {
            let next = functions.len() as u64 + 1;
            let function_id = *functions.entry(texts.of(&name)).or_insert(next);
            Line { function_id }
        });
        let module = contents.modules.iter().position(|module| module.addresses.contains(address));
        let mapping_id = module.map_or(0, |module| module as u64 + 1);
        profile.location.push(Location {
            id,
            mapping_id,
            address: *address,
            line: line.into_iter().collect(),
        });
    }
    profile.function =
        functions.into_iter().map(|(name, id)| Function { id, name, system_name: name }).collect();
    profile.function.sort_unstable_by_key(|function| function.id);
    (1..).zip(addresses).map(|(id, address)| (address, id)).collect()
}

/// Every text once, and called by its number.
#[derive(Default)]
struct Texts {
    in_order: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Texts {
    fn of(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = signed(self.in_order.len() as u64);
        self.in_order.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[derive(Clone, PartialEq, prost::Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, repeated, tag = "13")]
    comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    what: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(uint64, tag = "4")]
    file_offset: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::profile::modules;

    #[test]
    fn what_was_counted_is_told_with_the_names_of_the_functions() {
        let known = encode as *const () as u64;
        let contents = Contents {
            units: [("samples", "count"), ("cpu", "nanoseconds")],
            period: (("cpu", "nanoseconds"), 10),
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            length: Duration::from_secs(1),
            stacks: vec![([known, 1].into(), [3, 30]), ([1].into(), [1, u64::MAX])],
            modules: modules::loaded().unwrap(),
            comment: Some("a word".into()),
        };
        let profile = Profile::decode(encode(&contents).as_slice()).unwrap();
        let text = |number: i64| profile.string_table[usize::try_from(number).unwrap()].as_str();
        let functions = |sample: &Sample| -> Vec<String> {
            let at = |id: &u64| profile.location.iter().find(|location| location.id == *id).unwrap();
            let name = |id| text(profile.function.iter().find(|function| function.id == id).unwrap().name);
            let lines = |id| at(id).line.first().map_or("?", |line| name(line.function_id)).to_owned();
            sample.location_id.iter().map(lines).collect()
        };
        assert_eq!(functions(&profile.sample[0]), ["culvert_node::admin::profile::pprof::encode", "?"]);
        assert_eq!(functions(&profile.sample[1]), ["?"]);
        let values: Vec<_> = profile.sample.iter().map(|sample| sample.value.as_slice()).collect();
        assert_eq!(values, [[3, 30], [1, i64::MAX]]);
        assert_eq!(text(0), "");
        assert_eq!(text(profile.default_sample_type), "cpu");
        assert_eq!(text(profile.comment[0]), "a word");
        assert_eq!((profile.time_nanos, profile.duration_nanos), (5_000_000_000, 1_000_000_000));
        let known = profile.location.iter().find(|location| location.address == known).unwrap();
        let mapping = profile.mapping.iter().find(|mapping| mapping.id == known.mapping_id).unwrap();
        assert!(text(mapping.filename).contains("culvert_node"), "{}", text(mapping.filename));
    }
}
