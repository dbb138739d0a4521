//! A client on demand and a server of delta semantics, whose messages cross on the wire and whose streams break.
//!
//! Whatever happened: when the wire is empty, the client has of each name what the server has, everybody who waited was
//! answered once, and when nothing is left on the server, no subscription is either.

use std::collections::VecDeque;

use super::*;

const NAMES: u32 = 6;

/// A resource: its version, and what else it can be asked for by: an address, or the name of a resource there may be.
type Content = (u32, String);

/// What the server knows of itself and of one client.
#[derive(Default)]
struct Peer {
    has: BTreeMap<String, Content>,
    keys: BTreeSet<String>,
    /// What it believes the client has. A name stays until it is unsubscribed from or gone.
    client: BTreeMap<String, String>,
}

impl Peer {
    /// The names a key stands for: its own, or else those that have it besides.
    fn resolve(&self, key: &str) -> BTreeSet<String> {
        if self.has.contains_key(key) {
            return [key.to_owned()].into();
        }
        let stands = |(_, content): &(&String, &Content)| content.1 == key;
        let found: BTreeSet<_> = self.has.iter().filter(stands).map(|(name, _)| name.clone()).collect();
        if found.is_empty() { [key.to_owned()].into() } else { found }
    }

    fn receive(&mut self, request: &Request) {
        for key in request.subscribe.iter().filter(|key| &***key != "*") {
            self.ask(key);
        }
        for key in request.unsubscribe.iter() {
            self.keys.remove(&**key);
            let still: BTreeSet<_> = self.keys.iter().flat_map(|key| self.resolve(key)).collect();
            for name in self.resolve(key).difference(&still) {
                self.client.remove(name);
            }
        }
        for (name, version) in &request.initial_versions {
            match self.has.contains_key(&**name) || !version.to_string().is_empty() {
                true => {
                    self.keys.insert(name.to_string());
                    self.client.insert(name.to_string(), version.to_string());
                }
                false => self.ask(name),
            }
        }
    }

    /// Whoever asks is answered, even if it has the newest state; and told that nothing is called so, be it that something answers to
    /// that name.
    fn ask(&mut self, key: &str) {
        self.keys.insert(key.to_owned());
        for name in self.resolve(key).into_iter().chain([key.to_owned()]) {
            self.client.insert(name, "?".to_owned());
        }
    }

    /// What the client lacks, if anything.
    fn push(&mut self) -> Option<Handled> {
        let named: BTreeSet<_> = self.keys.iter().flat_map(|key| self.resolve(key)).collect();
        let held: BTreeSet<_> = self.client.keys().cloned().collect();
        let mut handled = Handled::default();
        for name in named.union(&held) {
            let believed = self.client.get(name).cloned();
            match self.has.get(name) {
                Some((version, address)) if believed != Some(version.to_string()) => {
                    self.client.insert(name.clone(), version.to_string());
                    let is_another = self.has.contains_key(address);
                    let aliases = [address.as_str().into()].into_iter().filter(|_| !is_another).collect();
                    handled.accepted.push(Accepted { aliases, ..accepted(name, &version.to_string()) });
                }
                None if believed.is_some() => {
                    self.client.remove(name);
                    handled.removed.push(name.as_str().into());
                }
                Some(_) | None => {}
            }
        }
        (!handled.accepted.is_empty() || !handled.removed.is_empty()).then_some(handled)
    }
}

