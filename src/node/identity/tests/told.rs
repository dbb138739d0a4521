//! Issuers that say something before they are asked.

use tokio::sync::mpsc;

use super::*;
use crate::identity::issuer::{Answering, Issuance, News};

/// Issues what it was last given, and has news whenever it is given something.
struct Telling {
    ca: TestCa,
    answers: Mutex<Option<mpsc::UnboundedReceiver<Leaf>>>,
    asked: Arc<AtomicUsize>,
}

struct One {
    issuer: Arc<Telling>,
    answers: mpsc::UnboundedReceiver<Leaf>,
    current: Option<Leaf>,
    key: rcgen::KeyPair,
}

impl Issuer for Telling {
    fn issuance(self: Arc<Self>, _: &SpiffeId) -> Box<dyn Issuance> {
        let answers = self.answers.lock().unwrap().take().expect("one identity");
        let key = rcgen::KeyPair::generate().unwrap();
        Box::new(One { issuer: self, answers, current: None, key })
    }
}

impl Issuance for One {
    fn issue(&mut self) -> Answering<'_> {
        self.issuer.asked.fetch_add(1, Ordering::SeqCst);
        while let Ok(leaf) = self.answers.try_recv() {
            self.current = Some(leaf);
        }
        Box::pin(async {
            let leaf = self.current.as_ref().ok_or_else(silent)?;
            Ok(self.issuer.ca.certificate_for(leaf, &self.issuer.ca.root_pem(), &self.key))
        })
    }

    fn news(&mut self) -> News<'_> {
        Box::pin(async {
            match self.answers.recv().await {
                Some(leaf) => self.current = Some(leaf),
                None => std::future::pending().await,
            }
        })
    }
}

struct Rig {
    identities: Identities,
    tell: mpsc::UnboundedSender<Leaf>,
    asked: Arc<AtomicUsize>,
}

impl Rig {
    fn new() -> Self {
        let (tell, answers) = mpsc::unbounded_channel();
        let asked = Arc::<AtomicUsize>::default();
        let issuer = Telling {
            ca: TestCa::new("root"),
            answers: Mutex::new(Some(answers)),
            asked: Arc::clone(&asked),
        };
        Self { identities: Identities::new(issuer, Trust::default()), tell, asked }
    }

    fn tell(&self) {
        self.tell.send(Leaf::named(&[&account("web").to_string()])).unwrap();
    }

    async fn held(&self) -> Arc<Certificate> {
        self.identities.certificate(&account("web")).await.unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_issuer_has_to_say_is_taken_within_a_second() {
    let rig = Rig::new();
    rig.tell();
    let first = rig.held().await;
    sleep(Duration::from_secs(60)).await;
    rig.tell();
    sleep(Duration::from_secs(1)).await;
    assert!(!Arc::ptr_eq(&first, &rig.held().await));
    assert_eq!(rig.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn news_after_a_failure_do_not_wait_for_the_pause() {
    let rig = Rig::new();
    rig.identities.prefetch(&account("web"));
    // By then the pauses are long.
    sleep(Duration::from_secs(400)).await;
    let asked = rig.asked();
    rig.tell();
    sleep(Duration::from_secs(1)).await;
    assert_state(&rig.identities, "Available");
    assert_eq!(rig.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_always_has_news_is_asked_once_a_second() {
    let rig = Rig::new();
    rig.tell();
    rig.held().await;
    let asked = rig.asked();
    for _ in 0..1000 {
        rig.tell();
        sleep(Duration::from_millis(10)).await;
    }
    let often = rig.asked() - asked;
    assert!((8..=11).contains(&often), "{often} times in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_the_same_again_goes_on_being_used() {
    let fake = Fake::new(Duration::ZERO);
    let (key, leaf) = (rcgen::KeyPair::generate().unwrap(), Leaf::named(&[&account("web").to_string()]));
    let signed = fake.ca.sign(&leaf, &key);
    let same = Same { fake: Arc::clone(&fake), key, leaf, signed };
    let identities = Identities::new(same, Trust::default());
    let first = identities.certificate(&account("web")).await.unwrap();
    identities.renew_all();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(fake.calls().len(), 2, "it was asked for again");
    assert!(Arc::ptr_eq(&first, &identities.certificate(&account("web")).await.unwrap()));
}

/// Signs once.
struct Same {
    fake: Arc<Fake>,
    key: rcgen::KeyPair,
    leaf: Leaf,
    signed: String,
}

impl Authority for Same {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        let Self { fake, key, leaf, signed } = self;
        fake.calls.lock().unwrap().push((fake.start.elapsed(), id.clone()));
        Box::pin(async { Ok(fake.ca.certificate_of(signed.clone(), leaf, &fake.ca.root_pem(), key)) })
    }
}
