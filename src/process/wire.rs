//! What the host and the keeper say to each other: JSON messages, each after its length as four
//! bytes, little end first, over a unix stream socket.
//!
//! The host begins with [`Request::Hello`]; any other beginning, another version or a frame that
//! can't be read is answered with [`Notice::Refused`] and the end of the connection. The hello's answer
//! is followed by one [`Notice::Kept`] for each process that the keeper has. Requests are not answered
//! in step: an answer names the process that it is about, by the id that the host chose. The frames of
//! [`Notice::Spawned`] and [`Notice::Kept`] carry the host's pipe ends as `SCM_RIGHTS`.
//!
//! No version may change what two of different versions need to part: how a hello begins, what a
//! refusal looks like, and [`Request::Shutdown`], which is also taken in place of a hello.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Ended, Stdio};
use crate::domain::fleet::StopSignal;

/// The version of everything in this file.
pub const VERSION: u32 = 2;

/// The oldest version that a host of this one can still speak. The keeper is the one that stays, so it
/// chooses: its own, if that lies between the two.
pub const OLDEST: u32 = 2;

/// The longest frame, without its length: above what the kernel takes as argv and environment.
pub(crate) const MAX_FRAME: usize = 4 << 20;

/// Host to keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Must come first.
    Hello {
        version: u32,
        /// The oldest version that is spoken, too; absent: none but `version`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        oldest: Option<u32>,
    },
    /// Should this connection end, keep all processes so long from now for the next host. Without
    /// it the end of the connection ends them; so does the end of the time that an earlier host
    /// gave, until this host says another. Should the host say no other `unless_told_ms` from now, though
    /// it is there, it is frozen: all processes are ended then.
    Keep {
        ms: u64,
        #[serde(default)]
        unless_told_ms: Option<u64>,
    },
    /// Start a process.
    Spawn(Box<Order>),
    /// Signal the process group.
    Signal { id: u64, signal: StopSignal },
    /// SIGKILL the process group.
    Kill { id: u64 },
    /// Close the kept copy of the write end of its stdin: it is at its end once the host's is closed.
    CloseStdin { id: u64 },
    /// The end of this process need not be told to another host.
    Forget { id: u64 },
    /// End all processes, then yourself. With a grace they are asked to leave first, by SIGTERM.
    Shutdown {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ms: Option<u64>,
    },
}

/// A process to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    /// Whether no link may be in the path.
    #[serde(default)]
    pub(crate) pinned: bool,
    pub(crate) user: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
    pub(crate) note: String,
    /// Whether copies of the host's pipe ends are kept for the next host.
    pub(crate) keep_pipes: bool,
}

/// `domain::fleet::Limits` on the wire.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory: Option<u64>,
    pub(crate) open_files: Option<u64>,
    pub(crate) processes: Option<u64>,
    pub(crate) cpu_seconds: Option<u64>,
    pub(crate) file_size: Option<u64>,
    /// Of the control group, as are the next two.
    #[serde(default)]
    pub(crate) group_memory: Option<u64>,
    #[serde(default)]
    pub(crate) group_processes: Option<u64>,
    #[serde(default)]
    pub(crate) cpu_weight: Option<u64>,
}

/// Keeper to host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// The answer to a hello: who the keeper is, the number of this host among those that it served,
    /// and of how many processes it tells next.
    Hello { version: u32, instance: Uuid, pid: u32, last_id: u64, hosts: u64, kept: u64 },
    /// A process that a host before this started; with how it ended, where it has.
    Kept { id: u64, pid: u32, note: String, pipes: Vec<Stream>, ended: Option<Ended> },
    /// The connection ends, and why; `in_use` where another host has the keeper.
    Refused { reason: String, in_use: bool },
    /// Started; `pipes` names the descriptors that come with this frame, in order.
    Spawned { id: u64, pid: u32, pipes: Vec<Stream> },
    /// Not started; nothing of it is left.
    SpawnFailed { id: u64, failure: Failure },
    /// The process is over and reaped, and so is what it had forked away. The keeper knows it until
    /// it is told to forget it.
    Exited { id: u64, ended: Ended },
}

/// One of the three standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// Why a process was not started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    /// The errno, or 0 where the system was not asked.
    pub(crate) errno: i32,
    /// What it was about, for people: a path, a user.
    pub(crate) subject: String,
}

/// The steps of a start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Reading the order.
    Order,
    /// Opening a file or a pipe of a standard stream.
    Stdio,
    /// Making a process.
    Fork,
    /// Making its session, with no signal blocked.
    Session,
    /// Setting its limits.
    Limits,
    /// Changing to its user.
    User,
    /// Tying its life to the keeper's.
    Tie,
    /// Entering its working directory.
    Cwd,
    /// Running the command.
    Exec,
}

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// A length of zero, or above [`MAX_FRAME`].
    #[error("a frame of {0} bytes; the limit is {MAX_FRAME} and the least is 1")]
    Length(usize),
    /// Not JSON, or not a message of this protocol.
    #[error("a frame that is no message of protocol version {VERSION}: {0}")]
    Message(#[from] serde_json::Error),
}

/// One message as a frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::new();
    encode_into(&mut frame, message)?;
    Ok(frame)
}

