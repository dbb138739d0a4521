//! What a namespace holds, read from the output of `iptables-save`.
//!
//! In goes the tool's text; out comes, for the tables capture uses, every chain with its rules in order. A rule this
//! module does not understand is somebody else's: it is kept as text, so that it can be named and left alone. Counters
//! and comments are dropped, and whether the rules are the right ones is decided in [`crate::drift`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::rule::{Action, Chain, Field, InterfaceName, Masked, Match, Protocol, Rule, Sense, Table};

/// The tables of one tool that capture uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    tables: BTreeMap<Table, SavedTable>,
    rules: usize,
}

/// The chains of one table, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SavedTable {
    pub(crate) chains: BTreeMap<String, Vec<SavedRule>>,
}

/// One rule as the tool printed it, and what it means if we could have written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedRule {
    pub(crate) text: String,
    pub(crate) meaning: Option<Rule>,
    pub(crate) target: Option<String>,
}

/// A line that is not in the format of `iptables-save`; it holds the line's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) usize);

impl Saved {
    /// Reads the output of the tool. Tables capture does not use are only counted.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut saved = Self::default();
        let mut open: Option<Option<Table>> = None;
        let mut last = 0;
        for (number, line) in (1..).zip(text.lines()) {
            last = number;
            match line.as_bytes().first() {
                None | Some(b'#') => {}
                Some(b'*') if open.is_none() => open = Some(saved.start_table(&line[1..])),
                _ if line == "COMMIT" && open.is_some() => open = None,
                _ => {
                    let table = open.ok_or(Malformed(number))?;
                    saved.add_line(table, line).ok_or(Malformed(number))?;
                }
            }
        }
        // Output that was cut off must not look like a table with fewer rules.
        if open.is_some() { Err(Malformed(last)) } else { Ok(saved) }
    }

    /// The table, empty if the namespace does not have it.
    pub(crate) fn table(&self, table: Table) -> &SavedTable {
        static EMPTY: SavedTable = SavedTable { chains: BTreeMap::new() };
        self.tables.get(&table).unwrap_or(&EMPTY)
    }

    /// Whether anything of ours is here.
    pub(crate) fn has_ours(&self) -> bool {
        self.tables.values().any(SavedTable::has_ours)
    }

    /// Whether any rule at all is here, in any table.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules > 0
    }

    fn start_table(&mut self, name: &str) -> Option<Table> {
        let table = Table::ALL.into_iter().find(|table| table.name() == name.trim_end())?;
        self.tables.entry(table).or_default();
        Some(table)
    }

    /// One line inside a table: `:CHAIN policy [counters]` or `-A CHAIN rule`.
    fn add_line(&mut self, table: Option<Table>, line: &str) -> Option<()> {
        let rule = line.strip_prefix("-A ");
        self.rules += usize::from(rule.is_some());
        let Some(table) = table else { return Some(()) };
        let chains = &mut self.tables.entry(table).or_default().chains;
        match (rule, line.strip_prefix(':')) {
            (Some(rule), _) => {
                let (chain, text) = rule.split_once(' ').unwrap_or((rule, ""));
                chains.entry(chain.to_owned()).or_default().push(SavedRule::parse(text));
            }
            (None, Some(chain)) => {
                let name = chain.split(' ').next()?;
                chains.entry(name.to_owned()).or_default();
            }
            (None, None) => return None,
        }
        Some(())
    }
}

impl SavedTable {
    /// Whether one of our chains is here, or a rule that leads to one.
    pub(crate) fn has_ours(&self) -> bool {
        let named = self.chains.keys().any(|name| Chain::named(name).is_some());
        named || self.chains.values().flatten().any(|rule| rule.jumps_to_ours())
    }

    /// Every rule outside our chains that leads into `chain`, with the chain it is in.
    pub(crate) fn references(&self, chain: Chain) -> impl Iterator<Item = (&str, &SavedRule)> {
        self.chains
            .iter()
            .filter(|(name, _)| Chain::named(name).is_none())
            .flat_map(|(name, rules)| rules.iter().map(move |rule| (name.as_str(), rule)))
            .filter(move |(_, rule)| rule.target.as_deref() == Some(chain.name()))
    }
}

