//! A network of two: this machine, and a namespace that a host can live in, with a cable between.

use std::{
    os::unix::process::CommandExt as _,
    process::{ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Takes the namespace away, and the cable with it, once nobody can write to its stdin any more.
const REAPER: &str = "trap '' INT TERM HUP; while read -r line; do :; done; ip netns delete \"$1\"";

/// The network. It is gone with this value, and with this program however that ends.
pub(crate) struct Network {
    namespace: String,
    cable: String,
    subnet: String,
    _lifeline: ChildStdin,
}

impl Network {
    /// Makes one, or says why that can't be done here.
    pub(crate) fn make() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("hostler-{pid}-{number}");
        let cable = format!("hs{:x}{number}", pid & 0xff_ffff);
        // From a range that is set aside for tests of networks (RFC 2544).
        let subnet = format!("198.18.{}", (pid + number) % 256);
        ip(&["netns", "add", &namespace])?;
        let network = Self { _lifeline: reaper(&namespace), namespace, cable, subnet };
        network.connect()?;
        Ok(network)
    }

    fn connect(&self) -> Result<(), String> {
        let (ns, cable) = (&*self.namespace, &*self.cable);
        let (near, far) = (format!("{}/30", self.near()), format!("{}.2/30", self.subnet));
        ip(&["link", "add", cable, "type", "veth", "peer", "name", "far", "netns", ns])?;
        ip(&["address", "add", &near, "dev", cable])?;
        ip(&["link", "set", cable, "up"])?;
        ip(&["-n", ns, "address", "add", &far, "dev", "far"])?;
        ip(&["-n", ns, "link", "set", "far", "up"])?;
        ip(&["-n", ns, "link", "set", "lo", "up"])
    }

    /// The address of this side.
    pub(crate) fn near(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// The words before a command that is to run on the other side.
    pub(crate) fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.namespace]
    }

    /// Pulls the plug.
    pub(crate) fn cut(&self) {
        ip(&["link", "set", &self.cable, "down"]).expect("the link goes down");
    }

    /// Puts it back.
    pub(crate) fn mend(&self) {
        ip(&["link", "set", &self.cable, "up"]).expect("the link comes up");
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output();
    let output = output.map_err(|error| format!("ip (iproute2) can't be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", words.join(" "), said.trim()))
}

fn reaper(namespace: &str) -> ChildStdin {
    let mut reaper = Command::new("sh");
    reaper.args(["-c", REAPER, "reaper", namespace]).current_dir("/").process_group(0);
    reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    reaper.spawn().expect("sh runs").stdin.take().expect("its stdin is a pipe")
}
