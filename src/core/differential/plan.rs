//! What happens in a case: chosen by chance from a seed, and the same whenever that seed is taken again.

use std::iter;

use culvert_core::tunnel::http2::{Limits, Role};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// One connection.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Ours; h2 takes the other one.
    pub(crate) role: Role,
    /// Octets that fit between the two.
    pub(crate) pipe: usize,
    /// Ours.
    pub(crate) limits: Limits,
    pub(crate) theirs: Theirs,
    pub(crate) scripts: Vec<Script>,
    pub(crate) leave: Option<Leave>,
}

/// What h2 is set to.
#[derive(Debug)]
pub(crate) struct Theirs {
    pub(crate) window: u32,
    pub(crate) connection_window: u32,
    pub(crate) frame: u32,
    /// Streams it takes as a server, and assumes that we take as a client.
    pub(crate) streams: u32,
    pub(crate) table: u32,
    /// Another window for all streams, after so many turns; no smaller one, for when a window becomes smaller than what h2 has
    /// already given back of it, h2 gives nothing back any more.
    pub(crate) resize: Option<(u32, u32)>,
    pub(crate) pings: u32,
}

/// One end gives the connection up while it is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leave {
    pub(crate) by: End,
    /// After so many turns.
    pub(crate) after: u32,
    /// With this error; `None`: in order.
    pub(crate) code: Option<u32>,
}

/// The two implementations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Ours,
    Theirs,
}

/// One stream.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// From client to server.
    pub(crate) up: Way,
    /// From server to client.
    pub(crate) down: Way,
    /// Any but 200 is all that is answered.
    pub(crate) status: u16,
    /// Whether the client speaks before it is answered.
    pub(crate) early: bool,
    /// Whether the server says something before it answers (h2 only).
    pub(crate) interim: bool,
    /// Fields of the request and of the answer.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) client_breaks: Option<Break>,
    pub(crate) server_breaks: Option<Break>,
}

/// One direction of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) key: u64,
    pub(crate) bytes: usize,
    /// The most that is sent at a time.
    pub(crate) piece: usize,
    /// Whether it ends with trailers (h2 only).
    pub(crate) trailers: bool,
    /// Of so many steps one is followed by a pause of the sender; 0: none.
    pub(crate) sender_rests: u32,
    /// The same for the receiver.
    pub(crate) receiver_rests: u32,
}

/// One end resets the stream when it has sent and received so much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Break {
    pub(crate) after: usize,
    pub(crate) code: u32,
}

/// Frames that all streams of a direction may take.
const FRAMES: usize = 4_000;
/// Pieces that one direction of a stream may take.
const PIECES: usize = 1_000;

impl Plan {
    pub(crate) fn new(role: Role, seed: u64) -> Self {
        let random = &mut SmallRng::seed_from_u64(seed ^ (role as u64) << 63);
        let pipe = 64 << random.random_range(0..11);
        let (limits, theirs) = (limits(random), theirs(random));
        let most = one(random, &[1, 3, 8, 40]);
        let count = random.random_range(1..=most);
        let most = (pipe * 2_000 / count).min(400_000 / count);
        let scripts =
            iter::repeat_with(|| script(random, (most, count), (role, &theirs))).take(count).collect();
        let leave = random.random_ratio(1, 4).then(|| leave(random, role));
        Self { seed, role, pipe, limits, theirs, scripts, leave }
    }

    /// The chance of one end, or of a part of it.
    pub(crate) fn chance(&self, part: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part)
    }

    /// Whether the connection ends with an error.
    pub(crate) fn is_cut(&self) -> bool {
        self.leave.is_some_and(|leave| leave.code.is_some())
    }
}

impl Script {
    pub(crate) fn breaks(&self, role: Role) -> Option<Break> {
        match role {
            Role::Client => self.client_breaks,
            Role::Server => self.server_breaks,
        }
    }

    pub(crate) fn sends(&self, role: Role) -> &Way {
        match role {
            Role::Client => &self.up,
            Role::Server => &self.down,
        }
    }

    pub(crate) fn receives(&self, role: Role) -> &Way {
        match role {
            Role::Client => &self.down,
            Role::Server => &self.up,
        }
    }
}

/// What is asked for on the stream of a script.
pub(crate) fn authority(index: usize) -> String {
    format!("10.0.0.1:{}", 1_000 + index)
}

