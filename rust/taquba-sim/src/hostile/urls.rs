//! Addresses and URLs that webhooks are given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use taquba_webhook::{AddressGuard, UrlRules};

use super::text;
use crate::random::Random;

/// Where a webhook must never get, however it is written: the first number of each is its network.
const FORBIDDEN: [[u8; 4]; 12] = [
    [127, 0, 0, 1],
    [10, 1, 2, 3],
    [172, 16, 0, 1],
    [172, 31, 255, 254],
    [192, 168, 1, 1],
    [169, 254, 169, 254],
    [100, 100, 100, 200],
    [168, 63, 129, 16],
    [0, 0, 0, 0],
    [224, 0, 0, 1],
    [255, 255, 255, 255],
    [192, 0, 0, 192],
];

pub fn urls(random: &mut Random) -> Result<(), String> {
    let address = Ipv4Addr::from(*random.pick(&FORBIDDEN));
    let disguised = disguise(random, address);
    if AddressGuard::default().check(disguised).is_ok() {
        return Err(format!("{address}, as {disguised}, was let pass"));
    }
    let host = spelling(random, address);
    let url = format!("https://{host}/{}", text(random));
    if let Ok(target) = UrlRules::default().check(&url)
        && target.host().parse::<IpAddr>().is_ok()
    {
        return Err(format!("{url:?} was let pass as {}", target.url()));
    }
    // Text of any kind may be refused; it does no harm.
    let scheme = *random.pick(&["https://", "http://", "file://", "", "https:", "//"]);
    let given = format!("{scheme}{}", text(random));
    match UrlRules::default().check(&given) {
        Ok(target) if target.url().scheme() != "https" => {
            Err(format!("{given:?} was let pass as {}", target.url()))
        }
        _ => Ok(()),
    }
}

/// The address as it is, or carried by one of the other family.
fn disguise(random: &mut Random, address: Ipv4Addr) -> IpAddr {
    let [a, b, c, d] = address.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match random.up_to(4) {
        0 => IpAddr::V4(address),
        1 => IpAddr::V6(address.to_ipv6_mapped()),
        2 => IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)),
        3 => IpAddr::V6(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1)),
        _ => IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low)),
    }
}

/// One of the texts that some resolver takes for the address.
fn spelling(random: &mut Random, address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    match random.up_to(6) {
        0 => address.to_string(),
        1 => number.to_string(),
        2 => format!("{number:#x}"),
        3 => format!("{a:#o}.{b:#o}.{c:#o}.{d:#o}").replace("0o", "0"),
        4 => format!("{a}.{b}.{}", u16::from_be_bytes([c, d])),
        5 => format!("[::ffff:{address}]"),
        _ => format!("{address}."),
    }
}
