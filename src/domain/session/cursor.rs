//! Where a reader of a listing has been. Its text is for the reader to keep and give back, and says
//! nothing that programs should read.

use std::{fmt, str::FromStr};

/// The place after which the next page begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cursor {
    /// In a listing whose newest comes first: after this number.
    Newest(i64),
    /// In a listing whose best comes first: after this rank, and this number among those of the rank.
    Best {
        /// How well it fits.
        rank: f32,
        /// Its number.
        number: i64,
    },
}

/// A text that is no cursor of such a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no cursor of such a listing; send the `next_cursor` of the page before, with the same filter"
)]
pub struct NoCursor;

/// Kind, rank, number, sum.
const LENGTH: usize = 1 + 4 + 8 + 4;

impl Cursor {
    /// The number, if it is a cursor of a listing whose newest comes first.
    ///
    /// # Errors
    ///
    /// [`NoCursor`] if it is another's.
    pub fn newest(self) -> Result<i64, NoCursor> {
        if let Self::Newest(number) = self { Ok(number) } else { Err(NoCursor) }
    }

    /// The rank and the number, if it is a cursor of a listing whose best comes first.
    ///
    /// # Errors
    ///
    /// [`NoCursor`] if it is another's.
    pub fn best(self) -> Result<(f32, i64), NoCursor> {
        if let Self::Best { rank, number } = self { Ok((rank, number)) } else { Err(NoCursor) }
    }
}

/// A sum that a typing mistake, or a cursor that somebody made up, does not have.
fn sum(bytes: &[u8]) -> [u8; 4] {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in b"hostler cursor 1".iter().chain(bytes) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash.to_be_bytes()
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, rank, number) = match self {
            Self::Newest(number) => (1, 0, number),
            Self::Best { rank, number } => (2, rank.to_bits(), number),
        };
        let mut bytes = vec![kind];
        bytes.extend(rank.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend(sum(&bytes));
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        if text.len() != 2 * LENGTH || !text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(NoCursor);
        }
        let mut bytes = [0; LENGTH];
        for (nth, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * nth..2 * nth + 2], 16).map_err(|_| NoCursor)?;
        }
        let (said, its_sum) = bytes.split_at(LENGTH - 4);
        if sum(said) != its_sum {
            return Err(NoCursor);
        }
        let number = i64::from_be_bytes(said[5..].try_into().map_err(|_| NoCursor)?);
        let rank = f32::from_bits(u32::from_be_bytes(said[1..5].try_into().map_err(|_| NoCursor)?));
        match said[0] {
            // Minus nothing would be written otherwise.
            1 if rank.to_bits() == 0 => Ok(Self::Newest(number)),
            2 if rank.is_finite() => Ok(Self::Best { rank, number }),
            _ => Err(NoCursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_written_in_one_way_alone() {
        let mut bytes = vec![1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        bytes.extend(sum(&bytes));
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "minus nothing as its rank");
    }
}
