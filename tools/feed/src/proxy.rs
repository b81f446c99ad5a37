//! Which proxy a connection goes through, by the variables that other programs go by too. A key is
//! never shown to a proxy: only what is encrypted up to the gateway goes through one, and nothing that
//! stays on this machine does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::gateway::Gateway;

/// In the order in which they count.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// A proxy of another kind, or none that can be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the proxy in {variable} is not of the form http://host:port; to do without it: NO_PROXY={host}"
)]
pub struct Error {
    variable: &'static str,
    host: String,
}

/// A proxy that is asked to `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address,
    pub host: String,
    /// and its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<String>,
}

/// The proxy for a gateway, given the environment.
///
/// # Errors
/// When it is of a kind that is not known here.
pub fn choose(
    gateway: &Gateway,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Error> {
    let given = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
    if !gateway.is_encrypted() || gateway.is_loopback() {
        return Ok(None);
    }
    let host = gateway.host();
    let exceptions = EXCEPTIONS.iter().find_map(given).unwrap_or_default();
    if exceptions
        .split([',', ' '])
        .any(|exception| covers(exception, &host))
    {
        return Ok(None);
    }
    let Some((name, value)) = VARIABLES
        .into_iter()
        .find_map(|name| Some((name, given(&name)?)))
    else {
        return Ok(None);
    };
    let value = value.trim();
    let url = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    parse(&url).map(Some).ok_or(Error {
        variable: name,
        host,
    })
}

fn parse(url: &str) -> Option<Proxy> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let authorization = (!url.username().is_empty()).then(|| {
        let user = format!("{}:{}", url.username(), url.password().unwrap_or_default());
        let user: Vec<u8> = percent_encoding::percent_decode_str(&user).collect();
        format!("Basic {}", STANDARD.encode(user))
    });
    Some(Proxy {
        host,
        port: url.port_or_known_default()?,
        authorization,
    })
}

/// `*` covers all, a name itself and what is below it.
fn covers(exception: &str, host: &str) -> bool {
    let exception = exception
        .trim()
        .trim_start_matches('.')
        .to_ascii_lowercase();
    !exception.is_empty()
        && (exception == "*"
            || host == exception
            || host
                .strip_suffix(&exception)
                .is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn chosen(gateway: &str, variables: &[(&str, &str)]) -> Result<Option<String>, Error> {
        let gateway = gateway.parse().unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = choose(&gateway, variable)?;
        Ok(proxy.map(|proxy| format!("{}:{}", proxy.host, proxy.port)))
    }

    const ALL: [(&str, &str); 4] = [
        ("http_proxy", "http://p:1"),
        ("HTTP_PROXY", "http://p:2"),
        ("HTTPS_PROXY", "http://p:3"),
        ("ALL_PROXY", "p:4"),
    ];

    #[test]
    fn what_is_not_encrypted_and_what_stays_here_goes_through_none() {
        for direct in [
            "http://gw.example",
            "https://127.0.0.1:3",
            "https://localhost",
            "https://[::1]",
        ] {
            assert_eq!(chosen(direct, &ALL), Ok(None), "{direct}");
        }
        assert_eq!(
            chosen("https://gw.example", &ALL),
            Ok(Some("p:3".to_owned()))
        );
        assert_eq!(
            chosen("https://gw.example", &ALL[3..]),
            Ok(Some("p:4".to_owned()))
        );
        assert_eq!(chosen("https://gw.example", &ALL[..2]), Ok(None));
        assert_eq!(
            chosen("https://gw.example", &[("https_proxy", " ")]),
            Ok(None)
        );
    }

    #[test]
    fn exceptions_are_heeded() {
        for (exceptions, is_direct) in [
            ("*", true),
            ("a, gw.example", true),
            (".example", true),
            ("example", true),
            ("w.example", false),
            ("", false),
        ] {
            let variables = [ALL[2], ("NO_PROXY", exceptions)];
            let proxy = chosen("https://gw.example", &variables).unwrap();
            assert_eq!(proxy.is_none(), is_direct, "{exceptions}");
        }
    }

    #[test]
    fn a_proxy_of_another_kind_is_named_without_its_password() {
        let error = chosen(
            "https://gw.example",
            &[("ALL_PROXY", "socks5://me:secret@p:1")],
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("ALL_PROXY") && text.contains("NO_PROXY=gw.example"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn a_proxy_is_shown_its_own_password() {
        let gateway = "https://gw.example".parse().unwrap();
        let proxy = choose(&gateway, |name| {
            (name == "https_proxy").then(|| "http://me:a%40b@[::1]:8".to_owned())
        });
        let proxy = proxy.unwrap().unwrap();
        assert_eq!(proxy.host, "::1");
        assert_eq!(
            proxy.authorization.unwrap(),
            format!("Basic {}", STANDARD.encode("me:a@b"))
        );
    }
}
