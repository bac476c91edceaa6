//! A checksum of the rows of a table, whatever their order.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How many rows, and the sum of their hashes: the same rows in another order have the same sum,
/// and any other rows have another, by all that chance allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    sum: u128,
}

impl Digest {
    /// Adds a row, in the form of `COPY`, without its line end.
    pub fn add(&mut self, row: &[u8]) {
        let hash: [u8; 32] = Sha256::digest(row).into();
        let (half, _) = hash.split_at(16);
        let half = half.iter().fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
        self.rows += 1;
        self.sum = self.sum.wrapping_add(half);
    }

    /// Adds the rows of a piece of whole lines.
    pub fn add_lines(&mut self, piece: &[u8]) {
        for row in piece.strip_suffix(b"\n").unwrap_or(piece).split(|byte| *byte == b'\n') {
            self.add(row);
        }
    }

    /// The sum as it is written down.
    pub fn sum(&self) -> Sum {
        Sum(self.sum)
    }
}

/// A sum of hashes: 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum(u128);

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.to_string()
    }
}

impl TryFrom<String> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&str]) -> Digest {
        let mut digest = Digest::default();
        for row in rows {
            digest.add(row.as_bytes());
        }
        digest
    }

    #[test]
    fn the_order_does_not_count_and_all_else_does() {
        assert_eq!(of(&["a\t1", "b\t2", "b\t2"]), of(&["b\t2", "a\t1", "b\t2"]));
        let others: [&[&str]; 5] = [
            &["a\t1", "b\t2"],
            &["a\t1", "b\t2", "b\t3"],
            &["a\t1", "", "b\t2"],
            &["a\t1b\t2"],
            &[],
        ];
        for other in others {
            assert_ne!(of(&["a\t1", "b\t2", "b\t2"]), of(other), "{other:?}");
        }
    }

    #[test]
    fn pieces_are_split_into_rows() {
        let mut digest = Digest::default();
        digest.add_lines(b"a\t1\nb\t2\n");
        digest.add_lines(b"\n");
        assert_eq!(digest, of(&["a\t1", "b\t2", ""]));
    }

    #[test]
    fn a_sum_is_written_as_it_is_read() {
        let sum = of(&["x"]).sum();
        assert_eq!(Sum::try_from(sum.to_string()), Ok(sum));
        assert_eq!(sum.to_string().len(), 32);
    }
}