/// The other way round.
pub(crate) fn index(authority: &str) -> Option<usize> {
    authority.strip_prefix("10.0.0.1:")?.parse::<usize>().ok()?.checked_sub(1_000)
}

fn one<T: Copy>(random: &mut SmallRng, of: &[T]) -> T {
    *of.choose(random).unwrap()
}

fn limits(random: &mut SmallRng) -> Limits {
    Limits {
        streams: one(random, &[1, 2, 5, 30, 100, 200]),
        stream_window: one(random, &[4_096, 65_535, 1 << 20, 4 << 20]),
        connection_window: one(random, &[65_535, 100_000, 1 << 20, 16 << 20]),
        frame: one(random, &[16_384, 20_000, 1 << 20]),
        fields: 64 * 1024,
    }
}

fn theirs(random: &mut SmallRng) -> Theirs {
    const WINDOWS: [u32; 9] = [1, 10, 500, 4_096, 16_384, 65_535, 65_535, 1 << 20, 4 << 20];
    let window = one(random, &WINDOWS);
    let later = one(random, &WINDOWS).max(window);
    Theirs {
        window,
        connection_window: one(random, &[1_000, 16_384, 65_535, 65_535, 1 << 20, 4 << 20]),
        frame: one(random, &[16_384, 16_385, 65_536, 0x00ff_ffff]),
        streams: one(random, &[1, 2, 5, 30, 100, 200]),
        table: one(random, &[0, 64, 4_096, 65_536]),
        resize: random.random_ratio(1, 3).then(|| (random.random_range(1..60), later)),
        pings: random.random_range(1..4),
    }
}

fn leave(random: &mut SmallRng, role: Role) -> Leave {
    // The client h2 leaves by asking for nothing more.
    let by = if role == Role::Server || random.random() { End::Ours } else { End::Theirs };
    let code = random.random_ratio(1, 4).then(|| one(random, &[1, 2, 11]));
    Leave { by, after: one(random, &[1, 2, 5, 20, 100, 500]), code }
}

fn script(random: &mut SmallRng, (most, count): (usize, usize), (role, theirs): (Role, &Theirs)) -> Script {
    let window = theirs.window.min(theirs.connection_window) as usize;
    let most_to_them = most.min(window.saturating_mul((FRAMES / count).min(PIECES)));
    let (up, down) = if role == Role::Client { (most_to_them, most) } else { (most, most_to_them) };
    let fields = one(random, &[0, 0, 50, 1_000, 20_000, 40_000]);
    Script {
        up: way(random, up),
        down: way(random, down),
        status: one(random, &[200, 200, 200, 200, 200, 200, 503]),
        early: random.random_ratio(1, 3),
        interim: random.random_ratio(1, 8),
        fields: header_fields(random, fields),
        client_breaks: random.random_ratio(1, 6).then(|| breaks(random, up + down)),
        server_breaks: random.random_ratio(1, 6).then(|| breaks(random, up + down)),
    }
}

fn way(random: &mut SmallRng, most: usize) -> Way {
    let most = one(random, &[0, 100, most, most]).min(most);
    let bytes = random.random_range(0..=most);
    // As many pieces as there may be frames.
    let piece = one(random, &[100, 1_000, 16_384, 70_000]).max(bytes / PIECES);
    Way {
        key: random.random(),
        bytes,
        piece,
        trailers: random.random_ratio(1, 5),
        sender_rests: one(random, &[0, 0, 3, 30]),
        receiver_rests: one(random, &[0, 0, 3, 30]),
    }
}

fn breaks(random: &mut SmallRng, most: usize) -> Break {
    let most = one(random, &[0, 1, most]).min(most);
    let after = random.random_range(0..=most);
    Break { after, code: one(random, &[0, 2, 8, 8, 0x1234]) }
}

/// Some that are the same on every stream, so that an encoder makes use of its table, and others.
fn header_fields(random: &mut SmallRng, octets: usize) -> Vec<(String, String)> {
    let mut fields = vec![("baggage".to_owned(), "k8s.cluster.name=Kubernetes,service.name=web".to_owned())];
    // Some values become longer when they are encoded.
    let letters = if random.random_ratio(1, 4) { b'{'..=b'~' } else { b'!'..=b'~' };
    let mut left = octets;
    while left > 0 {
        let length = random.random_range(1..=left.min(3_000));
        let value = (0..length).map(|_| char::from(random.random_range(letters.clone()))).collect();
        fields.push((format!("x-{}", random.random_range(0..20)), value));
        left -= length;
    }
    fields
}
