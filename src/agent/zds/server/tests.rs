use std::path::PathBuf;
use std::sync::Arc;

use culvert_proto::zds::ZdsHello;
use prost::Message as _;
use tokio::sync::watch;

use super::*;
use crate::table::Table;

/// A directory of this test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("culvert-agent-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sentence(result: Result<Socket, Error>) -> String {
    Chain(&result.expect_err("the socket cannot be opened")).to_string()
}

#[tokio::test]
async fn missing_directories_are_created() {
    let scratch = Scratch::new("directories");
    let path = scratch.0.join("run/agent/agent.sock");
    let _listener = bind(&path).unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn a_socket_that_cannot_be_had_is_explained() {
    let scratch = Scratch::new("explained");
    let path = scratch.0.join("agent.sock");
    let _first = bind(&path).unwrap();
    let second = sentence(bind(&path));
    assert_eq!(
        second,
        format!(
            "nodes could not connect to the socket of --socket: another program is listening on {}; stop it, or choose another path",
            path.display()
        )
    );
    let below_a_file = sentence(bind(&path.join("agent.sock")));
    assert!(below_a_file.contains(": cannot create the directory of the socket "), "{below_a_file}");
    let a_directory = sentence(bind(&scratch.0));
    assert!(a_directory.contains(": cannot listen on "), "{a_directory}");
}

#[tokio::test]
async fn several_nodes_are_served_until_the_table_ends() {
    let scratch = Scratch::new("nodes");
    let path = scratch.0.join("agent.sock");
    let listener = bind(&path).unwrap();
    let (published, table) = watch::channel(Some(Arc::new(Table::new())));
    let server = tokio::spawn(serve(listener, table, Served::default()));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = Channel::connect(&path).unwrap();
        node.send(&ZdsHello { version: 1 }.encode_to_vec(), None).await.unwrap();
        let snapshot = timeout(Duration::from_secs(10), node.receive(1024)).await.unwrap().unwrap().unwrap();
        assert_eq!(snapshot.bytes, [0x1a, 0x00]);
        node.send(&[0x0a, 0x00], None).await.unwrap();
        nodes.push(node);
    }
    drop(published);
    timeout(Duration::from_secs(10), server).await.expect("the server ends").unwrap();
    for node in nodes {
        assert!(node.receive(1024).await.unwrap().is_none());
    }
    assert!(!path.exists());
}
