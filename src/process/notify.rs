//! The socket on which the processes of one agent may tell of themselves, as systemd's services do.
//!
//! It is a datagram socket in the abstract namespace: no path that could be too long, no file that is left
//! behind, and processes of any user reach it. What they may say is not taken on trust: the kernel tells who
//! sent each datagram, and the caller asks whose process that is. See `docs/decisions`.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsRawFd, RawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
        UnixCredentials, bind, recvmsg, setsockopt, socket, sockopt::PassCred,
    },
    unistd::close,
};
use tokio::{io::Interest, net::UnixDatagram};

/// The longest datagram that is read; a longer one is no notification.
const MAX_DATAGRAM: usize = 4096;

/// The most descriptors that the kernel lets through with one datagram.
const MAX_FDS: usize = 253;

/// A bound socket.
#[derive(Debug)]
pub struct NotifySocket(UnixDatagram);

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The process that sent it, as the kernel says.
    pub from: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl NotifySocket {
    /// Binds the abstract name. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// That of the system: the name is taken or too long.
    pub fn bind(name: &str) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&socket, PassCred, &true)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Self(UnixDatagram::from_std(socket.into())?))
    }

    /// The next datagram that is not too long. Descriptors that come with one are closed, which is what
    /// `systemd-notify` waits for to know that it was heard.
    ///
    /// # Errors
    ///
    /// That of the system.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn receive(&self) -> io::Result<Datagram> {
        loop {
            self.0.readable().await?;
            match self.0.try_io(Interest::READABLE, || receive(self.0.as_raw_fd())) {
                Ok(Some(datagram)) => return Ok(datagram),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn receive(socket: RawFd) -> io::Result<Option<Datagram>> {
    let mut bytes = vec![0; MAX_DATAGRAM];
    let mut control = cmsg_space!(UnixCredentials, [RawFd; MAX_FDS]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut control), flags)?;
    let mut from = None;
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::ScmCredentials(sender) => from = u32::try_from(sender.pid()).ok(),
            ControlMessageOwned::ScmRights(fds) => {
                for fd in fds {
                    // Whoever waits for it is told by its end; there is nothing else to do with it.
                    match close(fd) {
                        Ok(()) | Err(Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
            }
            _ => {}
        }
    }
    let (length, cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
    bytes.truncate(length);
    // Pid 0: a process of another namespace, which can be nobody's here.
    let from = from.filter(|pid| *pid != 0 && !cut);
    Ok(from.map(|from| Datagram { from, bytes }))
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;

    use uuid::Uuid;

    use super::*;

    fn sender(name: &str) -> std::os::unix::net::UnixDatagram {
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        socket.connect_addr(&address).unwrap();
        socket
    }

    #[tokio::test]
    async fn a_datagram_comes_with_its_sender_and_what_is_too_long_does_not_come() {
        let name = format!("hostler-test/{}", Uuid::new_v4());
        let socket = NotifySocket::bind(&name).unwrap();
        assert!(NotifySocket::bind(&name).is_err(), "the name is taken");
        let sender = sender(&name);
        sender.send(&[b'x'; MAX_DATAGRAM + 1]).unwrap();
        sender.send(b"READY=1").unwrap();
        let from = std::process::id();
        let expected = Datagram { from, bytes: b"READY=1".to_vec() };
        assert_eq!(socket.receive().await.unwrap(), expected);
        drop(socket);
        assert!(NotifySocket::bind(&name).is_ok(), "the name is free again");
    }

    /// `systemd-notify` sends one end of a pipe along, and waits until nobody has it any more.
    #[tokio::test]
    async fn descriptors_are_closed() {
        let name = format!("hostler-test/{}", Uuid::new_v4());
        let socket = NotifySocket::bind(&name).unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        let fds = [write.as_raw_fd()];
        nix::sys::socket::sendmsg(
            sender(&name).as_raw_fd(),
            &[io::IoSlice::new(b"BARRIER=1")],
            &[nix::sys::socket::ControlMessage::ScmRights(&fds)],
            MsgFlags::empty(),
            None::<&UnixAddr>,
        )
        .unwrap();
        drop(write);
        assert_eq!(socket.receive().await.unwrap().bytes, b"BARRIER=1");
        let ended = tokio::task::spawn_blocking(move || {
            std::io::Read::read(&mut std::fs::File::from(read), &mut [0]).unwrap()
        });
        assert_eq!(ended.await.unwrap(), 0, "the other end is closed");
    }
}
