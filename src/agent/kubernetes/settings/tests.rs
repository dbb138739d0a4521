use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    kubernetes: Args,
}

fn settings(args: &[&str]) -> Result<Settings, Error> {
    let args = ["agent"].into_iter().chain(args.iter().copied());
    Settings::read(&Program::try_parse_from(args).unwrap().kubernetes, Probing::Node)
}

#[test]
fn what_is_meant_when_nothing_is_said() {
    let settings = settings(&["--node-name=n1"]).unwrap();
    assert_eq!(settings.node, "n1");
    assert_eq!(settings.kubeconfig, None);
    assert_eq!(settings.enablement.membership, culvert_membership::Settings::default());
    assert!(settings.enablement.rules.dns && settings.enablement.rules.ipv6);
}

#[test]
fn what_is_said_counts() {
    let settings = settings(&[
        "--node-name=ip-10-0-0-1.ec2.internal",
        "--enablement-selector=- podSelector: {matchLabels: {a: b}}",
        "--exclude-namespaces=kube-system, infra,",
        "--dns-capture=false",
        "--ipv6=False",
    ])
    .unwrap();
    let expected =
        membership::Settings::read("- podSelector: {matchLabels: {a: b}}", "kube-system,infra").unwrap();
    assert_eq!(settings.enablement.membership, expected);
    assert!(!settings.enablement.rules.dns && !settings.enablement.rules.ipv6);
}

#[test]
fn each_wrong_value_is_one_clear_error() {
    let check = |args: &[&str], expected: &[&str]| {
        let message = culvert_process::exit::Chain(&settings(args).unwrap_err()).to_string();
        for part in expected {
            assert!(message.contains(part), "{args:?}: {message}");
        }
    };
    check(&[], &["NODE_NAME", "not given"]);
    check(&["--node-name="], &["not given"]);
    check(&["--node-name=a,metadata.name=b"], &["`a,metadata.name=b`", "kubectl get nodes"]);
    check(&["--node-name=n", "--exclude-namespaces=a;b"], &["EXCLUDE_NAMESPACES", "`a;b`"]);
    check(&["--node-name=n", "--dns-capture=maybe"], &["AMBIENT_DNS_CAPTURE", "`maybe`", "true nor false"]);
    check(&["--node-name=n", "--ipv6="], &["AMBIENT_IPV6"]);
    check(
        &["--node-name=n", "--enablement-selector=- podSelektor: {}"],
        &["AMBIENT_ENABLEMENT_SELECTOR", "podSelektor"],
    );
}

#[test]
fn the_environment_has_the_names_people_know() {
    let command = <Program as clap::CommandFactory>::command();
    let names: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    assert_eq!(
        names,
        [
            "NODE_NAME",
            "AMBIENT_ENABLEMENT_SELECTOR",
            "EXCLUDE_NAMESPACES",
            "AMBIENT_DNS_CAPTURE",
            "AMBIENT_IPV6"
        ]
    );
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() {
    let settings = settings(&["--node-name=n", "--kubeconfig=/nonexistent/config"]).unwrap();
    let error = connect(&settings).await.err().unwrap();
    assert!(error.to_string().contains("/nonexistent/config"), "{error}");
}

#[tokio::test]
async fn a_client_reaches_the_server_of_its_kubeconfig_with_its_token() {
    let api = culvert_lab::api_server::ApiServer::start().unwrap();
    api.require_token("secret");
    let directory = std::env::temp_dir().join(format!("culvert-agent-settings-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("kubeconfig");
    api.write_kubeconfig(&path).unwrap();
    let argument = format!("--kubeconfig={}", path.display());
    let client = connect(&settings(&["--node-name=n", &argument]).unwrap()).await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let request = http::Request::get("/api/v1/pods").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.unwrap();
    assert!(text.contains("PodList"), "{text}");
    assert_eq!(api.requests()[0].authorization.as_deref(), Some("Bearer secret"));
}
