//! What a server listens to and how long it waits: one TOML file, apart from the policy set.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer};

use crate::socket::Address;
use crate::tls::TlsSettings;

/// The settings of a server. Each has a default, so that an empty file is one, too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where requests are answered: an address with a port, or `unix:` and a path; default `127.0.0.1:7171`.
    pub listen: Address,
    /// Where operators ask; default `127.0.0.1:7172`. `""` for none. Beyond this machine only with `tls` and `keys`, and
    /// encrypted there alone.
    #[serde(deserialize_with = "address")]
    pub admin: Option<Address>,
    /// Answers beyond the loopback without encryption, for hosts that have a proxy before them; default false.
    pub insecure: bool,
    /// Another server may listen on the same addresses, as a successor does before this one ends; both have to say so. Default
    /// false: two servers would answer in turn.
    pub share_addresses: bool,
    /// File of keys, as `weir key` writes it. Without one everybody who reaches `listen` may ask, for the tenant `default`.
    pub keys: Option<PathBuf>,
    /// What connections are encrypted with; default none.
    pub tls: Option<TlsSettings>,
    /// Most connections at once; default 10,000. What comes beyond waits in the kernel's queue.
    pub connections: usize,
    /// Most of them from one address; default 5,000. What comes beyond is closed at once, which is counted and logged.
    pub connections_per_address: usize,
    /// Until a request's head is there, from the connection's start or the answer before, so that an idle connection is closed
    /// after it, without a word; default 5 s.
    #[serde(deserialize_with = "time")]
    pub header_timeout: Duration,
    /// Until a request's body is there; default 10 s.
    #[serde(deserialize_with = "time")]
    pub body_timeout: Duration,
    /// A client that takes nothing of an answer for so long is gone; default 10 s.
    #[serde(deserialize_with = "time")]
    pub write_timeout: Duration,
    /// Longest body of one request, in bytes; default 1 MiB.
    pub body_bytes: usize,
    /// Longest body of a batch, in bytes; default 8 MiB.
    pub batch_bytes: usize,
    /// Most requests of a batch; default 1,000.
    pub batch_requests: usize,
    /// Longest body of a set that an operator sends, in bytes; default 64 MiB.
    pub set_bytes: usize,
    /// How long a caller waits who does not say so by `Weir-Timeout-Ms`, in milliseconds; default 50 ms.
    #[serde(deserialize_with = "time")]
    pub timeout: Duration,
    /// The longest that any caller waits, whatever they say, and a batch does; default 5 s.
    #[serde(deserialize_with = "time")]
    pub longest_timeout: Duration,
    /// How long what has begun is waited for at the end; default 10 s.
    #[serde(deserialize_with = "time")]
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: Address::Tcp((Ipv4Addr::LOCALHOST, 7171).into()),
            admin: Some(Address::Tcp((Ipv4Addr::LOCALHOST, 7172).into())),
            insecure: false,
            share_addresses: false,
            keys: None,
            tls: None,
            connections: 10_000,
            connections_per_address: 5_000,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            body_bytes: 1 << 20,
            batch_bytes: 8 << 20,
            batch_requests: 1_000,
            set_bytes: 64 << 20,
            timeout: Duration::from_millis(50),
            longest_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(10),
        }
    }
}

