//! Networks of both kinds, as numbers of 128 bits: those of four bytes lie at `::ffff:0:0/96`.

use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SHORT_FIRST: u128 = 0xffff_0000_0000;
const SHORT_LAST: u128 = 0xffff_ffff_ffff;
/// Bits before those of an address of four bytes.
const SHORT_BITS: u32 = 96;

/// An address and how many of its first bits all addresses of the network share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: u128,
    bits: u32,
}

impl Network {
    /// `address/bits`; what follows the bits of the network is dropped.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = bits.parse::<u32>().ok().filter(|bits| digits && *bits <= most)? + 128 - most;
        let network = Network { address: number(address), bits };
        Some(Network { address: network.address & network.mask(), bits })
    }

    /// An address alone.
    pub(super) fn of(address: u128) -> Network {
        Network { address, bits: 128 }
    }

    /// The network of an address of four bytes, as it was before there were masks.
    pub(super) fn of_class(address: u128) -> Option<Network> {
        let bits = match address {
            SHORT_FIRST..0xffff_8000_0000 => 8,
            0xffff_8000_0000..0xffff_c000_0000 => 16,
            0xffff_c000_0000..=SHORT_LAST => 24,
            _ => return None,
        };
        Some(Network { address, bits: SHORT_BITS + bits })
    }

    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - self.bits).unwrap_or(0)
    }

    /// The first address and the last.
    pub(super) fn range(&self) -> (u128, u128) {
        (self.address & self.mask(), self.address | !self.mask())
    }

    /// Whether it has all addresses of another network of the same kind.
    pub(super) fn contains(&self, other: &Network) -> bool {
        self.is_short() == other.is_short()
            && self.bits <= other.bits
            && self.address & self.mask() == other.address & self.mask()
    }

    fn is_short(&self) -> bool {
        is_short(self.address)
    }
}

impl Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.is_short() { self.bits - SHORT_BITS } else { self.bits };
        write!(formatter, "{}/{bits}", written(self.address))
    }
}

/// An address as a number.
pub(super) fn address(text: &str) -> Option<u128> {
    text.parse().ok().map(number)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn is_short(address: u128) -> bool {
    (SHORT_FIRST..=SHORT_LAST).contains(&address)
}

pub(super) fn written(address: u128) -> String {
    match address {
        SHORT_FIRST..=SHORT_LAST => Ipv4Addr::from(address as u32).to_string(),
        _ => Ipv6Addr::from(address).to_string(),
    }
}

/// The address before; the first of a kind has none but itself.
pub(super) fn previous(address: u128) -> u128 {
    if address == SHORT_FIRST { address } else { address.saturating_sub(1) }
}

/// The fewest networks that have these addresses and no others; none where only the first is one of four bytes.
pub(super) fn cover(mut first: u128, last: u128) -> Option<Vec<Network>> {
    if is_short(first) && !is_short(last) {
        return None;
    }
    let mut networks = Vec::new();
    loop {
        let size = |bits: u32| u128::MAX.checked_shr(bits).unwrap_or(0);
        let fits = |bits: &u32| first & size(*bits) == 0 && last - first >= size(*bits);
        let bits = (0..=128).find(fits)?;
        networks.push(Network { address: first, bits });
        match (first | size(bits)).checked_add(1) {
            Some(next) if next <= last => first = next,
            _ => return Some(networks),
        }
    }
}
