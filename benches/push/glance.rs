//! Messages as they are on the wire: requests are sent as bytes that were made once, and of responses no more is looked at than how
//! much they say.

use bytes::{Buf, BufMut as _, Bytes};
use prost::encoding::{decode_key, decode_varint};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Fields of `DeltaDiscoveryResponse`.
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;
const REMOVED: u32 = 6;

/// What is seen of a response.
#[derive(Debug, Default)]
pub(super) struct Glance {
    pub(super) type_url: String,
    pub(super) nonce: String,
    /// Resources and names of removed ones.
    pub(super) items: usize,
}

/// Bytes out, glances in.
#[derive(Debug, Default)]
pub(super) struct Glancing;

impl Codec for Glancing {
    type Encode = Bytes;
    type Decode = Glance;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Glancing {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Glancing {
    type Item = Glance;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Glance>, Status> {
        glance(buf).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// All fields of the message are texts or messages, which have a length.
fn glance(buf: &mut impl Buf) -> Result<Glance, prost::DecodeError> {
    let mut seen = Glance::default();
    while buf.has_remaining() {
        let (field, _) = decode_key(buf)?;
        let length = usize::try_from(decode_varint(buf)?).unwrap_or(usize::MAX).min(buf.remaining());
        match field {
            TYPE_URL => seen.type_url = text(buf, length),
            NONCE => seen.nonce = text(buf, length),
            RESOURCES | REMOVED => {
                seen.items += 1;
                buf.advance(length);
            }
            _ => buf.advance(length),
        }
    }
    Ok(seen)
}

fn text(buf: &mut impl Buf, length: usize) -> String {
    String::from_utf8_lossy(&buf.copy_to_bytes(length)).into_owned()
}

#[cfg(test)]
mod tests {
    use culvert_proto::xds::{DeltaDiscoveryResponse, Resource};
    use prost::Message as _;

    use super::*;

    #[test]
    fn what_is_counted_is_what_was_said() {
        let response = DeltaDiscoveryResponse {
            system_version_info: "7".into(),
            resources: vec![Resource { name: "one".into(), ..Resource::default() }; 3],
            removed_resources: vec!["two".into()],
            type_url: "of a type".into(),
            nonce: "a7".into(),
        };
        let seen = glance(&mut &*response.encode_to_vec()).unwrap();
        assert_eq!((seen.items, &*seen.type_url, &*seen.nonce), (4, "of a type", "a7"));
    }
}
