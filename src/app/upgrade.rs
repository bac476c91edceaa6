//! Another program takes the place of this one, in the same process: the agents go on.
//!
//! The program is tried first: it must say what it is, and read the settings of this host. Then this
//! host hands over as one that dies would leave things, but in order: it claims no more, reads what its
//! workers are just saying to the end of the line, and writes every outcome that it has heard. The keeper keeps the agents,
//! as it does for any next host, and `exec` replaces the program. The process stays the same, so whoever
//! watches it (systemd, a shell) notices nothing.
//!
//! If the new program can't start its host, it puts the old one back, which it was handed as an open
//! file, with the arguments and the environment that it had; that one says so. The keeper keeps the agents for as long as the lease allows.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt as _, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    domain::{
        record::UpgradeRecord,
        upgrade::{self, Plan, Traits},
    },
    http::UpgradeRefused,
    process::{self, KEEPER_PROTOCOL, OLDEST_KEEPER_PROTOCOL},
    store::migrate,
};

/// How the program that takes over learns what it is to do.
const VARIABLE: &str = "HOSTLER_HANDED_OVER";

/// How long a program may take to say what it is.
const SPEAKS_WITHIN: Duration = Duration::from_secs(20);

/// What this program says of itself.
pub fn traits() -> Traits {
    Traits {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: migrate::KNOWN,
        keeper: KEEPER_PROTOCOL,
        keeper_oldest: Some(OLDEST_KEEPER_PROTOCOL),
    }
}

/// An upgrade that was found to be possible.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) program: PathBuf,
    pub(super) plan: Plan,
}

/// The word to make it, and whoever hears that it is taken.
pub(super) type Order = (Wanted, oneshot::Sender<()>);

/// Asks a running host for an upgrade.
#[derive(Clone)]
pub(super) struct Upgrades(mpsc::Sender<Order>);

/// Where a running host hears of it.
pub(super) type Asked = mpsc::Receiver<Order>;

impl Upgrades {
    pub(super) fn new() -> (Self, Asked) {
        let (send, asked) = mpsc::channel(1);
        (Self(send), asked)
    }

    /// Tries the program, and has the host hand over to it soon after this answers.
    pub(super) async fn ask(self, program: PathBuf) -> Result<Plan, UpgradeRefused> {
        let new = examine(&program).await.map_err(UpgradeRefused)?;
        let plan = upgrade::plan(&traits(), &new).map_err(UpgradeRefused)?;
        let (taken, is_taken) = oneshot::channel();
        let wanted = Wanted { program, plan: plan.clone() };
        let ending = || UpgradeRefused("the host is ending, or hands over already".to_owned());
        self.0.try_send((wanted, taken)).map_err(|_| ending())?;
        is_taken.await.map_err(|_| ending())?;
        Ok(plan)
    }
}

/// Asks a program what it is, and whether it can read the settings of this host.
async fn examine(program: &Path) -> Result<Traits, String> {
    let shown = program.display();
    let mut ask = tokio::process::Command::new(program);
    ask.args(arguments()).arg("--probe").stdin(std::process::Stdio::null()).kill_on_drop(true);
    ask.env_remove(VARIABLE);
    let output = match tokio::time::timeout(SPEAKS_WITHIN, ask.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{shown} can't be run: {error}")),
        Err(_) => return Err(format!("{shown} did not say what it is: is it hostler?")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let said = said.trim();
        return Err(format!("{shown} can't take over ({}): {said}", output.status));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{shown} did not say what it is ({error}): is it hostler?"))
}

/// The arguments of this process.
fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1)
}

/// What one program leaves to the next.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Word {
    /// The version before.
    from: String,
    /// The program before, as an open file, to put it back.
    back: Option<RawFd>,
    /// What it was started with, as an open file: the program that takes over may be started otherwise.
    #[serde(default)]
    call: Option<RawFd>,
    /// Why the program that was to take over did not.
    failed: Option<String>,
    /// Somebody asked for a stop meanwhile: whoever takes over ends the agents in order.
    #[serde(default)]
    stop: bool,
}

impl Word {
    /// To the program that takes this one's place again.
    fn failed(reason: &str, stop: bool) -> Self {
        let from = env!("CARGO_PKG_VERSION").to_owned();
        Self { from, failed: Some(reason.to_owned()), stop, ..Self::default() }
    }
}

/// What the program before this left, if this took its place.
#[derive(Debug, Default)]
pub(super) struct Handed {
    word: Option<Word>,
    back: Option<(OwnedFd, Call)>,
}

