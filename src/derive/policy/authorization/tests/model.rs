//! A naive evaluator over the JSON, written from the documentation alone, beside what nodes judge by, under random policies.
//!
//! It knows what it understands and what it does not. Half of the policies are written well, and the others are spoilt somewhere at
//! random: what the evaluator does not understand has to have a problem, what it does must not, and who gets in is the same.

use super::*;

mod dice;
mod naive;

use dice::Dice;

/// One question: may this peer come in to this pod, by these policies?
#[derive(Debug)]
struct Case {
    objects: Vec<Value>,
    pod: Pod,
    peer: Peer,
}

impl Case {
    /// Says what is wrong, if evaluator and judge disagree.
    fn disagreement(&self) -> Option<String> {
        let cluster = Cluster::of(&self.objects);
        for (object, read) in self.objects.iter().zip(&cluster.authorization) {
            let (understood, problems) = (naive::is_understood(object), read.problems());
            if understood != problems.is_empty() {
                return Some(format!("understood: {understood}, problems: {problems:?}\nin {object:#}"));
            }
        }
        let (judged, expected) = (cluster.lets_in(&self.pod, &self.peer), naive::lets_in(self));
        (judged != expected).then(|| format!("let in: {judged}, should be: {expected}"))
    }

    /// Tells whether something applies that is not understood.
    fn is_closed(&self) -> bool {
        self.objects
            .iter()
            .any(|it| naive::governs(it, &self.pod) && naive::is_enforced(it) && !naive::is_understood(it))
    }
}

#[test]
fn who_gets_in_is_who_a_naive_reading_of_the_objects_lets_in() {
    let mut dice = Dice::seeded(11);
    let mut seen = [0; 4];
    for round in 0..24_000 {
        let mut case = dice.case();
        if round % 2 == 0 {
            dice.spoil(&mut case);
        } else {
            assert!(case.objects.iter().all(naive::is_understood), "{case:#?}");
        }
        if let Some(what) = case.disagreement() {
            let objects: Vec<String> = case.objects.iter().map(|it| format!("{it:#}")).collect();
            panic!("round {round}: {what}\n{:?}\n{:?}\n{}", case.pod, case.peer, objects.join("\n"));
        }
        let governed = case.objects.iter().any(|it| naive::governs(it, &case.pod));
        seen[match (governed, case.is_closed(), naive::lets_in(&case)) {
            (false, _, _) => 0,
            (true, true, _) => 1,
            (true, false, true) => 2,
            (true, false, false) => 3,
        }] += 1;
    }
    assert!(seen.iter().all(|&count| count > 1500), "something is hardly tested: {seen:?}");
}

#[test]
fn whoever_is_governed_by_what_is_not_understood_lets_nobody_in() {
    let mut dice = Dice::seeded(12);
    let mut closed = 0;
    while closed < 2_000 {
        let mut case = dice.case();
        dice.spoil(&mut case);
        if case.is_closed() {
            closed += 1;
            let cluster = Cluster::of(&case.objects);
            let admitted: Vec<_> =
                everybody().into_iter().filter(|peer| cluster.lets_in(&case.pod, peer)).collect();
            assert!(admitted.is_empty(), "{admitted:?}\n{case:#?}");
        }
    }
}

#[test]
fn nothing_that_is_not_an_object_at_all_is_too_much() {
    let mut dice = Dice::seeded(13);
    for _ in 0..2_000 {
        let junk = dice.junk(4);
        let settings = Settings::default();
        assert!(!AuthorizationPolicy::read(&junk).problems().is_empty(), "{junk}");
        let policy = AuthorizationPolicy::read(&junk).policy(&settings);
        assert!(policy.is_none_or(|it| it.unusable.is_some()), "{junk}");
        let read = super::super::super::authentication::PeerAuthentication::read(&junk);
        assert!(!read.problems(&settings).is_empty(), "{junk}");
    }
}
