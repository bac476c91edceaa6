//! Contents of chunks and artifacts: written and read in pieces, however large they are.

use std::future::ready;

use bytes::{Bytes, BytesMut};
use deadpool_postgres::GenericClient;
use futures_util::{Stream, StreamExt, stream};

use super::{SessionError, Sessions, deeds, reads};
use crate::{
    domain::session::{ItemName, NewArtifact, NewChunk, SessionId, pieces},
    store::{
        StoreError,
        sessions::contents::{self as texts, Item},
    },
};

/// How many pieces are written or read at a time: about a megabyte.
const AT_A_TIME: u32 = 16;

/// How much of a content gathers before it is cut into pieces, in bytes.
const GATHERED: usize = 1 << 20;

/// Something whose content follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Upload {
    /// A chunk; what it has as content is not looked at.
    Chunk(Box<NewChunk>),
    /// An artifact; what it has as content is not looked at.
    Artifact(Box<NewArtifact>),
}

/// Writes the content of an item that has none yet.
pub(super) async fn write(
    db: &impl GenericClient,
    item: Item,
    content: &str,
) -> Result<(), StoreError> {
    let pieces = pieces(content);
    let mut first = 0_i32;
    for some in pieces.chunks(AT_A_TIME as usize) {
        texts::add(db, item, first, some).await?;
        first += i32::try_from(some.len()).unwrap_or(i32::MAX);
    }
    Ok(())
}

/// The whole content of an item.
pub(super) async fn whole(db: &impl GenericClient, number: i64) -> Result<String, StoreError> {
    let (mut content, mut first) = (String::new(), 0_i32);
    loop {
        let some = texts::read(db, number, first, AT_A_TIME).await?;
        let count = some.len();
        content.extend(some);
        if count < AT_A_TIME as usize {
            return Ok(content);
        }
        first += i32::try_from(count).unwrap_or(i32::MAX);
    }
}

impl Sessions {
    /// Keeps a chunk or an artifact whose content arrives piece by piece; returns how many bytes that
    /// were, and whether it was made. Nothing is kept unless all of it arrives.
    ///
    /// # Errors
    ///
    /// Those of the content; [`SessionError::Invalid`] if it is no UTF-8, or has a U+0000.
    pub async fn upload<E: From<SessionError>>(
        &self,
        session: &SessionId,
        what: Upload,
        mut content: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(u64, bool), E> {
        let kept = self.store.transact_for(async |db| {
            let no = deeds::hold(db, session).await.map_err(Failed::Ours)?;
            let (item, created) = match &what {
                Upload::Chunk(chunk) => texts::put_chunk(db, no, chunk).await?,
                Upload::Artifact(artifact) => texts::put_artifact(db, no, artifact).await?,
            };
            let (mut gathered, mut first, mut size) = (BytesMut::new(), 0_i32, 0_u64);
            loop {
                let more = content.next().await.transpose().map_err(Failed::Content)?;
                let is_end = more.is_none();
                if let Some(more) = more {
                    size += more.len() as u64;
                    gathered.extend_from_slice(&more);
                }
                if gathered.len() >= GATHERED || is_end {
                    let text = utf8(&gathered, is_end).map_err(Failed::Ours)?;
                    let pieces = pieces(text);
                    if !pieces.is_empty() {
                        texts::add(db, item, first, &pieces).await?;
                        first += i32::try_from(pieces.len()).unwrap_or(i32::MAX);
                    }
                    let taken = text.len();
                    gathered = gathered.split_off(taken);
                }
                if is_end {
                    texts::set_size(db, item, size).await?;
                    return Ok((size, created));
                }
            }
        });
        kept.await.map_err(|failed| match failed {
            Failed::Ours(error) => E::from(error),
            Failed::Content(error) => error,
        })
    }

    /// The content of a chunk, piece by piece.
    ///
    /// # Errors
    ///
    /// [`SessionError::UnknownSession`], [`SessionError::Unknown`].
    pub async fn chunk_content(
        &self,
        session: &SessionId,
        name: &ItemName,
    ) -> Result<impl Stream<Item = Result<Bytes, SessionError>> + use<>, SessionError> {
        let (number, _) = reads::chunk_alone(&self.store.client().await?, session, name).await?;
        Ok(self.content(number))
    }

    /// The content of an artifact, piece by piece.
    ///
    /// # Errors
    ///
    /// As [`Sessions::chunk_content`].
    pub async fn artifact_content(
        &self,
        session: &SessionId,
        name: &ItemName,
    ) -> Result<impl Stream<Item = Result<Bytes, SessionError>> + use<>, SessionError> {
        let (number, _) = reads::artifact_alone(&self.store.client().await?, session, name).await?;
        Ok(self.content(number))
    }

    /// The content of an item, piece by piece. No connection is held while nobody reads.
    pub(super) fn content(
        &self,
        number: i64,
    ) -> impl Stream<Item = Result<Bytes, SessionError>> + use<> {
        let store = self.store.clone();
        let pages = stream::try_unfold(Some(0_i32), move |first| {
            let store = store.clone();
            async move {
                let Some(first) = first else { return Ok::<_, SessionError>(None) };
                let db = store.client().await?;
                let some = texts::read(&db, number, first, AT_A_TIME).await?;
                let count = i32::try_from(some.len()).unwrap_or(i32::MAX);
                let next = (some.len() == AT_A_TIME as usize).then_some(first + count);
                Ok(Some((Bytes::from(some.concat()), next)))
            }
        });
        pages.filter(|page| ready(!matches!(page, Ok(bytes) if bytes.is_empty())))
    }
}

/// Why a content was not kept.
enum Failed<E> {
    /// It did not arrive.
    Content(E),
    /// It can't be kept.
    Ours(SessionError),
}

impl<E> From<StoreError> for Failed<E> {
    fn from(error: StoreError) -> Self {
        Self::Ours(error.into())
    }
}

/// The text at the beginning of `bytes`; a character that has not arrived as a whole waits for the rest.
fn utf8(bytes: &[u8], is_end: bool) -> Result<&str, SessionError> {
    let wrong = |detail: &str| SessionError::Invalid {
        field: "content".to_owned(),
        detail: detail.to_owned(),
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && !is_end => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Err(wrong("must be text in UTF-8")),
    };
    if text.contains('\0') {
        return Err(wrong("has the character U+0000, which Postgres can't store"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_cut_waits_for_its_rest() {
        let bytes = "aä".as_bytes();
        assert_eq!(utf8(&bytes[..2], false).unwrap(), "a");
        assert_eq!(utf8(bytes, true).unwrap(), "aä");
        assert!(utf8(&bytes[..2], true).is_err());
        assert!(utf8(b"a\xff", false).is_err());
        assert!(utf8(b"a\0", true).is_err());
    }
}
