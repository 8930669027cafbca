//! Which URLs are taken.
//!
//! # Invariants
//!
//! 1. Decided on what the parser yields, never on the text: a host written in hexadecimal, with
//!    full-width digits or as one number is an address here.
//! 2. What is taken is what is sent: the request goes to the parsed URL, not to the text.
//! 3. No refusal shows more of the URL than scheme, host and port.
//!
//! # Not here
//!
//! Where a name leads is known when it is resolved; see `resolver.rs`.

use std::borrow::Cow;
use std::net::IpAddr;

use url::{Host, Url};

use crate::guard::{AddressGuard, RefusedAddress};
use crate::limits::{HOST_BYTES_MAX, HOST_LABEL_BYTES_MAX, PORTS_DEFAULT, URL_BYTES_MAX};

#[cfg(test)]
mod tests;

/// What a URL has to be like.
#[derive(Clone, Debug)]
pub struct UrlRules {
    /// Whether `http` is taken beside `https`.
    pub allow_http: bool,
    /// Ports that are taken.
    pub ports: Vec<u16>,
    /// Hosts that are taken; `None` takes all.
    pub hosts: Option<Vec<HostPattern>>,
    /// Decides about hosts that are addresses.
    pub guard: AddressGuard,
}

impl Default for UrlRules {
    fn default() -> Self {
        Self {
            allow_http: false,
            ports: PORTS_DEFAULT.to_vec(),
            hosts: None,
            guard: AddressGuard::default(),
        }
    }
}

/// A URL that the rules have taken.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: String,
    port: u16,
}

impl Target {
    /// The URL to send to.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The host in one form, without a dot at its end.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Scheme, host and port in one form: what receivers are told apart by. Behind another port, or
    /// without encryption, another program answers, or none.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.url.scheme(), self.host, self.port)
    }
}

/// A host that is taken, or all names below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `hooks.example.com`, or an address.
    One(String),
    /// `*.example.com`: every name below it, and not itself.
    Below(String),
}

impl HostPattern {
    /// Reads one, in any spelling that a URL could have.
    ///
    /// # Errors
    ///
    /// [`RefusedUrl::Host`] if it is no host.
    pub fn parse(text: &str) -> Result<Self, RefusedUrl> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let host = Host::parse(name).map_err(|_| RefusedUrl::Host)?;
        if below && address_of(&host).is_some() {
            return Err(RefusedUrl::Host);
        }
        let name = host_name(&host)?;
        Ok(if below { Self::Below(name) } else { Self::One(name) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::One(name) => host == name,
            Self::Below(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    }
}

/// Why a URL is not taken. The subject of the sentence is left to whoever knows where it came from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    /// Too long.
    #[error("it has {size_bytes} bytes: use at most {URL_BYTES_MAX}")]
    TooLong {
        /// Its size.
        size_bytes: usize,
    },
    /// Characters that no URL has, and that parsers disagree about.
    #[error("it has spaces, control characters or backslashes: percent-encode them")]
    Characters,
    /// Not a URL at all.
    #[error("it is no absolute URL ({reason}): give one such as `https://example.com/hook`")]
    Syntax {
        /// What the parser said.
        reason: &'static str,
    },
    /// Another scheme.
    #[error("its scheme `{scheme}` is refused: {remedy}")]
    Scheme {
        /// The scheme.
        scheme: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A user or password before the host.
    #[error("it has a user or password before the host: leave them out, and sign the body instead")]
    UserInfo,
    /// A part after `#`, which no receiver sees.
    #[error("it has a fragment (`#...`), which no receiver sees: leave it out")]
    Fragment,
    /// A host that cannot exist.
    #[error(
        "its host is missing or malformed: give a name of letters, digits, hyphens and dots, of at most \
         {HOST_BYTES_MAX} bytes, or an address"
    )]
    Host,
    /// A host that is not listed.
    #[error("its host `{host}` is not in `allowed_hosts`: add it, or `*.` and the domain above it")]
    HostNotAllowed {
        /// The host.
        host: String,
    },
    /// A port that is not listed.
    #[error("its port {port} is refused: use one of {allowed}, or list it in `ports`")]
    Port {
        /// The port.
        port: u16,
        /// Those that are taken.
        allowed: String,
    },
    /// A host that is a refused address.
    #[error(transparent)]
    Address(#[from] RefusedAddress),
}

impl UrlRules {
    /// Takes a URL, or not. Nothing is resolved.
    ///
    /// # Errors
    ///
    /// [`RefusedUrl`] says why not.
    pub fn check(&self, text: &str) -> Result<Target, RefusedUrl> {
        check_text(text)?;
        let url =
            Url::parse(text).map_err(|refused| RefusedUrl::Syntax { reason: why(refused) })?;
        self.check_scheme(&url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RefusedUrl::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(RefusedUrl::Fragment);
        }
        // Normalised, it may be longer than it was written.
        check_length(url.as_str())?;
        let host = self.check_host(&url)?;
        let port = self.check_port(&url)?;
        Ok(Target { url, host, port })
    }

