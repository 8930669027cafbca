//! URLs: what is taken, what is refused, and what a refusal shows.

use super::*;

fn refusal(rules: &UrlRules, text: &str) -> RefusedUrl {
    match rules.check(text) {
        Ok(target) => panic!("{text} was taken as {}", target.url()),
        Err(refused) => refused,
    }
}

fn with_hosts(hosts: &[&str]) -> UrlRules {
    let hosts = hosts.iter().map(|text| HostPattern::parse(text).expect("a host")).collect();
    UrlRules { hosts: Some(hosts), ..UrlRules::default() }
}

#[test]
fn urls_of_receivers_are_taken_and_their_hosts_have_one_form() {
    let rules = UrlRules { allow_http: true, ..UrlRules::default() };
    for (text, host) in [
        ("https://example.com", "example.com"),
        ("https://example.com:443/hook", "example.com"),
        ("https://example.com:8443/hook?token=1&x", "example.com"),
        ("http://example.com/", "example.com"),
        ("HTTPS://EXAMPLE.com./hook", "example.com"),
        ("https://bücher.example/hook", "xn--bcher-kva.example"),
        ("https://ＥＸＡＭＰＬＥ.com/", "example.com"),
        ("https://exa%6dple.com/", "example.com"),
        ("https://93.184.216.34/", "93.184.216.34"),
        ("https://[2606:4700:4700::1111]/", "[2606:4700:4700::1111]"),
        ("https://with_underscore.example.com/", "with_underscore.example.com"),
        ("https://localhost.example.com/", "localhost.example.com"),
    ] {
        let target = rules.check(text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        assert_eq!(target.host(), host);
    }
}

#[test]
fn receivers_are_told_apart_by_scheme_host_and_port() {
    let rules = UrlRules { allow_http: true, ..UrlRules::default() };
    for (text, origin) in [
        ("https://EXAMPLE.com./hook?x", "https://example.com:443"),
        ("https://example.com:443/other", "https://example.com:443"),
        ("https://example.com:8443/", "https://example.com:8443"),
        ("http://example.com/", "http://example.com:80"),
        ("http://example.com:443/", "http://example.com:443"),
        ("https://[2606:4700:4700:0::1111]/", "https://[2606:4700:4700::1111]:443"),
    ] {
        let target = rules.check(text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
        assert_eq!(target.origin(), origin);
    }
}

#[test]
fn hosts_with_characters_that_no_name_has_are_refused() {
    for character in "{}`\"!$&'()*+,;=~".chars() {
        let text = format!("https://a{character}b.example/");
        let refused = refusal(&UrlRules::default(), &text);
        assert!(matches!(refused, RefusedUrl::Host | RefusedUrl::Syntax { .. }), "{text}");
    }
}

#[test]
fn what_is_no_url_of_a_receiver_is_refused() {
    let rules = UrlRules { allow_http: true, ..UrlRules::default() };
    let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
    let grows = format!("https://example.com/{}", "ä".repeat(700));
    let label = format!("https://{}.com/", "a".repeat(64));
    let name = format!("https://{}com/", "abcdefghi.".repeat(26));
    for text in [
        "",
        "example.com",
        "//example.com/",
        "/hook",
        "https://",
        "https://:443/",
        "https:///",
        "https://a..b/",
        "https://./",
        "https://.example.com/",
        "https://exa mple.com/",
        "https://example.com/a b",
        " https://example.com/",
        "https://example.com/\r\nHost: a",
        "https://example.com/\0",
        "https://exam\tple.com/",
        "https://example.com\\@evil.example/",
        "https:\\\\example.com",
        "https://example.com/\u{a0}",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://:pass@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com/#part",
        "https://example.com/#",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "http://example.com:6379/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com:80/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "unix:/run/docker.sock",
        "ws://example.com/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://256.0.0.1/",
        "https://1.2.3.4.5/",
        "https://0x/",
        "https://xn--/",
        "https://exa<mple.com/",
        "https://%00.com/",
        &long,
        &grows,
        &label,
        &name,
    ] {
        refusal(&rules, text);
    }
}

#[test]
fn http_and_ports_are_the_operators_choice() {
    let strict = UrlRules::default();
    assert!(matches!(refusal(&strict, "http://example.com/"), RefusedUrl::Scheme { .. }));

    let listed = UrlRules { ports: vec![9_000], ..UrlRules::default() };
    assert!(listed.check("https://example.com:9000/").is_ok());
    assert!(matches!(refusal(&listed, "https://example.com/"), RefusedUrl::Port { .. }));
}

#[test]
fn listed_hosts_are_taken_in_every_spelling_and_no_others() {
    let rules = with_hosts(&["Example.COM.", "*.hooks.example", "bücher.example", "1.1.1.1"]);
    for host in [
        "example.com",
        "EXAMPLE.com.",
        "a.hooks.example",
        "a.b.hooks.example",
        "xn--bcher-kva.example",
        "0x01010101",
    ] {
        assert!(rules.check(&format!("https://{host}/")).is_ok(), "{host}");
    }
    for host in
        ["a.example.com", "hooks.example", "evilhooks.example", "example.com.evil", "1.0.0.1"]
    {
        let refused = refusal(&rules, &format!("https://{host}/"));
        assert!(matches!(refused, RefusedUrl::HostNotAllowed { .. }), "{host}: {refused}");
    }
}

#[test]
fn a_listed_host_that_is_a_refused_address_stays_refused() {
    let refused = refusal(&with_hosts(&["127.0.0.1"]), "https://127.0.0.1/");

    assert!(matches!(refused, RefusedUrl::Address(_)), "{refused}");
}

#[test]
fn what_is_no_host_cannot_be_listed() {
    for text in ["", "*", "*.", "a b", "https://a", "a/b", "*.1.2.3.4", "a..b", "*.*.example", "a{"]
    {
        assert!(HostPattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn refusals_never_show_what_may_be_secret() {
    let canary = "Canary-7f3a";
    for text in [
        format!("http://example.com/{canary}"),
        format!("https://example.com:1/{canary}?{canary}"),
        format!("https://{canary}:{canary}@example.com/"),
        format!("https://example.com/#{canary}"),
        format!("https://127.0.0.1/{canary}"),
        format!("ftp://example.com/{canary}"),
        format!("https://example.com/{canary} "),
        format!("/{canary}"),
        format!("https://[{canary}"),
        format!("https://example.com/{}", canary.repeat(300)),
    ] {
        let shown = format!("{0} {0:?}", refusal(&UrlRules::default(), &text));
        assert!(!shown.contains(canary), "{shown}");
    }
}
