use culvert_kubernetes::client;
use culvert_lab::api_server::{ApiServer, Trouble};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::cluster::rotation;
use crate::root::leaves::Needed;
use crate::root::rotation::{Haste, Step};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A root in a Secret, and replicas that sign with it.
struct Rig {
    server: ApiServer,
    client: Client,
    replicas: [(watch::Sender<std::sync::Arc<Root>>, Signed); 2],
    _tasks: JoinSet<()>,
}

impl Rig {
    async fn start(forgets: bool) -> Self {
        let server = ApiServer::start().unwrap();
        let client = client::at(server.url().parse().unwrap()).unwrap();
        secret::make(&secret::secrets(&client, "mesh"), SystemTime::now()).await.unwrap();
        if forgets {
            server
                .patch("secrets", "mesh", OWN, json!({ "metadata": { "annotations": { NOTE: null } } }))
                .unwrap();
        }
        let root = std::sync::Arc::new(root(&client).await);
        let replicas = [(); 2].map(|()| (watch::Sender::new(root.clone()), Signed::default()));
        let mut tasks = JoinSet::new();
        let pace =
            Pace { first: Duration::from_millis(10), longest: Duration::from_millis(50), ..Pace::default() };
        for (root, signed) in &replicas {
            let both = (root.subscribe(), signed.clone());
            tasks.spawn(keep(client.clone(), "mesh".to_owned(), both, DAY * 90, pace));
        }
        Self { server, client, replicas, _tasks: tasks }
    }

    /// In how many days the last certificate of the root ends that signs, as it is noted.
    fn days(&self) -> Option<u64> {
        let secret: Secret = serde_json::from_value(self.server.object("secrets", "mesh", OWN)?).ok()?;
        let root = secret::own(&secret.data?, SystemTime::now()).ok()?;
        match read(&secret.metadata.annotations?).need(&root.fingerprint(), SystemTime::now()) {
            Some(Needed::Until(end)) => {
                Some((end + DAY / 2).duration_since(SystemTime::now()).ok()?.as_secs() / DAY.as_secs())
            }
            Some(Needed::Unknown) => None,
            None => Some(0),
        }
    }

    async fn wait(&self, days: u64) {
        let waited = timeout(PATIENCE, async {
            while self.days() != Some(days) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "{days} days, and not {:?}", self.days());
    }
}

async fn root(client: &Client) -> Root {
    let secret: Secret = secret::secrets(client, "mesh").get(OWN).await.unwrap().unwrap();
    secret::own(&secret.data.unwrap(), SystemTime::now()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_replicas_the_latest_end_counts() {
    let rig = Rig::start(false).await;
    rig.wait(0).await;
    let now = SystemTime::now();
    let fingerprint = root(&rig.client).await.fingerprint();
    rig.server.trouble(Trouble::status(409).on("patch", "secrets").times(1));
    rig.server.trouble(Trouble::status(503).on("patch", "secrets").times(1));
    for _ in 0..100 {
        rig.replicas[0].1.note(&fingerprint, now + DAY * 30);
        rig.replicas[1].1.note(&fingerprint, now + DAY);
    }
    rig.wait(30).await;
    rig.replicas[1].1.note(&fingerprint, now + DAY * 40);
    rig.wait(40).await;
    let writes = rig.server.requests_of("patch", "secrets").len();
    assert!(writes <= 6, "not for every certificate: {writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_root_nothing_is_noted_of_the_longest_life_counts() {
    let rig = Rig::start(true).await;
    rig.wait(90).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_root_has_signed_nothing() {
    let rig = Rig::start(true).await;
    rig.wait(90).await;
    for step in [Step::Prepare, Step::Activate] {
        rotation::run(&rig.client, "mesh", step, Haste::Wait).await.unwrap();
    }
    let new = std::sync::Arc::new(root(&rig.client).await);
    rig.replicas[0].0.send_replace(new.clone());
    rig.wait(0).await;
    rig.replicas[0].1.note(&new.fingerprint(), SystemTime::now() + DAY * 2);
    rig.wait(2).await;
    let refused = rotation::run(&rig.client, "mesh", Step::Finish, Haste::Wait).await.unwrap_err();
    assert!(refused.to_string().contains("until"), "the old one is needed: {refused}");
}