    fn check_scheme(&self, url: &Url) -> Result<(), RefusedUrl> {
        let remedy = match url.scheme() {
            "https" => return Ok(()),
            "http" if self.allow_http => return Ok(()),
            "http" => "use `https`, or set `allow_http=True`",
            _ => "use `https`",
        };
        let scheme = url.scheme().chars().take(HOST_LABEL_BYTES_MAX).collect();
        Err(RefusedUrl::Scheme { scheme, remedy })
    }

    fn check_host(&self, url: &Url) -> Result<String, RefusedUrl> {
        let host = url.host().ok_or(RefusedUrl::Host)?.to_owned();
        let name = host_name(&host)?;
        if let Some(hosts) = &self.hosts
            && !hosts.iter().any(|pattern| pattern.matches(&name))
        {
            return Err(RefusedUrl::HostNotAllowed { host: name });
        }
        if let Some(address) = address_of(&host) {
            self.guard.check(address)?;
        }
        Ok(name)
    }

    fn check_port(&self, url: &Url) -> Result<u16, RefusedUrl> {
        let port = url.port_or_known_default().ok_or(RefusedUrl::Host)?;
        if self.ports.contains(&port) {
            return Ok(port);
        }
        let allowed: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        Err(RefusedUrl::Port { port, allowed: allowed.join(", ") })
    }
}

fn check_text(text: &str) -> Result<(), RefusedUrl> {
    check_length(text)?;
    // The parser drops or replaces these; another reader of the same text may not.
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(RefusedUrl::Characters);
    }
    Ok(())
}

const fn check_length(text: &str) -> Result<(), RefusedUrl> {
    let size_bytes = text.len();
    if size_bytes > URL_BYTES_MAX { Err(RefusedUrl::TooLong { size_bytes }) } else { Ok(()) }
}

/// A host in one form: names in ASCII, addresses as they are printed.
fn host_name(host: &Host<String>) -> Result<String, RefusedUrl> {
    let Host::Domain(name) = host else { return Ok(host.to_string()) };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=HOST_LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_name_byte)
    };
    if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(RefusedUrl::Host);
    }
    Ok(name.to_owned())
}

/// The parser takes more, such as braces and quotes: no name has them, and no request is sent there.
const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')
}

/// The address that a host is, if it is one. No resolver is asked about it.
pub(crate) const fn address_of(host: &Host<String>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        Host::Domain(_) => None,
    }
}

/// What the parser said, without what it was given.
fn why(refused: url::ParseError) -> &'static str {
    use url::ParseError;
    match refused {
        ParseError::EmptyHost => "its host is empty",
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => "its host is no domain name",
        ParseError::InvalidPort => "its port is no number up to 65535",
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => {
            "its host is no valid address"
        }
        ParseError::RelativeUrlWithoutBase => "it has no scheme",
        _ => "it cannot be parsed",
    }
}

/// Makes a text one line of printable characters.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        return Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
    }
    Cow::Borrowed(text)
}
