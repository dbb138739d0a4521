use super::*;

/// Asserts which of the services called `same.example.com` in these namespaces (`!`: canonical, `?`: hidden, `~`: on another
/// network) is meant; each has the address `10.1.0.<its place>`.
#[track_caller]
fn check_choice(client: &str, namespaces: &[&str], expected: &str) {
    let services: Vec<String> =
        namespaces.iter().enumerate().map(|(at, marked)| marked_service(at, marked)).collect();
    for rotation in 0..services.len() {
        let mut services = services.clone();
        services.rotate_left(rotation);
        check(&mesh(&[], &services), client, "A same.example.com", expected);
    }
}

fn marked_service(at: usize, marked: &str) -> String {
    let namespace = marked.trim_end_matches(['!', '?', '~']);
    let canonical = marked.contains('!');
    let visibility = if marked.contains('?') { "Namespace" } else { "Public" };
    let network = if marked.contains('~') { "nw2" } else { "nw1" };
    let more = format!("canonical: {canonical}, visibility: {visibility}");
    service(namespace, "same.example.com", &format!("{network}/10.1.0.{at}"), &more)
}

#[test]
fn of_services_with_one_name_the_own_namespaces_is_meant() {
    check_choice("ns1", &["ns1", "ns2", "preferred", "a!"], "10.1.0.0");
    check_choice("ns2", &["ns1", "ns2", "preferred", "a!"], "10.1.0.1");
}

#[test]
fn else_a_canonical_one() {
    check_choice("ns3", &["ns1", "ns2!", "preferred"], "10.1.0.1");
    check_choice("ns3", &["a!", "preferred!", "b!"], "10.1.0.1");
}

#[test]
fn else_the_one_of_the_preferred_namespace() {
    check_choice("ns3", &["a", "preferred", "b"], "10.1.0.1");
}

#[test]
fn else_always_the_same_one() {
    check_choice("ns3", &["b", "c", "a"], "10.1.0.2");
}

#[test]
fn what_the_client_cannot_see_or_reach_is_not_meant() {
    check_choice("ns3", &["a!?", "b"], "10.1.0.1");
    check_choice("ns1", &["ns1~", "a!~", "b"], "10.1.0.2");
    check_choice("far", &["ns1", "a!", "b~"], "10.1.0.2");
    check_choice("ns3", &["a~", "b?"], "not ours");
}

#[test]
fn what_the_client_cannot_use_does_not_hide_a_less_literal_meaning() {
    let mesh = mesh(
        &[],
        &[
            service("ns2", "x.example.com", "nw2/10.1.0.1", ""),
            service("ns2", "y.example.com", "nw1/10.1.0.2", "visibility: Namespace"),
            service("ns2", "*.example.com", "nw1/10.1.0.3", ""),
        ],
    );
    check(&mesh, "ns1", "A x.example.com", "10.1.0.3");
    check(&mesh, "ns1", "A y.example.com", "10.1.0.3");
    check(&mesh, "ns2", "A y.example.com", "10.1.0.2");
    check(&mesh, "far", "A x.example.com", "10.1.0.1");
    check(&mesh, "far", "A z.example.com", "not ours");
}
