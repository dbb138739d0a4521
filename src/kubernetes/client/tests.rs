use std::time::Duration;

use culvert_lab::api_server::ApiServer;
use culvert_process::exit::Chain;
use serde_json::Value;

use super::*;
use crate::call::ask;

const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() {
    let error = connect(Some(Path::new("/nonexistent/config"))).await.err().unwrap();
    assert!(error.to_string().contains("/nonexistent/config"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_told_in_words() {
    let api = ApiServer::start().unwrap();
    api.refuse_connections();
    let client = at(api.url().parse().unwrap()).unwrap();
    let request = kube::core::Request::new("/api/v1/pods").list(&kube::core::params::ListParams::default());
    let error = ask::<Value>(&client, request, WITHIN).await.unwrap_err();
    let text = Chain(&error).to_string();
    assert!(text.starts_with("the API server cannot be asked") && text.contains("refused"), "{text}");
}
