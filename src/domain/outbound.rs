//! Which addresses this host may call because somebody else said so. Pure.
//!
//! A caller names a callback address, and the host calls it: without this check, a caller from outside
//! could make it call what only this machine can reach, such as the metadata of a cloud. What counts
//! is the address that is connected to, not the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What may be called beside the public internet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// This machine.
    pub loopback: bool,
    /// Networks of one's own: `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, `100.64.0.0/10`,
    /// `fc00::/7`.
    pub private: bool,
}

/// What kind of address one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// One of the public internet.
    Public,
    /// This machine.
    Loopback,
    /// One of a network of one's own.
    Private,
    /// Any other: link-local (where clouds keep their secrets), multicast, reserved, for documents.
    Special,
}

impl AddressKind {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "an address of this machine",
            Self::Private => "an address of a private network",
            Self::Special => "an address for special purposes",
        }
    }
}

impl Reach {
    /// Whether addresses of this kind may be called.
    pub const fn includes(self, kind: AddressKind) -> bool {
        match kind {
            AddressKind::Public => true,
            AddressKind::Loopback => self.loopback,
            AddressKind::Private => self.private,
            AddressKind::Special => false,
        }
    }
}

/// What kind of address `address` is. One of IPv6 that means one of IPv4 is of that one's kind.
pub fn kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(v4) => kind_of_v4(v4),
        IpAddr::V6(v6) => kind_of_v6(v6),
    }
}

const fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            AddressKind::Private
        }
        // "This network", link-local, protocols, documents, 6to4 relays, benchmarks, multicast,
        // reserved and broadcast.
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => AddressKind::Special,
        _ => AddressKind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    let words = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        kind_of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match words {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        // An address of IPv4, as it is, translated (NAT64), and tunnelled (6to4).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [0xfc00..=0xfdff, ..] => AddressKind::Private,
        // Protocols and tunnels (Teredo, ORCHID), and documents.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            AddressKind::Special
        }
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Special,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_of_their_kind() {
        use AddressKind as K;
        let rows = [
            (
                K::Public,
                &[
                    "1.1.1.1",
                    "9.255.255.255",
                    "172.15.0.1",
                    "172.32.0.1",
                    "100.63.0.1",
                    "100.128.0.1",
                    "192.167.1.1",
                    "223.255.255.255",
                    "2606:4700::1111",
                    "::ffff:8.8.8.8",
                    "64:ff9b::808:808",
                    "2002:808:808::1",
                ][..],
            ),
            (
                K::Loopback,
                &[
                    "127.0.0.1",
                    "127.255.255.255",
                    "::1",
                    "::ffff:127.0.0.1",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                ][..],
            ),
            (
                K::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "100.64.0.1",
                    "fc00::1",
                    "fd12:3456::1",
                    "::ffff:10.0.0.1",
                    "2002:a00:1::",
                ][..],
            ),
            (
                K::Special,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "192.0.0.8",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.1",
                    "198.19.255.255",
                    "198.51.100.7",
                    "203.0.113.9",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "::127.0.0.1",
                    "fe80::1",
                    "fec0::1",
                    "ff02::1",
                    "2001:db8::1",
                    "2001::1",
                    "3fff::1",
                    "100::1",
                    "5f00::1",
                    "64:ff9b:1::1",
                    "::ffff:169.254.169.254",
                    "::ffff:0:0:1",
                ][..],
            ),
        ];
        for (expected, texts) in rows {
            for text in texts {
                assert_eq!(kind(text.parse().unwrap()), expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_special_is_never_reached() {
        for (loopback, private) in [(false, false), (false, true), (true, false), (true, true)] {
            let reach = Reach { loopback, private };
            assert!(reach.includes(AddressKind::Public));
            assert_eq!(reach.includes(AddressKind::Loopback), loopback);
            assert_eq!(reach.includes(AddressKind::Private), private);
            assert!(!reach.includes(AddressKind::Special));
        }
    }

    proptest! {
        #[test]
        fn an_address_in_another_form_is_of_the_same_kind(raw: u32) {
            let v4 = Ipv4Addr::from(raw);
            let [a, b] = [(raw >> 16) as u16, raw as u16];
            let forms = [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
            ];
            for form in forms {
                prop_assert_eq!(kind(v4.into()), kind(form.into()), "{}", form);
            }
        }
    }
}