/// Settings that cannot be used: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Reads the text of a settings file.
    ///
    /// # Errors
    /// What is no TOML, no setting, or out of bounds, with its line.
    pub fn parse(text: &str) -> Result<Settings, SettingsError> {
        let settings: Settings = toml::from_str(text).map_err(|error| SettingsError(error.to_string()))?;
        settings.checked()
    }

    /// The settings, if they can be used.
    ///
    /// # Errors
    /// A bound of zero, or an address that would be open to everybody.
    pub fn checked(self) -> Result<Settings, SettingsError> {
        let counts = [
            ("connections", self.connections),
            ("connections_per_address", self.connections_per_address),
            ("body_bytes", self.body_bytes),
            ("batch_bytes", self.batch_bytes),
            ("batch_requests", self.batch_requests),
            ("set_bytes", self.set_bytes),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(SettingsError(format!("`{name}` is 0, so nobody could ask; expected 1 or more")));
        }
        if self.timeout > self.longest_timeout {
            let (timeout, longest) = (self.timeout.as_millis(), self.longest_timeout.as_millis());
            return Err(SettingsError(format!(
                "`timeout` is {timeout} ms, beyond the longest that a caller may wait: `longest_timeout` is {longest} ms"
            )));
        }
        let has_port = self.listen.tcp().is_none_or(|address| address.port() != 0);
        if has_port && self.admin.as_ref() == Some(&self.listen) {
            return Err(SettingsError(format!(
                "`listen` and `admin` are both {}: operators need an address of their own, or none (`admin = \"\"`)",
                self.listen
            )));
        }
        if !self.listen.is_local() && self.tls.is_none() && !self.insecure {
            return Err(SettingsError(format!(
                "`listen` is {}, which others reach, and nothing is encrypted: say `[tls]`, listen on a loopback address \
                 behind a proxy that encrypts, or say `insecure = true`",
                self.listen
            )));
        }
        if let Some(admin) = self.admin.as_ref().filter(|admin| !admin.is_local())
            && (self.tls.is_none() || self.keys.is_none())
        {
            return Err(SettingsError(format!(
                "`admin` is {admin}, which others reach: that needs `[tls]` and `keys`, or operators ask on a loopback address"
            )));
        }
        if self.keys.is_none() && self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
            return Err(SettingsError(
                "`client_ca` lets clients in by names that the file of keys knows, and there is no `keys`".to_owned(),
            ));
        }
        Ok(self)
    }
}

/// `5 s`, `50 ms`: from a millisecond to an hour.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: Option<Duration> = text.parse::<SignedDuration>().ok().and_then(|time| time.try_into().ok());
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    time.filter(|time| bounds.contains(time))
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no time from 1 ms to 1 h, such as \"5 s\"")))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults_and_every_setting_can_be_said() {
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
        let text = "listen = \"127.0.0.1:1\"\nadmin = \"\"\nkeys = \"k.toml\"\ntimeout = \"20 ms\"\ngrace = \"1m\"\nconnections = 3\n";
        let settings = Settings::parse(text).expect("the text is right");
        assert_eq!(
            (settings.listen.to_string().as_str(), settings.admin, settings.connections),
            ("127.0.0.1:1", None, 3)
        );
        assert_eq!((settings.timeout, settings.grace), (Duration::from_millis(20), Duration::from_secs(60)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, told) in [
            ("timeuot = \"1 s\"", "unknown field `timeuot`"),
            ("\ntimeout = \"soon\"", "line 2"),
            ("timeout = \"2 h\"", "1 ms to 1 h"),
            ("connections = 0", "`connections` is 0"),
            ("listen = \"0.0.0.0:80\"", "insecure = true"),
            ("admin = \"0.0.0.0:80\"", "loopback"),
            ("admin = \"0.0.0.0:80\"\nkeys = \"k\"", "needs `[tls]` and `keys`"),
            ("[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"", "there is no `keys`"),
            ("[tls]\ncertificate = \"c\"", "missing field `key`"),
            ("listen = \"unix:\"", "line 1"),
            ("listen = \"127.0.0.1:80\"\nadmin = \"127.0.0.1:80\"", "both 127.0.0.1:80"),
            ("timeout = \"6 s\"", "`longest_timeout` is 5000 ms"),
            ("listen = 80", "line 1"),
        ] {
            let error = Settings::parse(text).expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(Settings::parse("listen = \"0.0.0.0:80\"\ninsecure = true").is_ok());
        let tls = "\n[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"";
        assert!(
            Settings::parse(&format!("listen = \"0.0.0.0:80\"\nadmin = \"0.0.0.0:81\"\nkeys = \"k\"{tls}")).is_ok()
        );
        assert!(Settings::parse("listen = \"unix:/run/weir/weir.sock\"").is_ok());
    }
}
