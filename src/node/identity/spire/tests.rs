//! The client against an agent of the tests' own, on a Unix socket.

mod fake;
mod wrong;

use std::time::Duration;

use tonic::Status;

use super::*;
use crate::control_plane::status::State;
use crate::identity::certificate::Certificate;
use crate::identity::issuer;
use crate::identity::testing::{Leaf, TestCa, account};
use fake::{Fake, Manner};

/// For things that happen by themselves, and at once.
const SOON: Duration = Duration::from_secs(5);

/// By which the fake's entries are found as a rule.
const WEB: [&str; 2] = ["k8s:ns:default", "k8s:sa:web"];

/// A client, and what it has for one identity.
struct Rig {
    fake: Fake,
    residents: Residents,
    client: Arc<Client>,
    web: Box<dyn Issuance>,
    follow: tokio::task::JoinSet<()>,
}

impl Rig {
    fn start(api: Api) -> Self {
        let fake = Fake::start();
        let residents = Residents::default();
        let config = Config { api, socket: fake.socket(), tls12: false };
        let (client, follow) = Client::new(&config, &residents);
        let client = Arc::new(client);
        let mut following = tokio::task::JoinSet::new();
        if let Some(follow) = follow {
            following.spawn(follow.run());
        }
        let web = Arc::clone(&client).issuance(&account("web"));
        Self { fake, residents, client, web, follow: following }
    }

    fn delegate() -> Self {
        Self::start(Api::Delegated)
    }

    async fn good(&mut self) -> Certificate {
        self.web.issue().await.unwrap()
    }

    async fn error(&mut self) -> Error {
        match self.web.issue().await.unwrap_err() {
            issuer::Error::Spire(error) => error,
            other @ issuer::Error::Authority(_) => panic!("{other}"),
        }
    }

    async fn has_news(&mut self) {
        tokio::time::timeout(SOON, self.web.news()).await.expect("there are news");
    }
}

#[tokio::test]
async fn a_delegate_names_the_workload_and_is_given_what_it_is_entitled_to() {
    let mut rig = Rig::delegate();
    rig.residents.are([("uid-1", "default", "web"), ("uid-2", "default", "db")].into_iter());
    rig.fake.register(&WEB, &account("web"));
    rig.fake.register(&["k8s:ns:default", "k8s:sa:db"], &account("db"));
    let certificate = rig.good().await;
    assert_eq!(certificate.id(), &account("web"));
    assert_eq!((certificate.chain().len(), certificate.roots().len()), (1, 1));
    assert_eq!(rig.fake.asked(), [["k8s:ns:default", "k8s:sa:web", "k8s:pod-uid:uid-1"]]);
    assert_eq!(rig.client.status().view().state, State::Up);
    assert!(rig.client.status().address().starts_with("unix:///"));
}

#[tokio::test]
async fn what_the_agent_says_by_itself_is_taken_without_asking() {
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &account("web"));
    let first = rig.good().await;
    rig.fake.rotate();
    rig.has_news().await;
    assert_ne!(rig.good().await.serial(), first.serial());
    assert_eq!(rig.fake.asked().len(), 1);
}

/// Renewals are asked for: an agent that has fallen silent would not be noticed otherwise.
#[tokio::test]
async fn a_renewal_asks_and_takes_what_there_is() {
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &account("web"));
    let (first, second) = (rig.good().await, rig.good().await);
    assert!(first.is_same(&second));
    assert_eq!(rig.fake.asked().len(), 2);
}

#[tokio::test]
async fn an_identity_nobody_has_registered_is_explained_and_found_once_it_is() {
    let mut rig = Rig::delegate();
    let text = rig.error().await.to_string();
    assert_eq!(
        text,
        "no SVID for spiffe://cluster.local/ns/default/sa/web: is there a registration entry with the selectors \
         k8s:ns:default, k8s:sa:web, and is this process a delegate (authorized_delegates)?"
    );
    assert_eq!(rig.client.status().view().state, State::Up, "it has answered");
    rig.fake.register(&WEB, &account("web"));
    rig.has_news().await;
    rig.good().await;
    assert_eq!(rig.fake.asked().len(), 1);
}

/// SPIRE's controller makes an entry for each pod, which names nothing else.
#[tokio::test]
async fn pods_are_named_and_asked_for_anew_when_they_come_and_go() {
    let mut rig = Rig::delegate();
    rig.fake.register(&["k8s:pod-uid:one"], &account("web"));
    rig.fake.register(&["k8s:pod-uid:two"], &account("web"));
    rig.error().await;
    rig.residents.are([("one", "default", "web")].into_iter());
    rig.has_news().await;
    let first = rig.good().await;
    // Another one changes nothing: what is in use is still good.
    rig.residents.are([("one", "default", "web"), ("two", "default", "web")].into_iter());
    rig.has_news().await;
    assert!(rig.good().await.is_same(&first));
    rig.residents.are([("two", "default", "web")].into_iter());
    rig.has_news().await;
    assert!(!rig.good().await.is_same(&first));
}

#[tokio::test]
async fn pods_of_others_are_no_news() {
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &account("web"));
    rig.good().await;
    rig.residents.are([("one", "default", "db")].into_iter());
    let news = tokio::time::timeout(Duration::from_millis(200), rig.web.news()).await;
    assert!(news.is_err(), "nothing is to be had");
}

