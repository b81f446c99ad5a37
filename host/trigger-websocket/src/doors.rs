//! Who can reach the ports: on which addresses they listen, and with which certificate. An app without
//! keys does for everybody what it is asked to do, so it is kept to this machine, and its figures with it.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use app_manifest::App;
use listener::Tls;

use crate::cli::RunOptions;
use crate::variables::{self, Overrides};

/// The certificate and its key, if the operator names them.
///
/// # Errors
/// They cannot be used; the message says what to change.
pub fn certificate(options: &RunOptions) -> anyhow::Result<Option<Tls>> {
    let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Ok(None);
    };
    let tls = Tls::load(certificate, key)
        .context("no TLS with the files of --tls-cert and --tls-key: name a pair in PEM format")?;
    Ok(Some(tls))
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The app.
    App,
    /// The figures, and nothing else.
    Figures,
}

impl Port {
    /// The option that names its address.
    const fn option(self) -> &'static str {
        match self {
            Self::App => "--listen",
            Self::Figures => "--metrics-listen",
        }
    }

    /// What somebody could do there whom nothing keeps out.
    const fn harm(self) -> &'static str {
        match self {
            Self::App => "read, change and delete everything",
            Self::Figures => "read the figures",
        }
    }
}

/// The addresses to listen on, of which the first that can be had is taken.
///
/// # Errors
/// The name stands for no address, or for one that others can reach although the app has no keys.
pub async fn addresses(
    port: Port,
    listen: &str,
    options: &RunOptions,
    app: &App,
    environment: impl Fn(&str) -> Option<String>,
    given: &Overrides,
) -> anyhow::Result<Vec<SocketAddr>> {
    let (option, harm) = (port.option(), port.harm());
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {listen}: write an address and a port, such as {option} 127.0.0.1:3000"
            )
        })?
        .collect();
    let Some(exposed) = addresses.iter().find(|address| !is_loopback(address)) else {
        return Ok(addresses);
    };
    match variables::missing_keys(app, environment, given)? {
        Some(missing) if options.insecure => {
            let setting = missing.to_ascii_uppercase();
            tracing::warn!(
                "--insecure: no {setting}, and others can reach {listen}: whoever does may {harm}"
            );
        }
        Some(missing) => {
            let setting = missing.to_ascii_uppercase();
            bail!(
                "{setting} is empty, so whoever reaches {exposed} could {harm}: set {setting}, or listen on \
                 this machine only ({option} 127.0.0.1:{}), or say --insecure if something else keeps \
                 others out",
                exposed.port()
            );
        }
        None if port == Port::Figures => {
            tracing::warn!(
                "others can reach {listen}, where no key is asked for: whoever does may {harm}"
            );
        }
        None if app.settings.loopback_unless.is_some() && options.tls_cert.is_none() => {
            tracing::warn!(
                "others can reach {listen} and it speaks no TLS: keys and audio can be read on the way. \
                 Name a certificate with --tls-cert and --tls-key, or have a proxy speak TLS"
            );
        }
        None => {}
    }
    Ok(addresses)
}

/// Why a port could not be had, and what to do.
pub fn not_bound(port: Port, listen: &str, error: std::io::Error) -> anyhow::Error {
    let option = port.option();
    let why = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens there, maybe another gateway: stop it, or choose another port with {option}"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "this machine has no such address: choose one of its own with {option}, such as 127.0.0.1:3000, or \
             0.0.0.0:3000 for all"
        ),
        ErrorKind::PermissionDenied => format!(
            "only the administrator may take this port: choose one from 1024 on with {option}, or give the \
             program the right to (CAP_NET_BIND_SERVICE)"
        ),
        _ => format!("choose another address with {option}"),
    };
    anyhow::Error::from(error).context(format!("cannot listen on {listen}: {why}"))
}

