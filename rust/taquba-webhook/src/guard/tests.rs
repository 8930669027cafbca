//! The table of addresses: each refused one in every form that a URL or a resolver may give it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::rules::{RefusedUrl, UrlRules};

/// Addresses of IPv4 that no delivery goes to: the edges of every network, and what lies in them.
const BAD_V4: [&str; 58] = [
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "10.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.0.0.53",
    "127.1.2.3",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.0.23",
    "169.254.42.42",
    "169.254.169.123",
    "169.254.169.253",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.255.255",
    "172.16.0.0",
    "172.16.0.1",
    "172.17.0.1",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.1.1",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.1",
    "224.0.0.251",
    "233.252.0.1",
    "239.255.255.250",
    "239.255.255.255",
    "240.0.0.0",
    "240.0.0.1",
    "250.1.2.3",
    "255.255.255.254",
    "255.255.255.255",
];

/// The neighbours of those networks, which are public.
const GOOD_V4: [&str; 26] = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
];

/// Addresses of IPv6 that no delivery goes to.
const BAD_V6: [&str; 42] = [
    "::",
    "::1",
    "::2",
    "::7f00:1",
    "::a9fe:a9fe",
    "::808:808",
    "::1:0:0:1",
    "64:ff9a::1",
    "64:ff9b:1::808:808",
    "64:ff9b:1:ffff::a9fe:a9fe",
    "64:ff9b:2::1",
    "100::1",
    "100:0:0:1::1",
    "1fff::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:3::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "4000::1",
    "5f00::1",
    "8000::1",
    "fc00::1",
    "fd00::1",
    "fd00:42::42",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
];

/// Addresses of receivers.
const GOOD_V6: [&str; 8] = [
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:829::200e",
    "3ffe:ffff::1",
];

fn ip(text: &str) -> IpAddr {
    text.parse().expect("the table holds addresses")
}

fn ip4(text: &str) -> Ipv4Addr {
    text.parse().expect("the table holds addresses")
}

/// An address of IPv4 behind a prefix of IPv6, in its last four bytes.
fn behind(prefix: &str, address: Ipv4Addr) -> IpAddr {
    let prefix: Ipv6Addr = prefix.parse().expect("a prefix");
    let mut octets = prefix.octets();
    octets[12..].copy_from_slice(&address.octets());
    IpAddr::from(octets)
}

/// The address as other addresses carry it.
fn carried(address: Ipv4Addr) -> [(&'static str, IpAddr); 8] {
    let [a, b, c, d] = address.octets();
    let pair = |high, low| u16::from_be_bytes([high, low]);
    let six_to_four = Ipv6Addr::new(0x2002, pair(a, b), pair(c, d), 0, 0, 0, 0, 1);
    let teredo = Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0, 0, !pair(a, b), !pair(c, d));
    [
        ("mapped", behind("::ffff:0:0", address)),
        ("compatible", behind("::", address)),
        ("NAT64", behind("64:ff9b::", address)),
        ("local NAT64", behind("64:ff9b:1::", address)),
        ("6to4", IpAddr::V6(six_to_four)),
        ("Teredo", IpAddr::V6(teredo)),
        ("ISATAP", behind("2606:4700::5efe:0:0", address)),
        ("ISATAP of a global address", behind("2606:4700::200:5efe:0:0", address)),
    ]
}

/// The address as hosts of URLs that parsers of many systems read as an address.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    let low = number & 0x00ff_ffff;
    let wide: String = address.to_string().chars().map(wide).collect();
    vec![
        address.to_string(),
        format!("{address}."),
        number.to_string(),
        format!("0x{number:x}"),
        format!("0X{number:X}"),
        format!("0{number:o}"),
        format!("{a}.{low}"),
        format!("{a}.{b}.{}", number & 0xffff),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.0x0{b:x}.{c}.{d}"),
        format!("%{:02x}{}", address.to_string().as_bytes()[0], &address.to_string()[1..]),
        wide,
        format!("[::ffff:{address}]"),
        format!("[::{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[0:0:0:0:0:ffff:{:x}:{:x}]", number >> 16, number & 0xffff),
    ]
}

/// A digit or dot in full width, which names are normalised from.
fn wide(c: char) -> char {
    match c {
        '.' => '\u{3002}',
        digit => char::from_u32(u32::from(digit) - 0x30 + 0xff10).expect("a full-width digit"),
    }
}