impl SavedRule {
    fn parse(text: &str) -> Self {
        let words = words(text);
        let target =
            words.iter().position(|word| word == "-j" || word == "-g").and_then(|at| words.get(at + 1));
        Self { text: text.to_owned(), target: target.cloned(), meaning: Reader::new(&words).rule() }
    }

    fn jumps_to_ours(&self) -> bool {
        self.target.as_deref().is_some_and(|target| Chain::named(target).is_some())
    }
}

/// Splits a rule into words; quotes and backslashes as the tools write them.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quoted = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' if !quoted => words.extend(word.take()),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Reads the words of one rule; `None` as soon as one is met that our rules never have.
struct Reader<'w> {
    words: std::slice::Iter<'w, String>,
    matches: Vec<Match>,
    extension: &'w str,
}

impl<'w> Reader<'w> {
    fn new(words: &'w [String]) -> Self {
        Self { words: words.iter(), matches: Vec::new(), extension: "" }
    }

    fn rule(mut self) -> Option<Rule> {
        let mut sense = Sense::Is;
        loop {
            match self.word()? {
                "!" => sense = Sense::IsNot,
                "-m" => self.extension = self.known_extension()?,
                "-j" if sense == Sense::Is => break,
                option => {
                    let field = self.field(option)?;
                    self.matches.push(Match { field, sense });
                    sense = Sense::Is;
                }
            }
        }
        let action = self.action()?;
        self.words.next().is_none().then(|| Rule::new(self.matches, action))
    }

    fn word(&mut self) -> Option<&'w str> {
        self.words.next().map(String::as_str)
    }

    fn known_extension(&mut self) -> Option<&'w str> {
        self.word().filter(|name| ["tcp", "udp", "mark", "connmark", "conntrack"].contains(name))
    }

    fn field(&mut self, option: &str) -> Option<Field> {
        let value = self.word()?;
        Some(match option {
            "-s" => Field::Source(network(value)?),
            "-d" => Field::Destination(network(value)?),
            "-i" => Field::InInterface(InterfaceName::parse(value)?),
            "-o" => Field::OutInterface(InterfaceName::parse(value)?),
            "-p" => Field::Protocol(protocol(value)?),
            "--sport" => Field::SourcePort(value.parse().ok()?),
            "--dport" => Field::DestinationPort(value.parse().ok()?),
            "--mark" if self.extension == "mark" => Field::Mark(masked(value)?),
            "--mark" if self.extension == "connmark" => Field::ConnectionMark(masked(value)?),
            "--ctdir" if self.extension == "conntrack" && value == "ORIGINAL" => Field::FromOpener,
            _ => return None,
        })
    }

    fn action(&mut self) -> Option<Action> {
        Some(match self.word()? {
            "ACCEPT" => Action::Accept,
            "RETURN" => Action::Return,
            "REDIRECT" => Action::Redirect(self.option("--to-ports")?.parse().ok()?),
            "CT" => Action::ConntrackZone(self.option("--zone")?.parse().ok()?),
            "CONNMARK" => self.connmark()?,
            target => Action::Jump(Chain::named(target)?),
        })
    }

    fn connmark(&mut self) -> Option<Action> {
        match self.word()? {
            "--set-xmark" => Some(Action::MarkConnection(masked(self.word()?)?)),
            "--restore-mark" => {
                let whole = |mask: &str| number(mask) == Some(u32::MAX);
                let full = whole(self.option("--nfmask")?) && whole(self.option("--ctmask")?);
                full.then_some(Action::RestoreMark)
            }
            _ => None,
        }
    }

    fn option(&mut self, name: &str) -> Option<&'w str> {
        self.word().filter(|word| *word == name)?;
        self.word()
    }
}

/// A network, or a single address with or without the prefix length that says so.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()))
}

fn protocol(text: &str) -> Option<Protocol> {
    match text {
        "tcp" | "6" => Some(Protocol::Tcp),
        "udp" | "17" => Some(Protocol::Udp),
        _ => None,
    }
}

