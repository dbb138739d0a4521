//! What goes out comes back the same.

use culvert_core::mesh_file;

use super::*;

#[track_caller]
fn workload_survives(workload: &Workload) {
    let payload = encode_workload(workload);
    let back = decode_address(&workload.uid, &payload, &mut Interner::default());
    assert_eq!(back, Ok(Address::Workload(workload.clone())));
}

#[track_caller]
fn service_survives(service: &Service) {
    let back = decode_address(&service.key(), &encode_service(service), &mut Interner::default());
    assert_eq!(back, Ok(Address::Service(service.clone())));
}

#[track_caller]
fn policy_survives(policy: &Policy) {
    let back = decode_policy(&policy.key, &encode_policy(policy), &mut Interner::default());
    assert_eq!(back.as_ref(), Ok(policy));
}

#[test]
fn random_values_survive() {
    let mut rng = random::seeded(7);
    for _ in 0..2_000 {
        workload_survives(&random::workload(&mut rng));
        service_survives(&random::service(&mut rng));
        policy_survives(&random::policy(&mut rng));
    }
}

#[test]
fn a_mesh_file_survives() {
    let text = include_str!("../../core/testdata/mesh.yaml");
    let mesh = mesh_file::parse(text).unwrap();
    assert!(!mesh.workloads.is_empty() && !mesh.services.is_empty() && !mesh.policies.is_empty());
    mesh.workloads.iter().for_each(workload_survives);
    mesh.services.iter().for_each(service_survives);
    mesh.policies.iter().for_each(policy_survives);
}

#[test]
fn equal_values_are_equal_bytes() {
    let mut rng = random::seeded(8);
    for _ in 0..100 {
        let workload = random::workload(&mut rng);
        let Ok(Address::Workload(copy)) =
            decode_address(&workload.uid, &encode_workload(&workload), &mut Interner::default())
        else {
            panic!("not a workload")
        };
        assert_eq!(encode_workload(&workload), encode_workload(&copy));
    }
}
