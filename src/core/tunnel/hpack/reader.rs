//! The two things header blocks are made of: integers (RFC 7541 §5.1) and runs of bytes.

use super::Error;

/// What is left of a header block.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { left: block }
    }

    /// The byte that comes next; `None` at the end of the block.
    pub(super) fn peek(&self) -> Option<u8> {
        self.left.first().copied()
    }

    /// Reads an integer that begins in the low `prefix` bits of the next byte.
    pub(super) fn integer(&mut self, prefix: u32) -> Result<usize, Error> {
        let full = u8::MAX >> (8 - prefix);
        let first = self.byte()? & full;
        if first < full {
            return Ok(first.into());
        }
        let mut value = u64::from(full);
        // Five bytes of seven bits are enough for 32 bits. More of them could only be zeros.
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| Error::Integer)?;
                return usize::try_from(value).map_err(|_| Error::Integer);
            }
        }
        Err(Error::Integer)
    }

    /// Reads the next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (bytes, left) = self.left.split_at_checked(length).ok_or(Error::Truncated)?;
        self.left = left;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let (&byte, left) = self.left.split_first().ok_or(Error::Truncated)?;
        self.left = left;
        Ok(byte)
    }
}