#[test]
fn refused_addresses_are_refused_and_carried_ones_too() {
    let guard = AddressGuard::default();
    for text in BAD_V4 {
        assert!(guard.check(ip(text)).is_err(), "{text} passed");
        for (form, address) in carried(ip4(text)) {
            assert!(guard.check(address).is_err(), "{text} passed as {form}: {address}");
        }
    }
    for text in BAD_V6 {
        assert!(guard.check(ip(text)).is_err(), "{text} passed");
    }
}

#[test]
fn public_addresses_pass_as_themselves_mapped_and_translated() {
    let guard = AddressGuard::default();
    for text in GOOD_V4 {
        assert_eq!(guard.check(ip(text)), Ok(()));
        for prefix in ["::ffff:0:0", "64:ff9b::"] {
            assert_eq!(guard.check(behind(prefix, ip4(text))), Ok(()), "{text} after {prefix}");
        }
    }
    for text in GOOD_V6 {
        assert_eq!(guard.check(ip(text)), Ok(()));
    }
}

#[test]
fn tunnels_are_refused_also_to_public_addresses() {
    let guard = AddressGuard::default();
    for text in GOOD_V4 {
        for (form, address) in carried(ip4(text)) {
            let is_translated = matches!(form, "mapped" | "NAT64");
            let is_isatap = form.starts_with("ISATAP");
            assert_eq!(
                guard.check(address).is_ok(),
                is_translated || is_isatap,
                "{text} as {form}"
            );
        }
    }
}

#[test]
fn a_url_with_a_refused_address_is_refused_in_every_spelling() {
    let rules = UrlRules { allow_http: true, ..UrlRules::default() };
    let mut count = 0;
    for text in BAD_V4 {
        for host in spellings(ip4(text)) {
            for url in [format!("https://{host}/x"), format!("http://{host}:8443")] {
                let refused = rules.check(&url).err();
                let is_address = matches!(refused, Some(RefusedUrl::Address(_)));
                assert!(is_address, "{url} gave {refused:?}");
                count += 1;
            }
        }
    }
    for text in BAD_V6 {
        let refused = rules.check(&format!("https://[{text}]/")).err();
        assert!(matches!(refused, Some(RefusedUrl::Address(_))), "{text} gave {refused:?}");
    }
    assert!(count > 1_500, "the table is smaller than it should be: {count}");
}

#[test]
fn a_url_with_a_public_address_is_taken_in_every_spelling() {
    let rules = UrlRules::default();
    for text in GOOD_V4 {
        for host in spellings(ip4(text)) {
            // An address in the compatible form is refused, whatever it holds.
            let is_taken = !host.starts_with("[::") || host.starts_with("[::ffff");
            let checked = rules.check(&format!("https://{host}/"));
            assert_eq!(checked.is_ok(), is_taken, "{host}: {:?}", checked.err());
        }
    }
}

#[test]
fn what_is_allowed_passes_and_nothing_beside_it() {
    let network = AddressGuard::parse_network("127.0.0.0/8").expect("a network");
    let guard = AddressGuard::new(vec![network]);

    assert_eq!(guard.check(ip("127.0.0.1")), Ok(()));
    assert_eq!(guard.check(ip("::ffff:127.0.0.1")), Ok(()));
    assert_eq!(guard.check(ip("64:ff9b::127.0.0.1")), Ok(()));
    for other in ["::1", "10.0.0.1", "128.0.0.1/", "::127.0.0.1", "2002:7f00:1::1"] {
        let other = other.trim_end_matches('/');
        assert_eq!(guard.check(ip(other)).is_err(), other != "128.0.0.1", "{other}");
    }
}

#[test]
fn networks_are_read_strictly() {
    for text in ["10.0.0.0/8", "10.1.2.3", "::1", "fd00::/8", "0.0.0.0/0", "10.1.2.3/32"] {
        assert!(AddressGuard::parse_network(text).is_ok(), "{text}");
    }
    for text in ["", "10.0.0.1/8", "10.0.0.0/33", "fd00::1/8", "10/8", "localhost", "10.0.0.0/8 "] {
        assert_eq!(AddressGuard::parse_network(text), Err(InvalidNetwork), "{text}");
    }
}

#[test]
fn a_refusal_names_the_address_the_reason_and_the_way_out() {
    let refused = AddressGuard::default().check(ip("169.254.169.254")).expect_err("refused");

    let text = refused.to_string();

    for word in ["`169.254.169.254`", "instance metadata", "`allow_networks`"] {
        assert!(text.contains(word), "{text}");
    }
}
