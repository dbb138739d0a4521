//! What a server that was tried to be reached, and the certificate it showed, mean for a node.

use crate::check::clock;
use crate::check::finding::Verdict;
use crate::check::tls::{Presented, Reach, Trust};

/// How far one got.
pub(super) fn reached(host: &str, reach: &Reach, variable: &str) -> Verdict {
    match reach {
        Reach::NoName(why) => Verdict::problem(
            format!("{host} cannot be looked up: {why}"),
            format!(
                "see: getent hosts {host}; use a name this host's DNS knows, or an address, in {variable}"
            ),
        ),
        Reach::NoConnection(tried, why) => {
            let all = tried.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Verdict::problem(
                format!("{all} cannot be reached: {why}"),
                format!(
                    "start the control plane there, and let TCP to {all} pass (firewall, network policy)"
                ),
            )
        }
        Reach::NoTls(peer, why) => Verdict::problem(
            format!("{peer} accepts connections and does not speak TLS: {why}"),
            format!("set {variable} to the port that serves mutual TLS (15012)"),
        ),
        Reach::Tls(met) => Verdict::ok(format!("{host} is reached at {} ({})", met.peer, met.version)),
    }
}

/// Judges a certificate.
pub(super) struct Judge<'j> {
    pub(super) presented: &'j Presented,
    pub(super) host: &'j str,
    pub(super) origin: &'j str,
    pub(super) variables: [&'static str; 3],
    pub(super) now: i64,
}

impl Judge<'_> {
    pub(super) fn of(&self, trust: &Trust) -> Verdict {
        let Presented { names, root, valid: [from, until] } = self.presented;
        let ([_, roots, alternative], names) = (self.variables, names.join(", "));
        match trust {
            Trust::Good => self.age(),
            Trust::NoRoots => Verdict::unknown(
                format!("it is signed by {root}, and nobody says which roots are trusted"),
                format!("say --root FILE with {root}, as {roots} will"),
            ),
            Trust::UnknownIssuer => Verdict::problem(
                format!("it is signed by {root}, which is not among the roots in {}", self.origin),
                format!("set {roots} to a file with {root} (root-cert.pem of the control plane's --ca-dir)"),
            ),
            Trust::Expired => Verdict::problem(
                format!("it, or one above it, has expired; it was valid until {}", clock::date(*until)),
                "renew the certificate of the control plane (restart it), and see that this host's clock is right",
            ),
            Trust::NotYet => Verdict::problem(
                format!(
                    "it is not valid before {}, and this host says {}",
                    clock::date(*from),
                    clock::date(self.now)
                ),
                "set this host's clock: timedatectl set-ntp true, or chronyc makestep",
            ),
            Trust::OtherName => Verdict::problem(
                format!("it is for {names}, not for {}", self.host),
                format!("use one of these names as the address, or set {alternative} to one of them"),
            ),
            Trust::Other(why) => Verdict::problem(why.as_str(), "see the log of the control plane"),
        }
    }

    /// Whoever renews certificates does so long before the last tenth of their life.
    fn age(&self) -> Verdict {
        let Presented { root, valid: [from, until], .. } = self.presented;
        let found = format!("it is signed by {root}, for {}, until {}", self.host, clock::date(*until));
        if (until - self.now) * 10 < until - from {
            return Verdict::warning(
                found,
                "renew the certificate of the control plane (restart it) before it expires",
            );
        }
        Verdict::ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::State;

    #[test]
    fn certificates_are_judged() {
        let presented = Presented {
            names: vec!["10.0.0.1".into(), "control".into()],
            root: "O=mesh".into(),
            valid: [0, 1000],
        };
        let judge = |now, trust: &Trust| {
            let variables = ["XDS_ADDRESS", "XDS_ROOT_CA", "ALT_XDS_HOSTNAME"];
            Judge { presented: &presented, host: "host", origin: "/root.pem", variables, now }.of(trust)
        };
        for (now, trust, state, part) in [
            (500, Trust::Good, State::Ok, "O=mesh"),
            (950, Trust::Good, State::Warning, "O=mesh"),
            (500, Trust::NoRoots, State::Unknown, "O=mesh"),
            (500, Trust::UnknownIssuer, State::Problem, "not among the roots in /root.pem"),
            (2000, Trust::Expired, State::Problem, "1970-01-01 00:16 UTC"),
            (-5, Trust::NotYet, State::Problem, "not valid before"),
            (500, Trust::OtherName, State::Problem, "10.0.0.1, control, not for host"),
            (500, Trust::Other("odd".into()), State::Problem, "odd"),
        ] {
            let verdict = judge(now, &trust);
            assert_eq!(verdict.state, state, "{trust:?}");
            assert!(verdict.found.contains(part), "{verdict:?}");
        }
        assert!(judge(500, &Trust::OtherName).remedy.unwrap().contains("ALT_XDS_HOSTNAME"));
    }

    #[test]
    fn each_step_that_fails_has_its_own_remedy() {
        let peer = "10.0.0.1:15012".parse().unwrap();
        for (reach, part) in [
            (Reach::NoName("no such host".into()), "getent hosts control"),
            (Reach::NoConnection(vec![peer], "refused".into()), "let TCP to 10.0.0.1:15012 pass"),
            (Reach::NoTls(peer, "corrupt message".into()), "set XDS_ADDRESS to the port"),
        ] {
            let verdict = reached("control", &reach, "XDS_ADDRESS");
            assert_eq!(verdict.state, State::Problem);
            assert!(verdict.remedy.as_ref().unwrap().contains(part), "{verdict:?}");
        }
    }
}
