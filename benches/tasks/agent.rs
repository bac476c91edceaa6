//! The agents of the benchmark: this same program, started by the host (and by the floor).

use std::{
    env,
    io::{self, BufRead as _, Write as _},
    os::unix::net::UnixDatagram,
    process,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

/// The variable that says where agents tell what they do.
pub(crate) const SOCKET: &str = "BENCH_SOCKET";

/// The first argument of an agent.
pub(crate) const ARGUMENT: &str = "agent";

/// Nanoseconds on the clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What an agent says: when, and which process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    /// When it got there.
    pub(crate) at: u64,
    /// Its process.
    pub(crate) pid: i32,
}

/// Where agents are heard.
pub(crate) struct Ear(UnixDatagram);

impl Ear {
    /// Listens at `path`.
    pub(crate) fn open(path: &std::path::Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(socket))
    }

    /// What an agent says next.
    pub(crate) fn hear(&self) -> io::Result<Said> {
        let mut bytes = [0; 12];
        self.0.recv(&mut bytes)?;
        let (mut at, mut pid) = ([0; 8], [0; 4]);
        at.copy_from_slice(&bytes[..8]);
        pid.copy_from_slice(&bytes[8..]);
        Ok(Said { at: u64::from_le_bytes(at), pid: i32::from_le_bytes(pid) })
    }
}

/// Runs as an agent if the arguments say so.
pub(crate) fn run_if_asked() -> Option<io::Result<()>> {
    let began = now();
    let mut arguments = env::args().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    Some(match arguments.next()?.as_str() {
        "worker" => worker(),
        _ => stay(began),
    })
}

fn say(socket: &UnixDatagram, at: u64) -> io::Result<()> {
    let pid = i32::try_from(process::id()).map_err(io::Error::other)?;
    socket.send(&[&at.to_le_bytes()[..], &pid.to_le_bytes()].concat()).map(drop)
}

fn socket() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(env::var_os(SOCKET).unwrap_or_default())?;
    Ok(socket)
}

/// Says when it began, and stays.
fn stay(began: u64) -> io::Result<()> {
    say(&socket()?, began)?;
    loop {
        std::thread::park();
    }
}

/// Answers every task with null; says when it got one whose input is `true`.
fn worker() -> io::Result<()> {
    let socket = socket()?;
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let at = now();
        let message: Value = serde_json::from_str(&line)?;
        let result = match message["method"].as_str() {
            Some("initialize") => {
                say(&socket, at)?;
                json!({"protocol_version": 1})
            }
            Some("task/run") => {
                if message["params"]["input"] == true {
                    say(&socket, at)?;
                }
                Value::Null
            }
            _ => break,
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        out.write_all(format!("{answer}\n").as_bytes())?;
        out.flush()?;
    }
    Ok(())
}
