//! Single objects at the API server: read, made, replaced.
//!
//! Whoever replaces an object says which version of it he has seen; that of somebody else who was faster stays ([`Written::Outdone`]).

use std::time::Duration;

use culvert_kubernetes::{Client, Error, Request, ask};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// For each request.
const WITHIN: Duration = Duration::from_secs(5);

/// What the API server notes as the author.
pub(super) const AUTHOR: &str = "culvert-control";

/// The objects of one resource.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    path: String,
}

/// What became of something that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Somebody else has written meanwhile.
    Outdone,
}

impl Api {
    /// Those at a path: `/api/v1/namespaces/shop/secrets`.
    pub(super) fn at(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into() }
    }

    /// Where they are.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Reads the object of this name, if there is one.
    pub(super) async fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        match ask(&self.client, Request::get(&self.object(name)), WITHIN).await {
            Err(error) if error.code() == Some(404) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Makes an object, unless there is one of that name.
    pub(super) async fn create(&self, object: &impl Serialize) -> Result<Written, Error> {
        self.write(Request::create(&self.path, object)).await
    }

    /// Replaces the object of this name, if it is the version that `object` says.
    pub(super) async fn replace(&self, name: &str, object: &impl Serialize) -> Result<Written, Error> {
        self.write(Request::replace(&self.object(name), object)).await
    }

    /// Changes a part of the object of this name.
    pub(super) async fn merge(&self, name: &str, change: &impl Serialize) -> Result<Written, Error> {
        self.write(Request::merge(&self.object(name), change)).await
    }

    /// Changes a part of the status of the object of this name.
    pub(super) async fn merge_status(&self, name: &str, change: &impl Serialize) -> Result<Written, Error> {
        self.write(Request::merge(&format!("{}/status", self.object(name)), change)).await
    }

    async fn write(&self, request: Request) -> Result<Written, Error> {
        match ask::<IgnoredAny>(&self.client, request.by(AUTHOR), WITHIN).await {
            Ok(_) => Ok(Written::Done),
            // A conflict, or one of that name that is there already.
            Err(error) if error.code() == Some(409) => Ok(Written::Outdone),
            Err(error) => Err(error),
        }
    }

    fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}