/// What a program is started with.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    /// Its name first.
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Call {
    /// Of this process.
    fn own() -> Self {
        Self { args: std::env::args_os().collect(), env: std::env::vars_os().collect() }
    }

    /// As one text that [`Call::read`] reads: each word with a NUL behind it, their number first.
    fn bytes(&self) -> Vec<u8> {
        let count = OsString::from(self.args.len().to_string());
        let mut text = Vec::new();
        for word in [&count].into_iter().chain(&self.args) {
            text.extend_from_slice(word.as_bytes());
            text.push(0);
        }
        for (name, value) in &self.env {
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
            text.push(0);
        }
        text
    }

    fn read(text: &[u8]) -> Option<Self> {
        let mut words = text.strip_suffix(&[0])?.split(|byte| *byte == 0);
        let count: usize = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let owned = |word: &[u8]| OsStr::from_bytes(word).to_owned();
        let args: Vec<_> = words.by_ref().take(count).map(owned).collect();
        let env = words.map(|word| {
            let at = word.iter().position(|byte| *byte == b'=')?;
            Some((owned(&word[..at]), owned(&word[at + 1..])))
        });
        Some(Self { env: env.collect::<Option<_>>()?, args })
            .filter(|call| call.args.len() == count)
    }

    /// Keeps it where the program that comes next in this process can read it, and nobody else.
    fn keep(&self) -> io::Result<File> {
        let mut file = File::from(memfd_create(c"hostler-call", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&self.bytes())?;
        process::hand_on(&file)?;
        Ok(file)
    }

    /// What was kept.
    fn kept(file: OwnedFd) -> Option<Self> {
        let (mut file, mut text) = (File::from(file), Vec::new());
        file.rewind().ok()?;
        file.read_to_end(&mut text).ok()?;
        Self::read(&text)
    }
}

impl Handed {
    /// Takes it. To be called once, before anything is opened.
    pub(super) fn take(text: Option<&String>) -> Self {
        let word: Option<Word> = text.and_then(|text| serde_json::from_str(text).ok());
        let back = word.as_ref().and_then(|word| process::take(word.back?));
        let call = word.as_ref().and_then(|word| Call::kept(process::take(word.call?)?));
        let back = back.map(|back| (back, call.unwrap_or_else(Call::own)));
        Self { word, back }
    }

    /// The host is up: the program before is not needed any more.
    pub(super) fn settle(&mut self) {
        self.back = None;
    }

    /// Whether somebody asked for a stop while the program before handed over.
    pub(super) fn is_to_stop(&self) -> bool {
        self.word.as_ref().is_some_and(|word| word.stop)
    }

    /// What is told of it.
    pub(super) fn record(&self) -> Option<UpgradeRecord> {
        let word = self.word.clone()?;
        Some(UpgradeRecord { from: word.from, failed: word.failed })
    }

    /// This host could not be started, for this reason: the program before takes its place again, as it
    /// was started itself. Comes back where there is none, or where it can't.
    pub(super) fn give_back(&mut self, reason: &str) {
        let Some((program, call)) = self.back.take() else { return };
        let word = Word::failed(reason, self.is_to_stop());
        eprintln!(
            "hostler {} could not start its host: {reason}\nthe one before takes over again",
            env!("CARGO_PKG_VERSION")
        );
        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
        let failed = match process::hand_on(&program) {
            Ok(()) => become_program(Path::new(&path), &call, &word),
            Err(error) => error,
        };
        eprintln!(
            "the one before can't take over: {failed}; agents are kept for the rest of the lease"
        );
    }
}

/// Has `program` take the place of this one, which it can put back, and perhaps stop at once. Comes back only
/// if that failed; then nothing of this process is as it was, but for its agents: [`put_back`] is left.
pub(super) fn hand_over(program: &Path, stop: bool) -> io::Error {
    let call = Call::own();
    let myself = File::open("/proc/self/exe").and_then(|file| {
        process::hand_on(&file)?;
        Ok((file, call.keep()?))
    });
    let mut word = Word { from: env!("CARGO_PKG_VERSION").to_owned(), stop, ..Word::default() };
    match &myself {
        Ok((file, call)) => {
            (word.back, word.call) = (Some(file.as_raw_fd()), Some(call.as_raw_fd()));
        }
        Err(error) => {
            eprintln!("this program can't be handed on ({error}): there is no way back");
        }
    }
    become_program(program, &call, &word)
}

/// Starts this very program anew in place of itself, because the other one could not be run.
pub(super) fn put_back(reason: &str, stop: bool) -> io::Error {
    become_program(Path::new("/proc/self/exe"), &Call::own(), &Word::failed(reason, stop))
}

fn become_program(program: &Path, call: &Call, word: &Word) -> io::Error {
    let text = match serde_json::to_string(word) {
        Ok(text) => text,
        Err(error) => return error.into(),
    };
    let (name, args) = match &*call.args {
        [name, args @ ..] => (&**name, args),
        [] => (OsStr::new("hostler"), &[][..]),
    };
    let env = call.env.iter().map(|(name, value)| (name, value));
    Command::new(program).arg0(name).args(args).env_clear().envs(env).env(VARIABLE, text).exec()
}

/// The settings can't be read: if this program took the place of another, that one takes it back.
pub fn not_started(mut env: std::collections::BTreeMap<String, String>, reason: &str) {
    word_in(&mut env).give_back(reason);
}

/// What the environment says of a hand-over.
pub(super) fn word_in(env: &mut std::collections::BTreeMap<String, String>) -> Handed {
    Handed::take(env.remove(VARIABLE).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_was_started_with_is_kept_byte_by_byte() {
        let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        let call = Call {
            args: vec![word(b"hostler"), word(b""), word(b"-c"), word(b"a=b\xff")],
            env: vec![(word(b"A"), word(b"")), (word(b"B"), word(b"x=y\n\xfe"))],
        };
        let file = call.keep().unwrap();
        assert_eq!(Call::kept(OwnedFd::from(file)), Some(call));
        let nothing = Call { args: vec![], env: vec![] };
        assert_eq!(Call::read(&nothing.bytes()), Some(nothing));
        for bad in [&b""[..], b"x", b"x\0", b"2\0a\0", b"0\0noequals\0"] {
            assert_eq!(Call::read(bad), None, "{bad:?}");
        }
    }
}
