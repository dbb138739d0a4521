//! One identity of SPIRE: a subscription for as long as the identity is kept.
//!
//! Asking anew ends the subscription there was and begins another one, so that an agent that has fallen silent is noticed when a
//! renewal is due. What the agent says by itself is news, and so are another trust bundle, other pods of the identity, and an agent
//! that is back after the subscription broke.

use std::sync::Arc;

use culvert_core::identity::SpiffeId;
use futures::StreamExt as _;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::agent::Said;
use super::delegated::Bundles;
use super::svid::{Bundle, Svid};
use super::{ANSWER, Client, Error};
use crate::identity::certificate::Certificate;
use crate::identity::issuer::{self, Answering, Issuance, News, counted};

pub(super) struct One {
    client: Arc<Client>,
    id: SpiffeId,
    /// What was asked by.
    selectors: Vec<String>,
    /// `None` before it was asked, and when it broke.
    said: Option<Said>,
    /// All that was said last.
    svids: Vec<Svid>,
    /// Whether there is something to take without asking.
    fresh: bool,
    /// What was given out last.
    leaf: Option<CertificateDer<'static>>,
    used: Option<Bundle>,
    around: Around,
}

/// What else may change.
struct Around {
    bundles: Option<watch::Receiver<Bundles>>,
    pods: Option<watch::Receiver<super::residents::Pods>>,
}

impl One {
    pub(super) fn new(client: Arc<Client>, id: &SpiffeId) -> Self {
        let delegate = client.delegate.as_ref();
        let bundles = delegate.map(|it| it.bundles.clone());
        let pods = delegate.map(|it| it.residents.changes());
        Self {
            id: id.clone(),
            selectors: Vec::new(),
            said: None,
            svids: Vec::new(),
            fresh: false,
            leaf: None,
            used: None,
            around: Around { bundles, pods },
            client,
        }
    }

    async fn fetch(&mut self) -> Result<Certificate, Error> {
        let deadline = Instant::now() + ANSWER;
        let selectors = self.client.selectors(&self.id);
        if !self.fresh || self.said.is_none() || selectors != self.selectors {
            self.ask(selectors);
            let heard = timeout_at(deadline, self.hear()).await;
            heard.unwrap_or_else(|_| Err(self.silent()))?;
        }
        self.fresh = false;
        let Some(svid) = self.choose() else {
            let given = self.svids.iter().map(|svid| svid.id.clone()).collect();
            let hint = self.client.hint(&self.selectors);
            return Err(Error::NoSvid { id: self.id.clone(), given, hint });
        };
        let (leaf, own) = (svid.leaf().map(|leaf| leaf.der.clone()), svid.bundle.clone());
        let bundle = match own {
            Some(bundle) => bundle,
            None => timeout_at(deadline, self.bundle()).await.unwrap_or_else(|_| Err(self.silent()))?,
        };
        let certificate = self.make(&bundle)?;
        (self.leaf, self.used) = (leaf, Some(bundle));
        self.client.agent.status().updated();
        Ok(certificate)
    }

    fn make(&self, bundle: &Bundle) -> Result<Certificate, Error> {
        let svid = self.choose().ok_or_else(|| self.silent())?;
        svid.certificate(&self.id, bundle, self.client.versions).map_err(|source| Error::Unusable {
            address: self.client.agent.address(),
            id: self.id.clone(),
            source,
        })
    }

    /// Begins a subscription.
    fn ask(&mut self, selectors: Vec<String>) {
        self.said = Some(self.client.subscribe(&selectors));
        self.selectors = selectors;
        self.svids.clear();
    }

    /// Waits for the agent to say something. Cancel safe.
    async fn hear(&mut self) -> Result<(), Error> {
        let Some(said) = &mut self.said else { return std::future::pending().await };
        let heard = said.next().await;
        let agent = &self.client.agent;
        let error = match heard {
            Some(Ok(svids)) => {
                agent.status().up();
                (self.svids, self.fresh) = (svids, true);
                return Ok(());
            }
            Some(Err(status)) => agent.failure(&status, self.client.hint(&self.selectors)),
            None => agent.ended(),
        };
        self.said = None;
        Err(error)
    }

    /// The SVID to use: the one that is in use already while it is among them, else the one that lasts longest.
    fn choose(&self) -> Option<&Svid> {
        let id = self.id.to_string();
        let in_use = |svid: &&Svid| svid.leaf().is_some_and(|leaf| Some(&leaf.der) == self.leaf.as_ref());
        let ours = || self.svids.iter().filter(|svid| svid.id == id);
        let lasts = |svid: &&Svid| svid.leaf().map(|leaf| leaf.validity.not_after);
        ours().find(in_use).or_else(|| ours().max_by_key(lasts))
    }

    /// The trust bundle of the identity's trust domain. Waits until the agent has said which there are.
    async fn bundle(&mut self) -> Result<Bundle, Error> {
        let domain = self.id.trust_domain();
        let missing = || Error::NoBundle { address: self.client.agent.address(), domain: domain.to_owned() };
        let bundles = self.around.bundles.as_mut().ok_or_else(missing)?;
        let known = bundles.wait_for(Option::is_some).await.map_err(|_| missing())?;
        known.as_ref().and_then(|known| known.get(domain).cloned()).ok_or_else(missing)
    }

    fn silent(&self) -> Error {
        let hint = self.client.hint(&self.selectors);
        Error::Silent { address: self.client.agent.address(), id: self.id.clone(), hint }
    }

    /// Waits for something that makes asking worth it. Cancel safe: what was heard is kept.
    async fn listen(&mut self) {
        loop {
            let (mut bundles, mut pods) = (self.around.bundles.clone(), self.around.pods.clone());
            tokio::select! {
                // A failure is found again when it is asked.
                _ = self.hear() => return,
                () = changed(&mut bundles) => {
                    self.around.bundles = bundles;
                    if self.said.is_none() {
                        return;
                    }
                    if !self.svids.is_empty() && self.is_bundle_new() {
                        self.fresh = true;
                        return;
                    }
                }
                () = changed(&mut pods) => {
                    self.around.pods = pods;
                    if self.client.selectors(&self.id) != self.selectors {
                        return;
                    }
                }
            }
        }
    }

    /// Whether the trust bundle is another one than that of the certificate that was given out, if one was.
    fn is_bundle_new(&self) -> bool {
        let Some(used) = &self.used else { return true };
        let bundles = self.around.bundles.as_ref().and_then(|bundles| bundles.borrow().clone());
        let ders = |bundle: &Bundle| bundle.iter().map(|it| it.der.clone()).collect::<Vec<_>>();
        bundles.and_then(|known| known.get(self.id.trust_domain()).map(ders)) != Some(ders(used))
    }
}

impl Issuance for One {
    fn issue(&mut self) -> Answering<'_> {
        Box::pin(async { counted(self.fetch(), Error::reason).await.map_err(issuer::Error::from) })
    }

    fn news(&mut self) -> News<'_> {
        Box::pin(self.listen())
    }
}

/// Resolves when a value has changed; never if there is none, or nobody to change it.
async fn changed<T>(value: &mut Option<watch::Receiver<T>>) {
    if let Some(value) = value
        && value.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
