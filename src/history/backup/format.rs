//! The file: lines of text, compressed with gzip, so that a person can read it with `zcat`.
//!
//! ```text
//! {"hostler_backup":1,"program":"0.1.0","schema":5,"made_at":"...","tables":["tasks"],"sequences":[]}
//! {"table":"tasks","columns":["id","queue"]}
//! 0198...  default                         a row, as COPY writes it: never the line `\.`
//! \.
//! {"end":"tasks","rows":1,"sum":"..."}
//! {"complete":true,"rows":1}
//! ```

use std::{
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    BackupError, PIECE,
    digest::{Digest, Sum},
};
use crate::store::copy::Sequence;

/// The version of the format.
const FORMAT: u32 = 1;
/// What ends the rows of a table.
const END: &[u8] = b"\\.\n";
/// The longest line that is no row.
const MAX_LINE: u64 = 16 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub hostler_backup: u32,
    /// The version of the program that made it.
    pub program: String,
    /// The version of the schema.
    pub schema: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// The tables that follow.
    pub tables: Vec<String>,
    /// How far the sequences had counted.
    pub sequences: Vec<Sequence>,
}

impl Header {
    /// That of a backup that is made now.
    pub fn new(schema: u32, tables: Vec<String>, sequences: Vec<Sequence>) -> Self {
        let (program, made_at) = (env!("CARGO_PKG_VERSION").to_owned(), Timestamp::now());
        Self { hostler_backup: FORMAT, program, schema, made_at, tables, sequences }
    }
}

/// The line before the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHead {
    /// Its name.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// The line after the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The table.
    #[serde(rename = "end")]
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: Sum,
}

impl Summary {
    /// That of a table with these rows.
    pub fn of(table: &str, digest: &Digest) -> Self {
        Self { table: table.to_owned(), rows: digest.rows, sum: digest.sum() }
    }
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct Complete {
    complete: bool,
    rows: u64,
}

/// Writes a backup.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    rows: u64,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// Those of `to`, here and below.
    pub fn new(mut to: W, header: &Header) -> io::Result<Self> {
        write_line(&mut to, header)?;
        Ok(Self { to, rows: 0 })
    }

    /// Begins a table.
    ///
    /// # Errors
    ///
    /// See [`Writer::new`].
    pub fn begin(&mut self, head: &TableHead) -> io::Result<()> {
        write_line(&mut self.to, head)
    }

    /// Writes rows: whole lines.
    ///
    /// # Errors
    ///
    /// See [`Writer::new`].
    pub fn rows(&mut self, lines: &[u8]) -> io::Result<()> {
        self.to.write_all(lines)
    }

    /// Ends a table.
    ///
    /// # Errors
    ///
    /// See [`Writer::new`].
    pub fn end(&mut self, summary: &Summary) -> io::Result<()> {
        self.rows += summary.rows;
        self.to.write_all(END)?;
        write_line(&mut self.to, summary)
    }

    /// Ends the backup, and gives back where it was written to.
    ///
    /// # Errors
    ///
    /// See [`Writer::new`].
    pub fn finish(mut self) -> io::Result<W> {
        write_line(&mut self.to, &Complete { complete: true, rows: self.rows })?;
        Ok(self.to)
    }
}

fn write_line(to: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text)
}

