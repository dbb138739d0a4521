//! A certificate authority that refuses, and a control plane that says what cannot be understood.

use culvert_lab::PodSpec;
use tonic::Status;

use super::score::{Case, Score, Which, case, fail};
use super::starting;
use crate::harness::ads::AUTHORIZATION;
use crate::harness::ads::resources::corrupt;
use crate::harness::authority::Answer;
use crate::harness::cluster::ECHO;
use crate::harness::pki::{DAY, Life};
use crate::harness::scripted::Rig;

pub(super) fn judge(score: &Score) {
    let (rig, late, running) = starting(|| {
        let rig = Rig::new("faults-authority");
        let late = rig.lab.pod(&rig.node, PodSpec::new("late").service_account("late")).unwrap();
        rig.lab.enrol(&late).unwrap();
        let (root, refused) = (std::sync::Arc::clone(&rig.ca.root), late.identity());
        rig.ca.answer(move |asked| {
            if asked.identity == refused {
                return Answer::Refuse(Status::permission_denied("the node's token is not trusted"));
            }
            asked.signed(&root, Life::of(DAY), &[], &root.pem())
        });
        let running = rig.run(rig.launch());
        rig.wait_until_captured(&[&late]);
        (rig, late, running)
    });
    let (mut stream, _program) = running;
    let (node, client, server) = (&rig.node, &rig.client, &rig.server);
    let late = &late;
    let cases: Vec<Case<'_>> =
        vec![case("the authority refuses a certificate", "certificate", move |fault| {
            let own = fail(late, (server.ip4(), ECHO));
            fault.ended(node, late, &Which::From(own));
        })];
    score.run(&cases);
    let asked: Vec<Case<'_>> =
        vec![case("would a pod without a certificate be served", "certificate", move |fault| {
            drop(fault.would(node, "default/late", "default/server:7007"))
        })];
    score.run(&asked);
    let broken = stream.push(AUTHORIZATION, vec![corrupt(AUTHORIZATION, "default/broken")], &[]);
    assert!(broken.error_detail.is_some());
    let cases: Vec<Case<'_>> = vec![case("a policy cannot be understood", "policy", move |fault| {
        fault.ended_at_both([(node, client), (node, server)], fail(client, (server.ip4(), ECHO)));
    })];
    score.run(&cases);
}
