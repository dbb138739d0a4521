//! What can be listed and followed: where it is, which of its objects are meant, and whether the server must have it.

/// One resource, in all namespaces or in one.
#[derive(Debug, Clone)]
pub struct Resource {
    /// What it is called in log lines and metrics: `pods`.
    pub name: &'static str,
    /// Where it is: `/api/v1/pods`, `/apis/security.istio.io/v1/authorizationpolicies`.
    pub path: String,
    /// Which of its objects, as a field selector.
    pub fields: Option<String>,
    /// How many objects are asked for at a time. A list has a thousand pages at most, so that a server that always says there is more
    /// does not get all of our memory.
    pub page: u32,
    /// What it means that the server does not have it.
    pub presence: Presence,
}

/// Whether a server must have a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Every cluster has it: that it is not there is a failure, and nothing is known meanwhile.
    Always,
    /// Somebody may have defined it, and may do so later: while nobody has, there are no objects of it.
    Optional,
}

impl Resource {
    /// All objects at a path, of a resource that every cluster has.
    #[must_use]
    pub fn new(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, path: path.into(), fields: None, page: 100, presence: Presence::Always }
    }

    /// Only those that a field selector selects: `spec.nodeName=n1`.
    #[must_use]
    pub fn selected(self, fields: impl Into<String>) -> Self {
        Self { fields: Some(fields.into()), ..self }
    }

    /// With other pages than of 100 objects. A page that is too long is asked for again with fewer.
    #[must_use]
    pub fn in_pages_of(self, page: u32) -> Self {
        Self { page: page.max(1), ..self }
    }

    /// A resource that need not be there.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { presence: Presence::Optional, ..self }
    }
}
