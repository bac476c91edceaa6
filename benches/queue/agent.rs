//! The agents of the benchmark: this same program, started by the host.
//!
//! A worker answers every task at once, with null. One that counts writes down when it got each, in
//! a file of its own; one that tells says it at once, to a socket.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixDatagram,
    path::Path,
    process,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The first argument of an agent.
pub(crate) const ARGUMENT: &str = "agent";
/// The second: write down when each task came.
pub(crate) const COUNT: &str = "count";
/// The second: say at once that a task came.
pub(crate) const TELL: &str = "tell";
/// The variable that names the directory of what agents write, or the socket of whom they tell.
pub(crate) const TO: &str = "BENCH_TO";

/// How many bytes one moment takes.
const MOMENT: usize = 8;

/// Nanoseconds on the clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs as an agent if the arguments say so.
pub(crate) fn run_if_asked() -> Option<io::Result<()>> {
    let mut arguments = env::args().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let to = env::var_os(TO).unwrap_or_default();
    let to = Path::new(&to);
    Some(match arguments.next()?.as_str() {
        TELL => tell(to),
        _ => count(to),
    })
}

/// As much of a message as a worker needs to answer it.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
}

/// Answers what the host says until it says no more; `came` is told of every task, and whether more
/// of the host's words are at hand already.
fn serve(mut came: impl FnMut(u64, bool) -> io::Result<()>) -> io::Result<()> {
    let mut host = BufReader::with_capacity(256 << 10, io::stdin().lock());
    let (mut out, mut line, mut answers) = (io::stdout().lock(), String::new(), Vec::new());
    while host.read_line(&mut line)? > 0 {
        let at = now();
        let more = host.buffer().contains(&b'\n');
        let message: Message<'_> = serde_json::from_str(&line)?;
        let result = match message.method {
            "initialize" => r#"{"protocol_version":1}"#,
            "task/run" => {
                came(at, more)?;
                "null"
            }
            "shutdown" => break,
            _ => "",
        };
        if let (false, Some(id)) = (result.is_empty(), message.id) {
            writeln!(answers, r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)?;
        }
        if !more {
            out.write_all(&answers)?;
            out.flush()?;
            answers.clear();
        }
        line.clear();
    }
    Ok(())
}

/// Writes down when each task came, as soon as there is nothing else to do.
fn count(directory: &Path) -> io::Result<()> {
    let mut file = File::create(directory.join(process::id().to_string()))?;
    let mut moments = Vec::new();
    serve(|at, more| {
        moments.extend_from_slice(&at.to_le_bytes());
        if !more {
            file.write_all(&moments)?;
            moments.clear();
        }
        Ok(())
    })
}

/// Says at once that a task came, and when.
fn tell(to: &Path) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(to)?;
    serve(|at, _| socket.send(&at.to_le_bytes()).map(drop))
}

/// Where agents that tell are heard.
pub(crate) struct Ear(UnixDatagram);

impl Ear {
    /// Listens at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // That of the repeat before.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(socket))
    }

    /// When the next task came.
    pub(crate) fn hear(&self) -> io::Result<u64> {
        let mut moment = [0; MOMENT];
        self.0.recv(&mut moment)?;
        Ok(u64::from_le_bytes(moment))
    }
}

/// How many agents write to `directory`, and how many tasks they have had.
pub(crate) fn counted(directory: &Path) -> io::Result<(usize, usize)> {
    let (mut agents, mut tasks) = (0, 0);
    for file in fs::read_dir(directory)? {
        agents += 1;
        tasks += usize::try_from(file?.metadata()?.len()).unwrap_or_default() / MOMENT;
    }
    Ok((agents, tasks))
}

/// When each task came, the earliest first.
pub(crate) fn moments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut moments = Vec::new();
    for file in fs::read_dir(directory)? {
        let bytes = fs::read(file?.path())?;
        let (whole, _) = bytes.as_chunks::<MOMENT>();
        moments.extend(whole.iter().map(|moment| u64::from_le_bytes(*moment)));
    }
    moments.sort_unstable();
    Ok(moments)
}