fn masked(text: &str) -> Option<Masked> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    Some(Masked { value: number(value)?, mask: number(mask)? })
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::plan::Plan;
    use crate::rule::Family;

    #[test]
    fn every_rule_we_write_reads_back_as_itself() {
        let virtual_interfaces = vec!["vnet0".to_owned(), "tap+".to_owned()];
        let plan = Plan::new(&Options { dns: true, virtual_interfaces, ..Options::default() });
        for family in Family::BOTH {
            for table in Table::ALL.into_iter().filter_map(|table| plan.family(family)?.table(table)) {
                for rule in Chain::BOTH.into_iter().flat_map(|chain| table.rules(chain)) {
                    assert_eq!(SavedRule::parse(&rule.to_string()).meaning.as_ref(), Some(rule), "{rule}");
                }
            }
        }
    }

    #[test]
    fn what_tools_print_means_what_we_wrote() {
        let check = |printed: &str, written: &str| {
            let meaning = SavedRule::parse(printed).meaning;
            assert!(meaning.is_some(), "{printed}");
            assert_eq!(meaning, SavedRule::parse(written).meaning, "{printed}");
        };
        check("-s 10.0.0.1/32 -p tcp -j ACCEPT", "-s 10.0.0.1 -p tcp -j ACCEPT");
        check(
            "-p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j RETURN",
            "-p tcp ! --dport 15008 -m mark ! --mark 1337/4095 -j RETURN",
        );
        check("-d 10.0.0.0/8 -p tcp -j ACCEPT", "-d 10.1.2.3/8 -p tcp -j ACCEPT");
        check("-d 2001:db8::/32 -p tcp -j ACCEPT", "-d 2001:db8::1/32 -p tcp -j ACCEPT");
        check("-p tcp -j ACCEPT", "-d 0.0.0.0/0 -p tcp -j ACCEPT");
        check("-p tcp -j ACCEPT", "-s ::/0 -p tcp -j ACCEPT");
        check("! -d ::1/128 -o lo -j ACCEPT", "-o lo ! -d ::1 -j ACCEPT");
        check("-p 17 -j CT --zone 1", "-p udp -j CT --zone 1");
        check(
            "-m conntrack --ctdir ORIGINAL -m mark --mark 0x5 -j RETURN",
            "-m mark --mark 0x5 -m conntrack --ctdir ORIGINAL -j RETURN",
        );
        check("-m connmark --mark 0x5 -j ACCEPT", "-m connmark --mark 0x5/0xffffffff -j ACCEPT");
    }

    #[test]
    fn what_we_never_write_has_no_meaning_but_a_target() {
        let check = |printed: &str, target: Option<&str>| {
            let rule = SavedRule::parse(printed);
            assert_eq!((rule.meaning, rule.target.as_deref()), (None, target), "{printed}");
        };
        check("-s 10.0.0.0/255.0.255.0 -p tcp -j ACCEPT", Some("ACCEPT"));
        check("-m comment --comment \"say -j \\\"DROP\\\" twice\" -j ISTIO_OUTPUT", Some("ISTIO_OUTPUT"));
        check("-p tcp -g ISTIO_PRERT", Some("ISTIO_PRERT"));
        check("-p tcp -m multiport --dports 1,2 -j REDIRECT --to-ports 15001", Some("REDIRECT"));
        check("-p tcp -j REDIRECT --to-ports 15001 --random", Some("REDIRECT"));
        check("-p tcp", None);
        check("", None);
    }

    #[test]
    fn a_save_is_read_table_by_table() {
        let text = "# comment\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n*nat\n:OUTPUT ACCEPT [1:2]\n\
                    :ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n";
        let saved = Saved::parse(text).unwrap();
        assert!(saved.has_ours() && saved.has_rules());
        assert_eq!(saved.table(Table::Nat).chains.len(), 2);
        assert_eq!(saved.table(Table::Nat).references(Chain::Output).count(), 1);
        assert!(!saved.table(Table::Mangle).has_ours());
    }

    #[test]
    fn output_that_was_cut_off_is_not_a_small_rule_set() {
        let check =
            |text: &str, line: usize| assert_eq!(Saved::parse(text), Err(Malformed(line)), "{text:?}");
        check("*nat\n:OUTPUT ACCEPT [0:0]\n", 2);
        check("*nat\n:OUTPUT ACCEPT [0:0]\n*raw\nCOMMIT\n", 3);
        check("-A OUTPUT -j ACCEPT\n", 1);
        check("*nat\nwhat is this\nCOMMIT\n", 2);
        check("*filter\n-A INPUT", 2);
    }
}
