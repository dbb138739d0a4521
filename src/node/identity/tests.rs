//! The life of certificates, with an authority that does what the test says and a clock the test winds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use culvert_core::pushback::Pushback;
use tokio::time::{Instant, sleep};

use super::issuer::{Authority, Issuing};
use super::testing::{Leaf, TestCa, TestLists, account, leaf};
use super::*;

mod told;

const LIFE: Duration = Duration::from_secs(1000);

/// What the authority does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Issues,
    Refuses,
    /// Wants to be left alone for 20 s.
    PushesBack,
    Hangs,
}

struct Fake {
    ca: TestCa,
    epoch: SystemTime,
    start: Instant,
    latency: Duration,
    mood: Mutex<Mood>,
    life: Mutex<Duration>,
    dated_back: Mutex<Duration>,
    /// When which identity was asked for, since the start.
    calls: Mutex<Vec<(Duration, SpiffeId)>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Fake {
    fn new(latency: Duration) -> Arc<Self> {
        Arc::new(Self {
            ca: TestCa::new("root"),
            epoch: SystemTime::now(),
            start: Instant::now(),
            latency,
            mood: Mutex::new(Mood::Issues),
            life: Mutex::new(LIFE),
            dated_back: Mutex::default(),
            calls: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn now(&self) -> SystemTime {
        self.epoch + self.start.elapsed()
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// When calls came, since the start.
    fn calls(&self) -> Vec<Duration> {
        self.calls.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    fn identities(self: &Arc<Self>) -> Identities {
        self.identities_trusting(Trust::default())
    }

    fn identities_trusting(self: &Arc<Self>, trust: Trust) -> Identities {
        let clock = Arc::clone(self);
        Identities::with_clock(Arc::clone(self), trust, move || clock.now())
    }

    async fn answer(&self, id: &SpiffeId) -> Result<Certificate, ca::Error> {
        self.calls.lock().unwrap().push((self.start.elapsed(), id.clone()));
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        sleep(self.latency).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Issues => {
                let now = self.now();
                let not_before = now - *self.dated_back.lock().unwrap();
                let not_after = now + *self.life.lock().unwrap();
                let leaf = Leaf { not_before, not_after, ..Leaf::named(&[&id.to_string()]) };
                Ok(self.ca.certificate(&leaf, &self.ca.root_pem()))
            }
            Mood::Refuses => Err(silent()),
            Mood::PushesBack => Err(ca::Error::Refused {
                address: "ca:15012".into(),
                code: tonic::Code::Unavailable,
                message: "later".into(),
                pushback: Some(Pushback::parse("20000")),
            }),
            Mood::Hangs => std::future::pending().await,
        }
    }
}

impl Authority for Arc<Fake> {
    fn issue<'a>(&'a self, id: &'a SpiffeId) -> Issuing<'a> {
        Box::pin(self.answer(id))
    }
}

#[track_caller]
fn assert_state(identities: &Identities, expected: &str) {
    let states: Vec<_> = identities.list().into_iter().map(|listed| listed.state).collect();
    assert_eq!(states, [expected]);
}

/// What an authority that does not answer comes to.
fn silent() -> ca::Error {
    ca::Error::TimedOut { address: "ca:15012".into() }
}

#[tokio::test(start_paused = true)]
async fn many_waiters_cause_one_fetch_and_share_its_certificate() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    let web = account("web");
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let (identities, web) = (identities.clone(), web.clone());
        waiters.spawn(async move { identities.certificate(&web).await.unwrap() });
    }
    let all = waiters.join_all().await;
    assert!(all.iter().all(|certificate| Arc::ptr_eq(certificate, &all[0])));
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(all[0].id(), &web);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_counted_by_state_and_the_first_to_run_out_is_known() {
    let fake = Fake::new(Duration::ZERO);
    let identities = fake.identities();
    assert_eq!(identities.tally(), Tally::default());
    let long = identities.certificate(&account("long")).await.unwrap();
    *fake.life.lock().unwrap() = LIFE / 10;
    let short = identities.certificate(&account("short")).await.unwrap();
    assert!(short.validity().not_after < long.validity().not_after);
    *fake.mood.lock().unwrap() = Mood::Refuses;
    identities.certificate(&account("refused")).await.unwrap_err();
    *fake.mood.lock().unwrap() = Mood::Hangs;
    identities.prefetch(&account("asked"));
    let first_expiry = Some(short.validity().not_after);
    assert_eq!(identities.tally(), Tally { initializing: 1, available: 2, unavailable: 1, first_expiry });
    sleep(LIFE / 5).await;
    let first_expiry = Some(long.validity().not_after);
    assert_eq!(identities.tally(), Tally { initializing: 1, available: 1, unavailable: 2, first_expiry });
}

#[tokio::test(start_paused = true)]
async fn renewal_comes_at_half_life_or_a_little_later_and_is_not_seen_by_callers() {
    let fake = Fake::new(Duration::ZERO);
    let identities = fake.identities();
    let first = identities.certificate(&account("web")).await.unwrap();
    sleep(LIFE * 3).await;
    let calls = fake.calls();
    assert!(calls.len() >= 5, "{calls:?}");
    for pair in calls.windows(2) {
        let gap = pair[1] - pair[0];
        // Certificates tell seconds, so half of the life may come up to a second early.
        assert!((LIFE / 2 - Duration::from_secs(1)..=LIFE * 3 / 5).contains(&gap), "{calls:?}");
    }
    let latest = identities.certificate(&account("web")).await.unwrap();
    assert_ne!(latest.serial(), first.serial());
    assert_eq!(fake.calls().len(), calls.len());
}

#[tokio::test(start_paused = true)]
async fn renewals_of_one_burst_are_spread() {
    let fake = Fake::new(Duration::ZERO);
    let identities = fake.identities();
    for index in 0..20 {
        identities.prefetch(&account(&format!("web-{index}")));
    }
    sleep(LIFE * 7 / 10).await;
    let mut renewals: Vec<_> = fake.calls().split_off(20);
    assert_eq!(renewals.len(), 20);
    renewals.sort_unstable();
    assert!(renewals[19] - renewals[0] > LIFE / 50, "{renewals:?}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_kept_while_valid_and_not_longer() {
    let fake = Fake::new(Duration::ZERO);
    let identities = fake.identities();
    let first = identities.certificate(&account("web")).await.unwrap();
    fake.set(Mood::Refuses);
    sleep(LIFE - Duration::from_secs(5)).await;
    assert!(fake.calls().len() > 3, "renewal was tried");
    let kept = identities.certificate(&account("web")).await.unwrap();
    assert!(Arc::ptr_eq(&first, &kept));
    assert_state(&identities, "Available");

    sleep(Duration::from_secs(10)).await;
    let error = identities.certificate(&account("web")).await.unwrap_err();
    assert!(matches!(error, Error::Fetch(issuer::Error::Authority(ca::Error::TimedOut { .. }))), "{error}");
    assert_state(&identities, &format!("Unavailable: {}", silent()));
}

#[tokio::test(start_paused = true)]
async fn a_request_after_an_outage_succeeds_within_a_second() {
    let fake = Fake::new(Duration::ZERO);
    fake.set(Mood::Refuses);
    let identities = fake.identities();
    identities.prefetch(&account("web"));
    sleep(Duration::from_secs(600)).await;
    let tries = fake.calls().len();
    assert!((5..20).contains(&tries), "the pauses grow: {tries} tries");

    fake.set(Mood::Issues);
    let before = Instant::now();
    identities.certificate(&account("web")).await.unwrap();
    assert!(before.elapsed() <= Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn requests_in_an_outage_try_again_once_a_second() {
    let fake = Fake::new(Duration::ZERO);
    fake.set(Mood::Refuses);
    let identities = fake.identities();
    let start = Instant::now();
    let mut requests = 0;
    while start.elapsed() < Duration::from_secs(20) {
        identities.certificate(&account("web")).await.unwrap_err();
        sleep(Duration::from_millis(10)).await;
        requests += 1;
    }
    assert!(requests >= 15, "{requests} requests were answered");
    assert!(fake.calls().len() <= 22, "{:?}", fake.calls());
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_wants_to_be_left_alone_is_however_many_need_it() {
    let fake = Fake::new(Duration::ZERO);
    fake.set(Mood::PushesBack);
    let identities = fake.identities();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(70) {
        identities.certificate(&account("web")).await.unwrap_err();
        sleep(Duration::from_millis(10)).await;
    }
    let calls = fake.calls();
    assert!((3..=4).contains(&calls.len()), "{calls:?}");
    for pair in calls.windows(2) {
        assert!((20..31).contains(&(pair[1] - pair[0]).as_secs()), "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_hangs_costs_a_request_its_deadline() {
    let fake = Fake::new(Duration::ZERO);
    fake.set(Mood::Hangs);
    let before = Instant::now();
    let error = fake.identities().certificate(&account("web")).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
    assert_eq!(before.elapsed().as_secs(), issuer::DEADLINE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_connection_overtakes_prefetches_and_eight_calls_run_at_most() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    for index in 0..40 {
        identities.prefetch(&account(&format!("web-{index}")));
    }
    sleep(Duration::from_millis(1500)).await;
    let before = Instant::now();
    identities.certificate(&account("new")).await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(1100), "{:?}", before.elapsed());
    // One that is queued already moves to the front.
    let before = Instant::now();
    identities.certificate(&account("web-39")).await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(1100), "{:?}", before.elapsed());

    for index in 0..40 {
        let (identities, id) = (identities.clone(), account(&format!("db-{index}")));
        tokio::spawn(async move { identities.certificate(&id).await });
    }
    sleep(Duration::from_secs(20)).await;
    assert_eq!(fake.calls().len(), 81);
    assert_eq!(fake.most.load(Ordering::SeqCst), 8);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_retained_is_forgotten() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    let (web, db) = (account("web"), account("db"));
    identities.certificate(&web).await.unwrap();
    let waiter = tokio::spawn({
        let (identities, db) = (identities.clone(), db.clone());
        async move { identities.certificate(&db).await }
    });
    sleep(Duration::from_millis(500)).await;
    identities.retain(&HashSet::from([web.clone()]));
    assert!(matches!(waiter.await.unwrap(), Err(Error::Forgotten)));
    assert_eq!(identities.list().len(), 1);

    identities.retain(&HashSet::new());
    assert!(identities.list().is_empty());
    let calls = fake.calls().len();
    sleep(LIFE * 2).await;
    assert_eq!(fake.calls().len(), calls, "nothing is renewed");

    identities.certificate(&db).await.unwrap();
    assert_eq!(fake.calls().len(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_the_renewals() {
    let fake = Fake::new(Duration::ZERO);
    let identities = fake.identities();
    identities.certificate(&account("web")).await.unwrap();
    drop(identities);
    sleep(LIFE * 2).await;
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_list_is_sorted_and_shows_the_chain() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    identities.prefetch(&account("web"));
    assert_state(&identities, "Initializing");
    assert!(identities.list()[0].chain.is_empty());
    identities.certificate(&account("db")).await.unwrap();
    identities.certificate(&account("web")).await.unwrap();
    let listed = identities.list();
    let names: Vec<_> = listed.iter().map(|listed| listed.identity.to_string()).collect();
    assert_eq!(names, [account("db").to_string(), account("web").to_string()]);
    let db = &listed[0];
    assert_eq!((db.state.as_str(), db.chain.len(), db.roots.len()), ("Available", 1, 1));
    let validity = db.chain[0].validity;
    assert_eq!(validity.not_after.duration_since(validity.not_before).unwrap(), LIFE);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_dated_back_by_more_than_it_lasts_causes_no_storm() {
    let fake = Fake::new(Duration::ZERO);
    *fake.dated_back.lock().unwrap() = Duration::from_secs(120);
    *fake.life.lock().unwrap() = Duration::from_secs(60);
    let identities = fake.identities();
    identities.certificate(&account("web")).await.unwrap();
    sleep(Duration::from_secs(600)).await;
    let calls = fake.calls();
    for pair in calls.windows(2) {
        let gap = (pair[1] - pair[0]).as_secs_f64();
        assert!((29.0..=36.0).contains(&gap), "{calls:?}");
    }
    assert!((17..=21).contains(&calls.len()), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn all_are_renewed_when_asked_and_spread_over_two_seconds() {
    let fake = Fake::new(Duration::ZERO);
    let identities = fake.identities();
    let ids: Vec<_> = (0..20).map(|index| account(&format!("web-{index}"))).collect();
    let mut before = Vec::new();
    for id in &ids {
        before.push(identities.certificate(id).await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    let asked = fake.start.elapsed();
    identities.renew_all();
    identities.renew_all();
    sleep(Duration::from_secs(60)).await;
    let renewals = fake.calls().split_off(20);
    assert_eq!(renewals.len(), 20, "each once");
    let (first, last) = (renewals[0] - asked, renewals[19] - asked);
    assert!(last <= Duration::from_secs(2), "{renewals:?}");
    assert!(last - first > Duration::from_millis(500), "{renewals:?}");
    for (id, before) in ids.iter().zip(before) {
        assert_ne!(
            identities.certificate(id).await.unwrap().serial(),
            before.serial(),
            "the new one is used"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_before_the_roots_changed_is_asked_for_again() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    identities.prefetch(&account("web"));
    sleep(Duration::from_millis(500)).await;
    identities.renew_all();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn prefetches_run_side_by_side() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    for index in 0..4 {
        identities.prefetch(&account(&format!("web-{index}")));
    }
    sleep(Duration::from_millis(1500)).await;
    assert!(identities.list().iter().all(|listed| listed.state == "Available"));
}

#[tokio::test(start_paused = true)]
async fn a_first_certificate_overtakes_renewals() {
    let fake = Fake::new(Duration::from_secs(1));
    let identities = fake.identities();
    for index in 0..40 {
        identities.prefetch(&account(&format!("web-{index}")));
    }
    sleep(Duration::from_secs(20)).await;
    identities.renew_all();
    sleep(Duration::from_millis(2100)).await;
    let known = fake.calls().len();
    identities.prefetch(&account("new"));
    sleep(Duration::from_millis(1100)).await;
    let calls = fake.calls.lock().unwrap();
    assert!(calls[known..].iter().take(6).any(|(_, id)| *id == account("new")), "{:?}", &calls[known..]);
    assert!(calls.len() < 80, "renewals still wait");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_ours_that_is_revoked_is_renewed() {
    let fake = Fake::new(Duration::ZERO);
    let (lists, trust) = TestLists::new();
    let identities = fake.identities_trusting(trust);
    let web = identities.certificate(&account("web")).await.unwrap();
    identities.certificate(&account("db")).await.unwrap();
    lists.publish(&fake.ca.revoking(&[&leaf(&web)]));
    sleep(Duration::from_secs(3)).await;
    let calls: Vec<_> = fake.calls.lock().unwrap().iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(calls, [account("web"), account("db"), account("web")]);
}