/// Whether only this machine can reach it. An IPv4 address may come dressed as an IPv6 one.
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn app(setting: &str) -> App {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "test"
            [application.trigger.websocket]
            {setting}
            [variables]
            keys = {{ default = "", secret = true }}
            [[trigger.websocket]]
            route = "/..."
            component = "a"
            [component.a]
            source = "a.wasm"
            "#
        );
        let file = folder.path().join("spin.toml");
        std::fs::write(&file, manifest).unwrap();
        std::fs::write(folder.path().join("a.wasm"), "").unwrap();
        App::from_spin_toml(&file).unwrap()
    }

    async fn opens(
        port: Port,
        app: &App,
        listen: &str,
        more: &[&str],
        keys: &str,
    ) -> Result<(), String> {
        let options = ["host"].iter().chain(more);
        let options = Cli::try_parse_from(options).unwrap().run;
        let environment = |name: &str| (name == "KEYS").then(|| keys.to_owned());
        addresses(port, listen, &options, app, environment, &Overrides::new())
            .await
            .map(|addresses| assert!(!addresses.is_empty()))
            .map_err(|error| format!("{error:#}"))
    }

    async fn listens(app: &App, listen: &str, more: &[&str], keys: &str) -> Result<(), String> {
        opens(Port::App, app, listen, more, keys).await
    }

    #[tokio::test]
    async fn without_keys_only_this_machine_is_served_unless_it_is_said() {
        let app = app(r#"loopback_unless = "keys""#);
        for address in [
            "127.0.0.1:0",
            "127.1.2.3:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            listens(&app, address, &[], "").await.unwrap();
        }
        for address in [
            "0.0.0.0:80",
            "[::]:80",
            "192.0.2.1:80",
            "[::ffff:192.0.2.1]:80",
        ] {
            let error = listens(&app, address, &[], " ").await.unwrap_err();
            for part in ["KEYS is empty", "--insecure", "--listen 127.0.0.1:80"] {
                assert!(error.contains(part), "{part}: {error}");
            }
            listens(&app, address, &["--insecure"], "").await.unwrap();
            listens(&app, address, &[], "a-key").await.unwrap();
        }
    }

    #[tokio::test]
    async fn figures_are_kept_to_this_machine_as_the_app_is() {
        let app = app(r#"loopback_unless = "keys""#);
        let opens = async |address, more: &[&str], keys| {
            opens(Port::Figures, &app, address, more, keys).await
        };
        opens("127.0.0.1:9100", &[], "").await.unwrap();
        for address in ["0.0.0.0:9100", "[::]:9100", "192.0.2.1:9100"] {
            let error = opens(address, &[], "").await.unwrap_err();
            for part in [
                "KEYS is empty",
                "--insecure",
                "--metrics-listen 127.0.0.1:9100",
                "read the figures",
            ] {
                assert!(error.contains(part), "{part}: {error}");
            }
            opens(address, &["--insecure"], "").await.unwrap();
            opens(address, &[], "a-key").await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_app_that_asks_for_no_keys_listens_anywhere() {
        listens(&app(""), "0.0.0.0:80", &[], "").await.unwrap();
    }

    #[test]
    fn a_port_that_cannot_be_had_is_told_with_what_to_do() {
        for (kind, port, part) in [
            (
                ErrorKind::AddrInUse,
                Port::App,
                "another program listens there",
            ),
            (ErrorKind::AddrNotAvailable, Port::App, "no such address"),
            (
                ErrorKind::PermissionDenied,
                Port::Figures,
                "from 1024 on with --metrics-listen",
            ),
            (
                ErrorKind::Other,
                Port::App,
                "choose another address with --listen",
            ),
        ] {
            let said = not_bound(port, "192.0.2.1:80", kind.into()).to_string();
            assert!(
                said.starts_with("cannot listen on 192.0.2.1:80: "),
                "{said}"
            );
            assert!(
                said.contains(part) && said.contains(port.option()),
                "{said}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused_with_an_example() {
        let error = listens(&app(""), "nothing", &[], "").await.unwrap_err();
        assert!(error.contains("127.0.0.1:3000"), "{error}");
    }
}
