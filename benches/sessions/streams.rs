//! Thousands who listen and hear nothing.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    Outcome, Run,
    latency::{self, millis},
    requests::{self, OURS},
};

/// For how long they are watched.
const CALM: Duration = Duration::from_secs(10);

/// How long the last may take to be told.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens the event stream many times with a filter that takes nothing; what that costs, and how soon
/// one who hears something hears it still.
pub(crate) fn subscribers(run: &mut Run) -> Outcome<()> {
    let before = run.host.memory()?;
    let mut idle = Vec::with_capacity(run.sizes.subscribers);
    for _ in 0..run.sizes.subscribers {
        let mut stream = TcpStream::connect(run.host.address())?;
        stream.write_all(
            b"GET /api/v1/events?queue=nothing-comes-here HTTP/1.1\r\nhost: 127.0.0.1\r\n\
              accept: text/event-stream\r\n\r\n",
        )?;
        idle.push(stream);
    }
    for stream in &mut idle {
        let mut head = [0; 12];
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_exact(&mut head)?;
        if !head.ends_with(b"200") {
            return Err(String::from_utf8_lossy(&head).into());
        }
    }
    thread::sleep(Duration::from_secs(2));
    let each = (run.host.memory()? - before) / run.sizes.subscribers as f64;
    let cpu = run.host.cpu()?;
    thread::sleep(CALM);
    let cpu = run.host.cpu()? - cpu;
    let (tell, events) = mpsc::channel();
    latency::listen(run.host.address(), tell)?;
    thread::sleep(Duration::from_millis(500));
    let count = run.sizes.ends;
    requests::submit(&run.host, count, || {
        thread::sleep(Duration::from_micros(fastrand::u64(5_000..25_000)));
    })?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let told = events.recv_timeout(PATIENCE).map_err(|_| "an event did not come")?;
        took.push(millis(told.ended.ok_or("an event without a time")?, told.heard));
    }
    // Nobody was sent away meanwhile.
    let held: usize = idle.iter_mut().map(|stream| usize::from(is_open(stream))).sum();
    run.samples.add(OURS, "subscribers", &[held as f64]);
    run.samples.add(OURS, "subscriber memory", &[each]);
    run.samples.add(OURS, "subscribers cpu", &[cpu]);
    run.samples.add(OURS, "event among many", &took);
    Ok(())
}

/// Whether the other side has not closed it: what has come is read away.
fn is_open(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let mut some = [0; 4096];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