/// Both, and the wire between them.
struct World {
    session: Session,
    peer: Peer,
    now: Instant,
    requests: VecDeque<Request>,
    responses: VecDeque<Handled>,
    /// What the client's store holds.
    held: BTreeMap<String, Content>,
    waiting: BTreeSet<WaiterId>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            session: Session::new(Mode::OnDemand),
            peer: Peer::default(),
            now: start(),
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            held: BTreeMap::new(),
            waiting: BTreeSet::new(),
        };
        world.reconnect();
        world
    }

    fn reconnect(&mut self) {
        self.session.closed(self.now, None, 0);
        self.requests.clear();
        self.responses.clear();
        (self.peer.keys, self.peer.client) = <_>::default();
        let opening = self.session.opened(self.now).into_iter();
        self.requests.extend(opening.filter(|request| *request.type_url == *Kind::Address.url()));
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll() {
            match event {
                Event::Send(request) => self.requests.push_back(request),
                Event::Answer(waiter, outcome) => {
                    assert!(self.waiting.remove(&waiter), "answered again: {outcome:?}");
                }
                Event::Silent => self.reconnect(),
            }
        }
    }

    fn demand(&mut self, name: &str) {
        match self.session.demand(name, self.now) {
            Demand::Pending(waiter) => assert!(self.waiting.insert(waiter)),
            Demand::Known => {
                let has = |(own, content): (&String, &Content)| own == name || content.1 == name;
                assert!(self.held.iter().any(has), "{name} is said to be known");
            }
            Demand::Unknown | Demand::Overloaded => {}
        }
        self.poll();
    }

    /// The server tells what has changed before it forgets anything: no client can notice what it never hears.
    fn server_reads(&mut self) {
        if let Some(request) = self.requests.pop_front() {
            self.responses.extend(self.peer.push());
            self.peer.receive(&request);
        }
    }

    fn client_reads(&mut self) {
        let Some(handled) = self.responses.pop_front() else { return };
        for Accepted { name, version, aliases } in &handled.accepted {
            let alias = aliases.first().map(ToString::to_string).unwrap_or_default();
            let content = (version.to_string().parse().unwrap(), alias);
            self.held.insert(name.to_string(), content);
        }
        handled.removed.iter().for_each(|name| drop(self.held.remove(&**name)));
        self.session.handled(Kind::Address, "n", handled, self.now);
        self.poll();
    }

    fn forget_one(&mut self) {
        if let Some(waiter) = self.waiting.pop_first() {
            self.session.forget(waiter);
            self.poll();
        }
    }

    /// Lets everything arrive that is on its way.
    fn settle(&mut self) {
        loop {
            self.responses.extend(self.peer.push());
            if self.requests.is_empty() && self.responses.is_empty() {
                return;
            }
            self.server_reads();
            self.client_reads();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_deadline(self.now);
        self.poll();
    }

    fn step(&mut self, rng: &mut SmallRng, step: u32) {
        let name = format!("w{}", rng.random_range(0..NAMES));
        let kind = if rng.random_ratio(1, 3) { "w" } else { "/" };
        let address = format!("{kind}{}", rng.random_range(0..NAMES));
        match rng.random_range(0..20) {
            0..3 => drop(self.peer.has.insert(name, (step, address))),
            3 => drop(self.peer.has.remove(&name)),
            4 | 5 => self.demand(&name),
            6 | 7 => self.demand(&address),
            8..11 => self.server_reads(),
            11..14 => self.responses.extend(self.peer.push()),
            14..17 => self.client_reads(),
            17 => self.pass(Duration::from_secs(2)),
            18 => self.pass(DEMAND_DEADLINE),
            _ if rng.random_ratio(1, 10) => self.reconnect(),
            _ => self.forget_one(),
        }
    }

    #[track_caller]
    fn check_same(&self, seed: u64) {
        for (name, (version, _)) in &self.held {
            let newest = self.peer.has.get(name).map(|(version, _)| version);
            assert_eq!(Some(version), newest, "{name}, seed {seed}");
        }
    }
}

#[test]
fn however_messages_cross_the_client_has_nothing_stale_and_keeps_no_subscription_to_nothing() {
    for seed in 0..300 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut world = World::new();
        for step in 1..400 {
            world.step(&mut rng, step);
        }
        world.settle();
        world.check_same(seed);
        // Whatever the client holds it hears of.
        world.peer.has.values_mut().for_each(|(version, _)| *version += 1000);
        world.settle();
        world.check_same(seed);
        world.pass(DEMAND_DEADLINE);
        assert!(world.waiting.is_empty(), "seed {seed}");
        world.peer.has.clear();
        world.settle();
        assert!(world.held.is_empty() && world.peer.keys.is_empty(), "{:?}, seed {seed}", world.peer.keys);
    }
}
