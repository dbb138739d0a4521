//! What can be shown, one at a time.

/// One of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tab {
    /// Connections that live
    #[default]
    Connections,
    /// Who talks to whom, and how fast
    Traffic,
    /// Connections that did not end well lately
    Refusals,
    /// Certificates, and when they expire
    Certificates,
    /// Tunnels to and from other nodes
    Tunnels,
}

impl Tab {
    /// All of them, from left to right.
    pub(super) const ALL: [Self; 5] =
        [Self::Connections, Self::Traffic, Self::Refusals, Self::Certificates, Self::Tunnels];

    /// Its place among them.
    pub(super) fn position(self) -> usize {
        Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0)
    }

    /// The one so many places further, around the end.
    pub(super) fn further(self, places: usize) -> Self {
        Self::ALL[(self.position() + places) % Self::ALL.len()]
    }

    /// What it is called.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Traffic => "traffic",
            Self::Refusals => "refusals",
            Self::Certificates => "certificates",
            Self::Tunnels => "tunnels",
        }
    }
}