#[tokio::test]
async fn another_trust_bundle_is_taken_at_once_with_the_certificate_there_is() {
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &account("web"));
    let first = rig.good().await;
    let next = TestCa::new("next");
    rig.fake.trust(&[&rig.fake.root(), next.der()]);
    rig.has_news().await;
    let second = rig.good().await;
    assert_eq!((second.serial(), second.roots().len()), (first.serial(), 2));
    assert_eq!(rig.fake.asked().len(), 1, "the agent was not asked for it");
    // Of another trust domain: nothing that would be of use.
    rig.fake.trust_of("other.example", &[next.der()]);
    let news = tokio::time::timeout(Duration::from_millis(200), rig.web.news()).await;
    assert!(news.is_err());
}

#[tokio::test]
async fn an_agent_that_goes_is_named_and_noticed_when_it_is_back() {
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &account("web"));
    rig.good().await;
    rig.fake.stop();
    rig.has_news().await;
    let error = rig.error().await;
    let text = error.to_string();
    assert!(matches!(error, Error::Unreachable { .. }), "{text}");
    assert!(text.contains(&rig.fake.socket().display().to_string()), "{text}");
    assert!(matches!(rig.client.status().view().state, State::Down(_)));
    rig.fake.serve();
    tokio::time::timeout(LATER, rig.web.news()).await.expect("it is noticed");
    rig.good().await;
    assert_eq!(rig.client.status().view().state, State::Up);
    rig.follow.abort_all();
}

/// The pause between two attempts, and the attempt.
const LATER: Duration = Duration::from_secs(10);

#[tokio::test]
async fn who_is_no_delegate_is_told_so() {
    let mut rig = Rig::delegate();
    rig.fake
        .behave(Manner::Refuse(Status::permission_denied("caller not configured as an authorized delegate")));
    let text = rig.error().await.to_string();
    assert!(text.contains("PermissionDenied: caller not configured"), "{text}");
    assert!(text.contains("is this process a delegate (authorized_delegates)?"), "{text}");
    assert_eq!(rig.client.status().view().state, State::Up, "who refuses answers");
}

#[tokio::test]
async fn an_agent_that_says_nothing_costs_the_deadline_and_may_still_say_something() {
    let mut rig = Rig::delegate();
    rig.fake.behave(Manner::Silent);
    rig.fake.register(&WEB, &account("web"));
    let error = {
        let mut issuing = rig.web.issue();
        tokio::select! {
            result = &mut issuing => panic!("{:?}", result.err()),
            () = rig.fake.was_asked() => {}
        }
        // From here on nothing but the deadline can end the wait.
        tokio::time::pause();
        let error = issuing.await.unwrap_err();
        tokio::time::resume();
        error
    };
    let text = error.to_string();
    assert!(text.contains("said nothing of spiffe://cluster.local/ns/default/sa/web within 5s"), "{text}");
    assert!(text.contains("registration entry"), "{text}");
    rig.fake.behave(Manner::Serve);
    rig.has_news().await;
    rig.good().await;
}

#[tokio::test]
async fn a_workload_asks_who_it_is_itself() {
    let mut rig = Rig::start(Api::Workload);
    rig.fake.register(&[], &account("other"));
    let text = rig.error().await.to_string();
    assert_eq!(
        text,
        "no SVID for spiffe://cluster.local/ns/default/sa/web, but for spiffe://cluster.local/ns/default/sa/other: \
         is there a registration entry for this process with that SPIFFE ID?"
    );
    rig.fake.register(&[], &account("web"));
    rig.has_news().await;
    let first = rig.good().await;
    assert_eq!(first.id(), &account("web"));
    rig.fake.rotate();
    rig.has_news().await;
    assert_ne!(rig.good().await.serial(), first.serial());
    assert_eq!(rig.fake.asked().len(), 1);
    let next = TestCa::new("next");
    rig.fake.trust(&[&rig.fake.root(), next.der()]);
    rig.has_news().await;
    assert_eq!(rig.good().await.roots().len(), 2);
}

#[tokio::test]
async fn what_is_no_longer_needed_ends_its_subscription() {
    let mut rig = Rig::delegate();
    rig.fake.register(&WEB, &account("web"));
    rig.good().await;
    assert_eq!(rig.fake.listening(), 1);
    rig.web = Arc::clone(&rig.client).issuance(&account("db"));
    tokio::time::timeout(SOON, rig.fake.nobody_listens()).await.expect("it has ended");
}

/// Messages with keys have no way to be printed: this does not compile otherwise.
const _: () = {
    trait Mute {
        const PRINTS: bool = false;
    }
    impl<T> Mute for T {}
    struct Message<T>(std::marker::PhantomData<T>);
    impl<T: std::fmt::Debug> Message<T> {
        #[allow(dead_code, reason = "taken before the trait's where a message prints")]
        const PRINTS: bool = true;
    }
    assert!(!Message::<culvert_proto::spire::delegated::X509svidWithKey>::PRINTS);
    assert!(!Message::<culvert_proto::spire::workload::X509svid>::PRINTS);
    assert!(Message::<culvert_proto::spire::types::Selector>::PRINTS);
};
