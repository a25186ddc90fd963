//! Reader of the protobuf wire format over borrowed bytes.
//!
//! Follows what the protobuf runtimes accept: varints of at most ten bytes, tags of at most five, lengths that fit
//! the rest of the message, groups only as unknown fields and properly closed. Nothing here allocates or recurses.

/// Why bytes are not a protobuf message. The text completes the sentence "the body is malformed: ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

const TRUNCATED: Malformed = Malformed("it ends in the middle of a field");
const VARINT: Malformed = Malformed("it holds a varint of more than ten bytes");
const TAG: Malformed = Malformed("it holds a field tag that is not valid");
const LENGTH: Malformed = Malformed("it holds a field longer than the message around it");
const GROUP: Malformed = Malformed("it holds a group that does not close where it should");

/// Groups nested deeper than this are refused, as protobuf's default limit does.
const MAX_GROUPS: usize = 100;

pub const VARINT_TYPE: u32 = 0;
pub const FIXED64_TYPE: u32 = 1;
pub const BYTES_TYPE: u32 = 2;
const GROUP_TYPE: u32 = 3;
const END_GROUP_TYPE: u32 = 4;
const FIXED32_TYPE: u32 = 5;

/// Tag of a varint field.
pub const fn varint(field: u32) -> u32 {
    field << 3 | VARINT_TYPE
}

/// Tag of a fixed64 or double field.
pub const fn fixed64(field: u32) -> u32 {
    field << 3 | FIXED64_TYPE
}

/// Tag of a fixed32 field.
pub const fn fixed32(field: u32) -> u32 {
    field << 3 | FIXED32_TYPE
}

/// Tag of a string, bytes or message field.
pub const fn bytes(field: u32) -> u32 {
    field << 3 | BYTES_TYPE
}

/// The payload of the field a message begins with, and what comes after it, if that field has this tag, of one byte, and
/// less than 128 bytes.
#[inline]
pub fn short(message: &[u8], tag: u32) -> Option<(&[u8], &[u8])> {
    match message {
        [first, length, rest @ ..] if u32::from(*first) == tag && *length < 0x80 => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// What is left of a message.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's tag (field number and wire type together), `None` at the end of the message.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<u32>, Malformed> {
        match self.rest {
            [] => Ok(None),
            // Fields 1 to 15: one byte. Field number 0 does not exist.
            [byte, rest @ ..] if *byte < 0x80 => {
                if *byte < 8 {
                    return Err(TAG);
                }
                self.rest = rest;
                Ok(Some(u32::from(*byte)))
            }
            _ => self.long_tag().map(Some),
        }
    }

    #[cold]
    fn long_tag(&mut self) -> Result<u32, Malformed> {
        let before = self.rest.len();
        let value = self.varint()?;
        if before - self.rest.len() > 5 {
            return Err(TAG);
        }
        match u32::try_from(value) {
            Ok(tag) if tag >= 8 => Ok(tag),
            _ => Err(TAG),
        }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { TRUNCATED } else { VARINT })
    }

    /// The payload of a length-delimited field.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let before = self.rest.len();
        let length = usize::try_from(self.varint()?).map_err(|_| LENGTH)?;
        // Protobuf reads lengths, like tags, from five bytes at most.
        if before - self.rest.len() > 5 {
            return Err(LENGTH);
        }
        let (head, rest) = self.rest.split_at_checked(length).ok_or(LENGTH)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<8>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    pub fn fixed32(&mut self) -> Result<u32, Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// Steps over a field nobody asked for.
    pub fn skip(&mut self, tag: u32) -> Result<(), Malformed> {
        match tag & 7 {
            GROUP_TYPE => self.skip_group(tag >> 3),
            _ => self.skip_plain(tag),
        }
    }

    fn skip_plain(&mut self, tag: u32) -> Result<(), Malformed> {
        match tag & 7 {
            VARINT_TYPE => self.varint().map(drop),
            FIXED64_TYPE => self.fixed64().map(drop),
            BYTES_TYPE => self.bytes().map(drop),
            FIXED32_TYPE => self.fixed32().map(drop),
            END_GROUP_TYPE => Err(GROUP),
            _ => Err(TAG),
        }
    }

    fn skip_group(&mut self, field: u32) -> Result<(), Malformed> {
        let mut open = vec![field];
        while let Some(innermost) = open.last() {
            let tag = self.tag()?.ok_or(GROUP)?;
            match tag & 7 {
                GROUP_TYPE if open.len() >= MAX_GROUPS => return Err(GROUP),
                GROUP_TYPE => open.push(tag >> 3),
                END_GROUP_TYPE if tag >> 3 == *innermost => {
                    open.pop();
                }
                _ => self.skip_plain(tag)?,
            }
        }
        Ok(())
    }
}
