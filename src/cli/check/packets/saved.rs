//! Reads what `iptables-save` prints.

use std::ops::RangeInclusive;

use ebpf_free_iptables::TUNNEL_PORT;

use super::{Chain, Hook, Rule, Sure, Table, Target};

/// The tables of a text; lines that make no sense are left out.
pub(super) fn tables(text: &str, program: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            let (program, name) = (program.to_owned(), name.trim().to_owned());
            tables.push(Table { program, name, chains: Default::default() });
        } else if let Some(table) = tables.last_mut() {
            add(table, line);
        }
    }
    tables
}

fn add(table: &mut Table, line: &str) {
    if let Some(chain) = line.strip_prefix(':') {
        let mut words = chain.split_whitespace();
        let (Some(name), Some(policy)) = (words.next(), words.next()) else { return };
        // Chains of users have no policy.
        let hook = if policy == "-" { None } else { Hook::parse(name) };
        table.chains.insert(name.to_owned(), Chain { hook, drops: policy == "DROP", rules: Vec::new() });
    } else if let Some(rule) = line.strip_prefix("-A ") {
        let (name, options) = rule.split_once(' ').unwrap_or((rule, ""));
        let chain = table.chains.entry(name.to_owned()).or_default();
        chain.rules.push(parse(options, format!("{} -t {} {line}", table.program, table.name)));
    }
}

/// A rule's options, as far as they decide about the first packet of a tunnel.
fn parse(options: &str, text: String) -> Rule {
    let mut rule = Rule { fits: Sure::Yes, names_port: false, target: Target::Other, text };
    let words = words(options);
    let mut words = words.iter().peekable();
    let mut negated = false;
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "!" => negated = true,
            "-j" | "--jump" | "-g" | "--goto" => {
                rule.target = words.next().map_or(Target::Other, |word| target(&word.text));
                // What follows is about the target.
                break;
            }
            option => {
                let value = words.next_if(|next| !next.begins()).map_or("", |word| word.text.as_str());
                while words.next_if(|next| !next.begins()).is_some() {}
                let fits = fits(option, value);
                rule.names_port |= fits == Sure::Yes && !negated && PORTS.contains(&option);
                rule.fits = rule.fits.min(if negated { opposite(fits) } else { fits });
                negated = false;
            }
        }
    }
    rule
}

const PORTS: [&str; 4] = ["--dport", "--destination-port", "--dports", "--destination-ports"];

fn opposite(fits: Sure) -> Sure {
    match fits {
        Sure::Yes => Sure::No,
        Sure::Maybe => Sure::Maybe,
        Sure::No => Sure::Yes,
    }
}

fn target(name: &str) -> Target {
    match name {
        "ACCEPT" => Target::Accept,
        "DROP" | "REJECT" => Target::Drop,
        "RETURN" => Target::Return,
        "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "CT" | "TCPMSS" | "REDIRECT" | "DNAT" | "SNAT"
        | "MASQUERADE" => Target::Other,
        chain => Target::Chain(chain.to_owned()),
    }
}

fn fits(option: &str, value: &str) -> Sure {
    let sure = |is: bool| if is { Sure::Yes } else { Sure::No };
    match option {
        "-m" | "--match" | "--comment" | "--syn" | "--tcp-flags" => Sure::Yes,
        "-p" | "--protocol" => sure(["tcp", "6", "all", "0"].contains(&value)),
        option if PORTS.contains(&option) || option == "--ports" => sure(value.split(',').any(holds_port)),
        "--ctstate" | "--state" => sure(value.split(',').any(|state| state == "NEW")),
        "-s" | "-d" | "--source" | "--destination" if value == "0.0.0.0/0" || value == "::/0" => Sure::Yes,
        "-i" | "-o" | "--in-interface" | "--out-interface" if value == "lo" => Sure::No,
        "--icmp-type" | "--icmpv6-type" => Sure::No,
        _ => Sure::Maybe,
    }
}

/// Reads `15008` or `15000:15010`.
fn holds_port(text: &str) -> bool {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let bounds = || -> Option<RangeInclusive<u16>> { Some(first.parse().ok()?..=last.parse().ok()?) };
    bounds().is_some_and(|bounds| bounds.contains(&TUNNEL_PORT))
}

/// A word of a line.
#[derive(Default)]
struct Word {
    text: String,
    /// Between quotation marks: a value, whatever it looks like.
    is_quoted: bool,
}

impl Word {
    /// Whether an option begins here.
    fn begins(&self) -> bool {
        !self.is_quoted && (self.text.starts_with('-') || self.text == "!")
    }
}

/// The words of a line; what is between quotation marks is one word.
fn words(line: &str) -> Vec<Word> {
    let (mut words, mut word, mut quoted, mut escaped) = (Vec::new(), Word::default(), false, false);
    for letter in line.chars() {
        match letter {
            _ if escaped => {
                word.text.push(letter);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                word.is_quoted = true;
            }
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            letter => word.text.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| word.is_quoted || !word.text.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_how_far_it_is_about_the_first_packet_of_a_tunnel() {
        for (options, expected, names_port) in [
            ("-j DROP", Sure::Yes, false),
            ("-p tcp -m tcp --dport 15008 -j DROP", Sure::Yes, true),
            ("-p tcp -m multiport --dports 80,15000:15010 -j DROP", Sure::Yes, true),
            ("-p tcp -m tcp --dport 80 -j DROP", Sure::No, false),
            ("-p tcp -m tcp ! --dport 80 -j DROP", Sure::Yes, false),
            ("-p tcp -m tcp ! --dport 15008 -j DROP", Sure::No, false),
            ("-p udp -j DROP", Sure::No, false),
            ("! -p udp -j DROP", Sure::Yes, false),
            ("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", Sure::No, false),
            ("-m conntrack --ctstate INVALID,NEW -j DROP", Sure::Yes, false),
            ("-s 10.0.0.0/8 -j DROP", Sure::Maybe, false),
            (
                "-s 10.0.0.0/8 -p tcp -m tcp --dport 15008 -j REJECT --reject-with tcp-reset",
                Sure::Maybe,
                true,
            ),
            ("-i lo -j ACCEPT", Sure::No, false),
            ("-m mark --mark 0x8000/0x8000 -j DROP", Sure::Maybe, false),
            ("-m comment --comment \"-p udp; --dport 15008 \\\" x\" -j DROP", Sure::Yes, false),
            ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", Sure::Yes, false),
        ] {
            let rule = parse(options, String::new());
            assert_eq!((rule.fits, rule.names_port), (expected, names_port), "{options}");
            assert_ne!(rule.target, Target::Other, "{options}");
        }
    }

    #[test]
    fn tables_and_chains_are_read() {
        let text = "# a comment\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [1:2]\n:mine - [0:0]\n\
                    -A FORWARD -i eth0 -j mine\n-A mine -j LOG --log-prefix \"x -j DROP\"\nCOMMIT\n";
        let tables = tables(text, "iptables-nft");
        assert_eq!((tables.len(), tables[0].name.as_str()), (1, "filter"));
        let forward = &tables[0].chains["FORWARD"];
        assert!(forward.drops && forward.hook == Some(Hook::Forward));
        assert_eq!(forward.rules[0].target, Target::Chain("mine".into()));
        assert_eq!(forward.rules[0].text, "iptables-nft -t filter -A FORWARD -i eth0 -j mine");
        let mine = &tables[0].chains["mine"];
        assert_eq!((mine.hook, &mine.rules[0].target), (None, &Target::Other));
    }
}
