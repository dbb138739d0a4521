//! What is wrong with a resource, and the way to the field it is wrong in.

use std::error::Error;

use prost::DecodeError;

/// Why a resource cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is no payload.
    #[error("the payload is empty")]
    Empty,
    /// The payload is not a message of its type.
    #[error("the payload is not {expected}")]
    Undecodable {
        /// What it should be.
        expected: &'static str,
        /// What the decoder found.
        source: DecodeError,
    },
    /// The resource has no name.
    #[error("the resource has no name; it carries `{carried}`")]
    Nameless {
        /// The key it carries.
        carried: String,
    },
    /// The resource is not what its name says.
    #[error("the resource is named `{name}` but carries `{carried}`")]
    Misnamed {
        /// The name of the resource.
        name: String,
        /// The key it carries.
        carried: String,
    },
    /// A field makes no sense.
    #[error("{field}: {problem}")]
    Field {
        /// The way to the field, such as `rules[0].clauses[1].matches[0].source_ips[2]`.
        field: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has to be there and is not, or its kind is not known here.
    #[error("missing, or of a kind not known here")]
    Missing,
    /// It has to say something.
    #[error("the text is empty")]
    EmptyText,
    /// A number that stands for nothing.
    #[error("the value {0} is not known here")]
    UnknownValue(i32),
    /// Bytes that are not an IP address.
    #[error("an address has 4 or 16 bytes, not {0}")]
    AddressLength(usize),
    /// A prefix that is longer than its address.
    #[error("a prefix of {length} bits is longer than the address of {most} bits")]
    PrefixLength {
        /// The length given.
        length: u32,
        /// The longest there can be.
        most: u8,
    },
    /// A block of everything that is written as the block of one address: its length got lost.
    #[error("the prefix length is missing; a block of all addresses is written with the address of zeros")]
    NoPrefixLength,
    /// A field nobody here has heard of.
    #[error("not known here; the control plane is newer than this node, or of another kind")]
    UnknownField,
    /// A block where one address belongs.
    #[error("a single address is needed, not a block with a prefix of {0} bits")]
    Block(u8),
    /// A number beyond 16 bits.
    #[error("{0} is not a port; ports end at 65535")]
    Port(u32),
    /// A key of something without a namespace.
    #[error("`{0}` is not a key; keys read `<namespace>/<hostname>`")]
    Key(String),
}

impl Invalid {
    /// Gives the error with its causes as one line, for peers and files that take one text.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// A field on its way out of a message: each level puts itself in front.
#[derive(Debug)]
pub(crate) struct Fault {
    field: String,
    problem: Problem,
}

impl Fault {
    /// Gives the fault of one field.
    pub(crate) fn new(field: &str, problem: Problem) -> Self {
        Self { field: field.to_owned(), problem }
    }

    /// Puts an outer field in front.
    pub(crate) fn under(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), problem: self.problem }
    }
}

impl From<Fault> for Invalid {
    fn from(Fault { field, problem }: Fault) -> Self {
        Self::Field { field, problem }
    }
}

/// Names the field a problem is with, or the outer field a fault lies in.
pub(crate) trait Within<T> {
    /// Names the field.
    fn within(self, field: &str) -> Result<T, Fault>;
}

impl<T> Within<T> for Result<T, Problem> {
    fn within(self, field: &str) -> Result<T, Fault> {
        self.map_err(|problem| Fault::new(field, problem))
    }
}

impl<T> Within<T> for Result<T, Fault> {
    fn within(self, field: &str) -> Self {
        self.map_err(|fault| fault.under(field))
    }
}

/// Converts each item of a list; the place of one that fails is named.
pub(crate) fn each<T, U, E, C: FromIterator<U>>(
    field: &str,
    items: &[T],
    mut convert: impl FnMut(&T) -> Result<U, E>,
) -> Result<C, Fault>
where
    Result<U, E>: Within<U>,
{
    let item = |(index, item)| match convert(item) {
        Ok(converted) => Ok(converted),
        failed @ Err(_) => failed.within(&format!("{field}[{index}]")),
    };
    items.iter().enumerate().map(item).collect()
}

/// Gives the enum a number stands for.
pub(crate) fn known<E: TryFrom<i32>>(value: i32) -> Result<E, Problem> {
    E::try_from(value).map_err(|_| Problem::UnknownValue(value))
}
