//! What happens next, at random. The same seed gives the same steps: how long anything takes has no part in it.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::model::{Label, Model, NAMESPACES, Runtime, Step, Trouble, Wanted};

/// Draws steps.
pub(super) struct Chance {
    random: StdRng,
    most_pods: usize,
    since_quiet: u32,
}

/// After this many steps there is a quiet moment.
const STEPS_BETWEEN: u32 = 120;

impl Chance {
    pub(super) fn new(seed: u64, most_pods: usize) -> Self {
        Self { random: StdRng::seed_from_u64(seed), most_pods, since_quiet: 0 }
    }

    /// How long until the next step, in milliseconds.
    pub(super) fn pause(&mut self) -> u64 {
        self.random.random_range(0..100)
    }

    /// Draws until a step is allowed.
    pub(super) fn step(&mut self, model: &Model, is_allowed: impl Fn(&Model, Step) -> bool) -> Step {
        loop {
            let step = self.any_step(model);
            if is_allowed(model, step) {
                return step;
            }
        }
    }

    fn any_step(&mut self, model: &Model) -> Step {
        self.since_quiet += 1;
        if self.since_quiet >= STEPS_BETWEEN {
            self.since_quiet = 0;
            return Step::Quiet;
        }
        let dead = !(model.agent_runs && model.node_runs);
        match self.random.random_range(0..100) {
            0..4 => Step::KillAgent,
            4..8 => Step::KillNode,
            8..18 if dead => Step::Revive,
            18..21 => self.trouble(),
            21..40 => self.label(model),
            40..60 => self.remove(model),
            _ => self.add(model),
        }
    }

    fn add(&mut self, model: &Model) -> Step {
        if model.pods.len() >= self.most_pods {
            return self.remove(model);
        }
        let namespace = self.random.random_range(0..NAMESPACES.len());
        let label = match self.random.random_range(0..10) {
            0 => Label::Ambient,
            1 => Label::OptOut,
            _ => Label::Absent,
        };
        let runtime = if self.random.random_range(0..10) == 0 { Runtime::Podman } else { Runtime::Sandbox };
        Step::Add(model.next, Wanted { namespace, label, runtime })
    }

    fn remove(&mut self, model: &Model) -> Step {
        let numbers: Vec<_> = model.pods.keys().copied().collect();
        match numbers.choose(&mut self.random) {
            Some(number) => Step::Remove(*number),
            None => self.add(model),
        }
    }

    fn trouble(&mut self) -> Step {
        let all = [Trouble::Watches, Trouble::Connections, Trouble::History, Trouble::Answers];
        Step::Disturb(*all.choose(&mut self.random).unwrap())
    }

    fn label(&mut self, model: &Model) -> Step {
        let numbers: Vec<_> = model.pods.keys().copied().collect();
        match numbers.choose(&mut self.random) {
            Some(number) if self.random.random_range(0..4) > 0 => {
                let labels = [Label::Absent, Label::Ambient, Label::OptOut];
                Step::LabelPod(*number, *labels.choose(&mut self.random).unwrap())
            }
            _ => {
                let index = self.random.random_range(0..NAMESPACES.len());
                Step::LabelNamespace(index, !model.namespaces[index])
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_steps() {
    let steps = |seed| {
        let (mut chance, mut model) = (Chance::new(seed, 10), Model::new());
        let mut step = || {
            let step = chance.step(&model, |_, _| true);
            model.take(step);
            assert!(model.pods.len() <= 10);
            (step, chance.pause())
        };
        (0..500).map(|_| step()).collect::<Vec<_>>()
    };
    assert_eq!(steps(1), steps(1));
    assert_ne!(steps(1), steps(2));
}
