use culvert_kubernetes::client;
use culvert_lab::api_server::ApiServer;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(40);

/// A lease that is not renewed is over soon.
const TERMS: Terms = Terms {
    lasts: Duration::from_millis(1500),
    renew: Duration::from_millis(50),
    look: Duration::from_millis(50),
    gives_up: Duration::from_millis(700),
};

struct Replica {
    leads: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

fn candidate(server: &ApiServer, own: &str, terms: Terms) -> Candidate {
    let client = client::at(server.url().parse().unwrap()).unwrap();
    Candidate::new(&client, "mesh", ["leader", own], terms)
}

impl Replica {
    fn start(server: &ApiServer, own: &str) -> Self {
        Self::with(server, own, TERMS)
    }

    fn with(server: &ApiServer, own: &str, terms: Terms) -> Self {
        let (sender, leads) = watch::channel(false);
        Self { leads, task: tokio::spawn(candidate(server, own, terms).run(sender)) }
    }

    async fn wait(&mut self, leads: bool) {
        timeout(PATIENCE, self.leads.wait_for(|now| *now == leads)).await.unwrap().unwrap();
    }
}

fn holder(server: &ApiServer) -> String {
    let lease = server.object("leases", "mesh", "leader").unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_another_one_when_it_is_gone() {
    let server = ApiServer::start().unwrap();
    let mut one = Replica::start(&server, "one");
    one.wait(true).await;
    let mut two = Replica::start(&server, "two");
    let looks = server.requests_of("get", "leases").len() + 4;
    timeout(PATIENCE, async {
        while server.requests_of("get", "leases").len() < looks {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!((*one.leads.borrow(), *two.leads.borrow(), holder(&server)), (true, false, "one".into()));
    one.task.abort();
    two.wait(true).await;
    assert_eq!(holder(&server), "two");
    let lease = server.object("leases", "mesh", "leader").unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_renew_stops_to_lead_by_itself() {
    let server = ApiServer::start().unwrap();
    let mut one = Replica::start(&server, "one");
    one.wait(true).await;
    server.refuse_connections();
    one.wait(false).await;
    server.accept_connections().unwrap();
    one.wait(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_given_back_is_taken_at_once() {
    let server = ApiServer::start().unwrap();
    let mut one = Replica::with(&server, "one", Terms::USUAL);
    one.wait(true).await;
    let mut two = Replica::with(&server, "two", Terms::USUAL);
    // Who does not hold it cannot give it back.
    candidate(&server, "two", Terms::USUAL).give_back().await;
    assert_eq!(holder(&server), "one");
    one.task.abort();
    assert!(one.task.await.is_err());
    let given_back = Instant::now();
    candidate(&server, "one", Terms::USUAL).give_back().await;
    two.wait(true).await;
    assert!(given_back.elapsed() < Duration::from_secs(2), "{:?}", given_back.elapsed());
    assert_eq!(holder(&server), "two");
    let lease = server.object("leases", "mesh", "leader").unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}
