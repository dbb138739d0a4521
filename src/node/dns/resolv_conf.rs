//! The file that names the servers to ask when a query does not say whom it was for (`resolv.conf(5)`).
//!
//! Shared by all pods of a node: a pod's own file is in its mount namespace, where this process does not look.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ask::Upstream;

/// Where the file is.
pub(super) const PATH: &str = "/etc/resolv.conf";
/// How old what was read may be.
const FRESH: Duration = Duration::from_secs(5);
/// The port of nameservers.
const PORT: u16 = 53;
/// What is used of the file, as by the C library.
const MOST_SERVERS: usize = 3;
const MOST_ATTEMPTS: u32 = 5;
const LONGEST_TIMEOUT: u64 = 30;

/// The file, read anew when what was read is not fresh.
#[derive(Debug)]
pub(super) struct ResolvConf {
    path: PathBuf,
    /// Whether servers on the loopback address are those of the pods that ask.
    loopback: bool,
    read: Mutex<Option<(Instant, Upstream)>>,
}

impl ResolvConf {
    pub(super) fn new(path: PathBuf, loopback: bool) -> Self {
        Self { path, loopback, read: Mutex::default() }
    }

    #[cfg(test)]
    pub(super) fn fixed(upstream: Upstream) -> Self {
        let for_long = Instant::now() + Duration::from_secs(3600);
        Self { read: Some((for_long, upstream)).into(), ..Self::new(PathBuf::new(), true) }
    }

    /// The servers it names; none when it cannot be read.
    pub(super) async fn upstream(&self) -> Upstream {
        if let Some(upstream) = self.fresh() {
            return upstream;
        }
        let text = tokio::fs::read_to_string(&self.path).await.unwrap_or_else(|error| {
            tracing::debug!(path = %self.path.display(), %error, "no nameservers can be read");
            String::new()
        });
        let upstream = parse(&text, self.loopback);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = Some((Instant::now(), upstream.clone()));
        upstream
    }

    fn fresh(&self) -> Option<Upstream> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = read.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, upstream)| upstream.clone())
    }
}

/// Reads the lines that matter; everything else is for clients, and was applied by them.
fn parse(text: &str, loopback: bool) -> Upstream {
    let (mut servers, mut timeout, mut attempts) = (Vec::new(), 5, 2);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
            Some("options") => {
                for option in words {
                    let (name, value) = option.split_once(':').unwrap_or((option, ""));
                    match (name, value.parse::<u32>()) {
                        ("timeout", Ok(value)) => timeout = value.into(),
                        ("attempts", Ok(value)) => attempts = value,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let usable = servers.into_iter().filter(|ip| loopback || !ip.is_loopback());
    let servers: Arc<[SocketAddr]> = usable.take(MOST_SERVERS).map(|ip| SocketAddr::new(ip, PORT)).collect();
    let timeout = Duration::from_secs(u64::clamp(timeout, 1, LONGEST_TIMEOUT));
    Upstream { servers, timeout, attempts: attempts.clamp(1, MOST_ATTEMPTS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, servers: &[&str], timeout: u64, attempts: u32) {
        let Upstream { servers: found, timeout: wait, attempts: tries } = parse(text, false);
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        let owned: Vec<_> = servers.iter().map(|server| (*server).to_owned()).collect();
        assert_eq!((&*found, wait.as_secs(), tries), (&*owned, timeout, attempts), "{text}");
    }

    #[test]
    fn servers_come_in_their_order_and_others_than_three_are_not_asked() {
        check(
            "nameserver 10.96.0.10\nnameserver  fd00::a # cluster\n",
            &["10.96.0.10:53", "[fd00::a]:53"],
            5,
            2,
        );
        let many = "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4";
        check(many, &["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:53"], 5, 2);
    }

    #[test]
    fn what_makes_no_sense_is_as_if_it_was_not_there() {
        let text = "; nameserver 192.0.2.1\n#nameserver 192.0.2.2\nnameserver\nnameserver x\nsearch a b\nnameserver 192.0.2.3";
        check(text, &["192.0.2.3:53"], 5, 2);
        check("", &[], 5, 2);
    }

    #[test]
    fn options_are_kept_within_reason() {
        check("options ndots:5 timeout:1 attempts:3", &[], 1, 3);
        check("options timeout:0 attempts:0\n", &[], 1, 1);
        check("options timeout:99\noptions attempts:99 timeout:x edns0", &[], 30, 5);
    }

    #[test]
    fn a_loopback_address_is_a_server_of_this_host_and_not_of_a_pod() {
        let text = "nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1";
        check(text, &["192.0.2.1:53"], 5, 2);
        assert_eq!(parse(text, true).servers.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_is_followed_and_need_not_be_there() {
        let path = std::env::temp_dir().join(format!("culvert-resolv-{}", std::process::id()));
        let file = ResolvConf::new(path.clone(), false);
        assert!(file.upstream().await.servers.is_empty());
        std::fs::write(&path, "nameserver 192.0.2.1").unwrap();
        assert!(file.upstream().await.servers.is_empty(), "still fresh");
        tokio::time::advance(FRESH).await;
        assert_eq!(&*file.upstream().await.servers, ["192.0.2.1:53".parse().unwrap()]);
        std::fs::remove_file(&path).unwrap();
    }
}