/// Adds one message as a frame to `bytes`, or nothing.
pub(crate) fn encode_into<T: Serialize>(
    bytes: &mut Vec<u8>,
    message: &T,
) -> Result<(), FrameError> {
    let start = bytes.len();
    bytes.extend([0; 4]);
    let written = serde_json::to_writer(&mut *bytes, message).map_err(FrameError::from);
    let length = bytes.len() - start - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
    match written.and_then(|()| prefix.ok_or(FrameError::Length(length))) {
        Ok(prefix) => {
            bytes[start..start + 4].copy_from_slice(&prefix.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            bytes.truncate(start);
            Err(error)
        }
    }
}

/// A message as it is read from a frame.
pub(crate) trait Message: DeserializeOwned {
    /// Reads one. Those that each start and each end needs are read straight into what they hold: an enum
    /// whose tag is a field is else first read into a tree of values, which takes five times as long.
    fn read(frame: &[u8]) -> serde_json::Result<Self>;
}

impl Message for Request {
    fn read(frame: &[u8]) -> serde_json::Result<Self> {
        if frame.starts_with(br#"{"type":"spawn","#) {
            return serde_json::from_slice(frame).map(Self::Spawn);
        }
        serde_json::from_slice(frame)
    }
}

impl Message for Notice {
    fn read(frame: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Exited {
            id: u64,
            ended: Ended,
        }
        #[derive(Deserialize)]
        struct Spawned {
            id: u64,
            pid: u32,
            pipes: Vec<Stream>,
        }
        if frame.starts_with(br#"{"type":"exited","#) {
            let Exited { id, ended } = serde_json::from_slice(frame)?;
            return Ok(Self::Exited { id, ended });
        }
        if frame.starts_with(br#"{"type":"spawned","#) {
            let Spawned { id, pid, pipes } = serde_json::from_slice(frame)?;
            return Ok(Self::Spawned { id, pid, pipes });
        }
        serde_json::from_slice(frame)
    }
}

/// Turns bytes, as they arrive, into messages.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// Where the first frame that was not taken yet begins.
    at: usize,
}

impl Decoder {
    /// Takes bytes in.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether there is nothing that was not taken yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next message, where all of it is there. After an error the connection has no meaning.
    pub(crate) fn next<T: Message>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.at..];
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(FrameError::Length(length));
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let message = T::read(frame)?;
        self.at += 4 + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(id: u64) -> Vec<u8> {
        encode(&Request::Kill { id }).unwrap()
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let bytes = [kill(1), kill(u64::MAX), kill(3)].concat();
        for size in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut ids = Vec::new();
            for part in bytes.chunks(size) {
                decoder.feed(part);
                while let Some(message) = decoder.next().unwrap() {
                    let Request::Kill { id } = message else { panic!("{message:?}") };
                    ids.push(id);
                }
            }
            assert_eq!(ids, [1, u64::MAX, 3], "parts of {size}");
        }
    }

    /// What is read straight is what would have been read by its tag.
    #[test]
    fn what_comes_often_is_read_as_all_else() {
        fn both<T: Message + std::fmt::Debug>(message: &impl Serialize) -> String {
            let frame = serde_json::to_vec(message).unwrap();
            let (straight, by_tag) = (T::read(&frame), serde_json::from_slice::<T>(&frame));
            let straight = format!("{:?}", straight.unwrap());
            assert_eq!(straight, format!("{:?}", by_tag.unwrap()));
            straight
        }
        let ended =
            Ended { swept: 3, for_silence: true, exit: super::super::Exit::Code(7), ..Ended::LOST };
        let exited = both::<Notice>(&Notice::Exited { id: 5, ended });
        assert!(exited.contains("id: 5") && exited.contains("Code(7)"), "{exited}");
        let pipes = vec![Stream::Stdout, Stream::Stderr];
        let spawned = both::<Notice>(&Notice::Spawned { id: 6, pid: 77, pipes });
        assert!(spawned.contains("pid: 77, pipes: [Stdout, Stderr]"), "{spawned}");
        let order = Order {
            id: 9,
            argv: vec!["sleep".into(), "1".into()],
            env: [("A".into(), "\"b\"".into())].into(),
            cwd: "/tmp".into(),
            pinned: true,
            user: Some("nobody".into()),
            limits: Limits { memory: Some(4), ..Limits::default() },
            stdin: Stdio::Null,
            stdout: Stdio::Pipe,
            stderr: Stdio::File("/tmp/e".into()),
            note: "{}".into(),
            keep_pipes: true,
        };
        let spawn = both::<Request>(&Request::Spawn(Box::new(order)));
        assert!(spawn.starts_with("Spawn(Order { id: 9, argv: [\"sleep\", \"1\"]"), "{spawn}");
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_the_bytes_arrive() {
        for length in [0, u32::try_from(MAX_FRAME).unwrap() + 1, u32::MAX] {
            let mut decoder = Decoder::default();
            decoder.feed(&length.to_le_bytes());
            let error = decoder.next::<Request>().unwrap_err();
            assert!(matches!(error, FrameError::Length(_)), "{error}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_encoded() {
        let reason = "x".repeat(MAX_FRAME);
        let error = encode(&Notice::Refused { reason, in_use: false }).unwrap_err();
        assert!(matches!(error, FrameError::Length(_)), "{error}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in ["{", "null", r#"{"type":"dance"}"#, r#"{"type":"kill"}"#] {
            let mut decoder = Decoder::default();
            decoder.feed(&u32::try_from(text.len()).unwrap().to_le_bytes());
            decoder.feed(text.as_bytes());
            let error = decoder.next::<Request>().unwrap_err();
            assert!(matches!(error, FrameError::Message(_)), "{text}: {error}");
        }
    }
}