/// Reads a backup, and compares its checksums on the way.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    path: PathBuf,
    header: Header,
    table: Option<String>,
    /// The rows of the table have been read.
    at_end: bool,
    digest: Digest,
    rows: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header; `path` is for errors.
    ///
    /// # Errors
    ///
    /// [`BackupError::NotABackup`].
    pub fn new(mut from: R, path: &Path) -> Result<Self, BackupError> {
        let not_ours = |problem: String| BackupError::NotABackup { path: path.to_owned(), problem };
        let mut line = Vec::new();
        Read::take(&mut from, MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| not_ours(format!("it cannot be read as gzip ({error})")))?;
        let header: Header = serde_json::from_slice(&line)
            .map_err(|_| not_ours("its first line is not that of one".to_owned()))?;
        if header.hostler_backup != FORMAT {
            let found = header.hostler_backup;
            return Err(not_ours(format!(
                "its format is {found}, and this program knows {FORMAT}"
            )));
        }
        let path = path.to_owned();
        Ok(Self {
            from,
            path,
            header,
            table: None,
            at_end: false,
            digest: Digest::default(),
            rows: 0,
        })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next table, or none after the last one.
    ///
    /// # Errors
    ///
    /// [`BackupError::Damaged`].
    pub fn next_table(&mut self) -> Result<Option<TableHead>, BackupError> {
        let line = self.line()?;
        if let Ok(Complete { complete: true, rows }) = serde_json::from_slice(&line) {
            if rows != self.rows {
                return Err(self.damaged("it says that it has another number of rows"));
            }
            // What gzip says of the whole is checked at its end.
            let mut rest = Vec::new();
            let read = Read::take(&mut self.from, 1).read_to_end(&mut rest);
            return match read {
                Ok(0) => Ok(None),
                Ok(_) => Err(self.damaged("something follows its end")),
                Err(error) => Err(self.damaged(&error.to_string())),
            };
        }
        let head: TableHead = self.parsed(&line)?;
        (self.table, self.digest) = (Some(head.table.clone()), Digest::default());
        Ok(Some(head))
    }

    /// Some of the rows of the table, in whole lines; none after the last one.
    ///
    /// # Errors
    ///
    /// [`BackupError::Damaged`].
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, BackupError> {
        let mut piece = Vec::with_capacity(PIECE);
        while !self.at_end && piece.len() < PIECE / 2 {
            let begin = piece.len();
            let read = self.from.read_until(b'\n', &mut piece);
            read.map_err(|error| self.damaged(&error.to_string()))?;
            match piece.get(begin..).and_then(|line| line.split_last()) {
                Some((b'\n', _)) if piece.ends_with(END) && piece.len() == begin + END.len() => {
                    piece.truncate(begin);
                    self.at_end = true;
                }
                Some((b'\n', row)) => self.digest.add(row),
                _ => return Err(self.damaged("it ends too early")),
            }
        }
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// What the table came to, after the last of its rows.
    ///
    /// # Errors
    ///
    /// [`BackupError::Damaged`], also where the rows were not those that were written.
    pub fn summary(&mut self) -> Result<Summary, BackupError> {
        let line = self.line()?;
        let said: Summary = self.parsed(&line)?;
        let found = Summary::of(self.table.as_deref().unwrap_or_default(), &self.digest);
        if said != found {
            return Err(self.damaged("its rows are not those that its checksum was made of"));
        }
        self.rows += said.rows;
        (self.table, self.at_end) = (None, false);
        Ok(said)
    }

    /// A line that is no row.
    fn line(&mut self) -> Result<Vec<u8>, BackupError> {
        let mut line = Vec::new();
        let read = Read::take(&mut self.from, MAX_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| self.damaged(&error.to_string()))?;
        if line.last() != Some(&b'\n') {
            return Err(self.damaged("it ends too early"));
        }
        Ok(line)
    }

    fn parsed<T: DeserializeOwned>(&self, line: &[u8]) -> Result<T, BackupError> {
        serde_json::from_slice(line).map_err(|_| self.damaged("a line makes no sense"))
    }

    fn damaged(&self, problem: &str) -> BackupError {
        let problem = match &self.table {
            Some(table) => format!("table `{table}`: {problem}"),
            None => problem.to_owned(),
        };
        BackupError::Damaged { path: self.path.clone(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(rows: &[&str]) -> Vec<u8> {
        let header = Header::new(7, vec!["t".to_owned()], Vec::new());
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        let mut digest = Digest::default();
        let head = TableHead { table: "t".to_owned(), columns: vec!["a".to_owned()] };
        writer.begin(&head).unwrap();
        for row in rows {
            digest.add(row.as_bytes());
            writer.rows(format!("{row}\n").as_bytes()).unwrap();
        }
        writer.end(&Summary::of("t", &digest)).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, BackupError> {
        let mut reader = Reader::new(bytes, Path::new("f"))?;
        let mut rows = Vec::new();
        while reader.next_table()?.is_some() {
            while let Some(piece) = reader.next_piece()? {
                rows.extend_from_slice(&piece);
            }
            reader.summary()?;
        }
        Ok(rows)
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(PIECE);
        let tables: [&[&str]; 4] =
            [&[], &["1\t\\N"], &["{\"end\":1}", "\\\\."], &[&long, "", &long]];
        for rows in tables {
            let mut wanted: Vec<u8> = Vec::new();
            rows.iter().for_each(|row| wanted.extend(format!("{row}\n").bytes()));
            assert!(read(&written(rows)).unwrap() == wanted, "{} rows", rows.len());
        }
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let whole = written(&["one\t1", "two\t2", "three\t3"]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut off at {end}");
        }
        // The header says nothing that could be checked.
        let begin = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for at in begin..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            let found = read(&other);
            let harmless = found.is_ok_and(|rows| rows == b"one\t1\ntwo\t2\nthree\t3\n");
            let in_columns = String::from_utf8_lossy(&other).contains("\"columns\":[\"a\"]");
            assert!(!harmless || !in_columns, "a changed byte at {at} was not seen");
        }
        let more = [whole.as_slice(), b"x"].concat();
        assert!(read(&more).unwrap_err().to_string().contains("follows its end"));
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "x", "{}\n", "{\"hostler_backup\":1}\n", "PGDMP"] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(matches!(error, BackupError::NotABackup { .. }), "{text}: {error}");
        }
        let newer = String::from_utf8(written(&[])).unwrap();
        let newer = newer.replace("\"hostler_backup\":1", "\"hostler_backup\":2");
        assert!(read(newer.as_bytes()).unwrap_err().to_string().contains("its format is 2"));
    }
}
