//! The file that names the servers to ask when a query does not say whom it was for (`resolv.conf(5)`).
//!
//! Shared by all pods of a node: a pod's own file is in its mount namespace, where this process does not look. Its search list
//! is for names this node looks up by itself: clients have applied theirs.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ask::Upstream;

/// Where the file is.
pub(super) const PATH: &str = "/etc/resolv.conf";
/// How old what was read may be.
const FRESH: Duration = Duration::from_secs(5);
/// How long reading it may take: it may be on a file system that hangs.
const READ_DEADLINE: Duration = Duration::from_secs(1);
/// The port of nameservers.
const PORT: u16 = 53;
/// What is used of the file, as by the C library.
const MOST_SERVERS: usize = 3;
const MOST_ATTEMPTS: u32 = 5;
const LONGEST_TIMEOUT: u64 = 30;
const MOST_DOMAINS: usize = 6;
const MOST_DOTS: usize = 15;

/// The file, read anew when what was read is not fresh.
#[derive(Debug)]
pub(super) struct ResolvConf {
    path: PathBuf,
    from: From,
    read: Mutex<Option<(Instant, Content)>>,
    /// One reads, and the others wait for it.
    reading: tokio::sync::Mutex<()>,
}

/// From where the servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The network the file is about.
    Here,
    /// The networks of pods, where loopback and link-local addresses are those of others.
    Pods,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The servers it names; none when it cannot be read.
    pub(super) upstream: Upstream,
    pub(super) search: Search,
}

/// How names that are not complete are completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    /// In lower case, without dots around them.
    domains: Arc<[String]>,
    /// With as many dots a name is tried as it is before it is completed.
    dots: usize,
}

impl ResolvConf {
    pub(super) fn new(path: PathBuf, from: From) -> Self {
        Self { path, from, read: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    #[cfg(test)]
    pub(super) fn fixed(content: Content) -> Self {
        let for_long = Instant::now() + Duration::from_secs(3600);
        Self { read: Some((for_long, content)).into(), ..Self::new(PathBuf::new(), From::Here) }
    }

    /// What it says, for which it may have to be read. A file that does not come says what it said before.
    pub(super) async fn read(&self) -> Content {
        let _reading = self.reading.lock().await;
        if let Some(content) = self.fresh() {
            return content;
        }
        let path = self.path.display();
        let read = timeout(READ_DEADLINE, tokio::fs::read_to_string(&self.path)).await;
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let content = match (read, known.take()) {
            (Err(_), Some((_, before))) => {
                tracing::warn!(%path, deadline = ?READ_DEADLINE, "the nameservers cannot be read in time");
                before
            }
            (read, _) => {
                let text = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                let text = text.unwrap_or_else(|error| {
                    tracing::debug!(%path, %error, "no nameservers can be read");
                    String::new()
                });
                Content::parse(&text, self.from)
            }
        };
        *known = Some((Instant::now(), content.clone()));
        content
    }

    /// What it says, if that was read lately.
    pub(super) fn fresh(&self) -> Option<Content> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = read.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, content)| content.clone())
    }
}

/// What the lines say, before it is brought within reason.
#[derive(Debug)]
struct Lines<'t> {
    servers: Vec<&'t str>,
    domains: Vec<&'t str>,
    timeout: u64,
    attempts: u32,
    dots: usize,
}

impl<'t> Lines<'t> {
    fn read(text: &'t str) -> Self {
        let mut lines = Self { servers: Vec::new(), domains: Vec::new(), timeout: 5, attempts: 2, dots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => lines.servers.extend(words.next()),
                // The last of these lines counts.
                Some("search") => lines.domains = words.collect(),
                Some("domain") => lines.domains = words.take(1).collect(),
                Some("options") => words.for_each(|option| lines.read_option(option)),
                _ => {}
            }
        }
        lines
    }

    fn read_option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        match (name, value.parse::<u32>()) {
            ("timeout", Ok(value)) => self.timeout = value.into(),
            ("attempts", Ok(value)) => self.attempts = value,
            ("ndots", Ok(value)) => self.dots = usize::try_from(value).unwrap_or(MOST_DOTS),
            _ => {}
        }
    }
}

impl Content {
    /// Reads the lines that matter.
    pub(super) fn parse(text: &str, from: From) -> Self {
        let Lines { servers, domains, timeout, attempts, dots } = Lines::read(text);
        let usable = servers.into_iter().filter_map(|text| server(text, from));
        let servers: Arc<[SocketAddr]> = usable.take(MOST_SERVERS).collect();
        let timeout = Duration::from_secs(u64::clamp(timeout, 1, LONGEST_TIMEOUT));
        let upstream = Upstream { servers, timeout, attempts: attempts.clamp(1, MOST_ATTEMPTS) };
        let domains = domains.into_iter().map(|domain| domain.trim_matches('.').to_ascii_lowercase());
        let domains = domains.filter(|domain| !domain.is_empty()).take(MOST_DOMAINS).collect();
        Self { upstream, search: Search { domains, dots: dots.min(MOST_DOTS) } }
    }
}

/// Reads the address of a server, which may name an interface behind `%`; `None` when it cannot be asked from there.
fn server(text: &str, from: From) -> Option<SocketAddr> {
    let (address, interface) = text.split_once('%').unwrap_or((text, ""));
    let ip: IpAddr = address.parse().ok()?;
    let is_local = ip.is_loopback() || matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if is_local && from == From::Pods {
        return None;
    }
    let IpAddr::V6(ip) = ip else { return Some(SocketAddr::new(ip, PORT)) };
    let number = interface.parse().or_else(|_| culvert_sys::udp::interface_index(interface));
    let scope = if ip.is_unicast_link_local() { number.ok()? } else { 0 };
    Some(SocketAddrV6::new(ip, PORT, 0, scope).into())
}

impl Search {
    /// Gives the complete names that may be meant by `name`, in the order in which they are tried: a name that ends in a dot
    /// is complete.
    pub(super) fn completed(&self, name: &str) -> Vec<String> {
        if let Some(complete) = name.strip_suffix('.') {
            return vec![complete.to_owned()];
        }
        let with_domain = self.domains.iter().map(|domain| format!("{name}.{domain}"));
        let as_it_is = || [name.to_owned()].into_iter();
        if name.matches('.').count() >= self.dots {
            as_it_is().chain(with_domain).collect()
        } else {
            with_domain.chain(as_it_is()).collect()
        }
    }
}

#[cfg(test)]
mod tests;
