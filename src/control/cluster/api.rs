//! Single objects at the API server: read, made, replaced.
//!
//! Whoever replaces an object says which version of it he has seen; that of somebody else who was faster stays ([`Written::Outdone`]).

use std::time::Duration;

use culvert_kubernetes::{Client, Error, ask};
use kube::core::Request;
use kube::core::params::{GetParams, PostParams};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// For each request.
const WITHIN: Duration = Duration::from_secs(5);

/// What the API server notes as the author.
const AUTHOR: &str = "culvert-control";

/// The objects of one kind in one namespace.
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
        let request = Request::new(self.path.as_str()).get(name, &GetParams::default());
        match ask(&self.client, request, WITHIN).await {
            Err(error) if error.code() == Some(404) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Makes an object, unless there is one of that name.
    pub(super) async fn create(&self, object: &impl Serialize) -> Result<Written, Error> {
        let request = Request::new(self.path.as_str()).create(&author(), json(object));
        self.write(request).await
    }

    /// Replaces the object of this name, if it is the version that `object` says.
    pub(super) async fn replace(&self, name: &str, object: &impl Serialize) -> Result<Written, Error> {
        let request = Request::new(self.path.as_str()).replace(name, &author(), json(object));
        self.write(request).await
    }

    /// Replaces its status alone, if it is the version that `object` says.
    pub(super) async fn replace_status(&self, name: &str, object: &impl Serialize) -> Result<Written, Error> {
        let request =
            Request::new(self.path.as_str()).replace_subresource("status", name, &author(), json(object));
        self.write(request).await
    }

    async fn write(&self, request: culvert_kubernetes::Request) -> Result<Written, Error> {
        match ask::<IgnoredAny>(&self.client, request, WITHIN).await {
            Ok(_) => Ok(Written::Done),
            // A conflict, or one of that name that is there already.
            Err(error) if error.code() == Some(409) => Ok(Written::Outdone),
            Err(error) => Err(error),
        }
    }
}

fn author() -> PostParams {
    PostParams { field_manager: Some(AUTHOR.to_owned()), ..PostParams::default() }
}

fn json(object: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(object).expect("the keys of all objects are text")
}
