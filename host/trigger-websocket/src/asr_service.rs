//! Which ASR service the app talks to: the real one, or the simulator in this process, whose transcripts are
//! invented. Invented transcripts must not reach anybody who takes them for real ones: beyond a trial on this
//! machine the simulator runs only when the operator asks for it.

use std::net::SocketAddr;

use anyhow::bail;
use app_manifest::{App, Variables};
use asr_simulator::{Options, Simulator};
use clap::ValueEnum;

use crate::doors::is_loopback;
use crate::variables::{self, Overrides};

/// The variable that switches recognition off, where the app declares it.
const ASR_ENABLED: &str = "asr_enabled";
/// What it says then, as `interview-settings` reads it.
const OFF: [&str; 4] = ["0", "false", "no", "off"];

/// `--asr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AsrOption {
    /// The real service when its key is set. Without a key the simulator, but only while the gateway listens on
    /// loopback and has no keys of its own.
    #[default]
    Auto,
    /// The built-in simulator, whatever is set: its transcripts are invented.
    Simulator,
    /// The real service, or no start.
    Service,
}

/// Why the simulator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// `--asr simulator`.
    AskedFor,
    /// This setting is empty, and nobody but this machine can be misled.
    NoKey(String),
}

/// Whether the simulator stands in for the service; `reach` are the addresses of the app's port.
///
/// # Errors
/// Neither the service nor the simulator may be used; the message says what to set.
pub fn choose(
    option: AsrOption,
    app: &App,
    environment: impl Fn(&str) -> Option<String>,
    given: &Overrides,
    reach: &[SocketAddr],
) -> anyhow::Result<Option<Simulated>> {
    let Some(key) = app.settings.asr_simulator_unless.as_deref() else {
        if option == AsrOption::Simulator {
            bail!(
                "--asr simulator: this app's manifest does not say where the simulator stands in \
                 (application.trigger.websocket.asr_simulator_unless): leave --asr out"
            );
        }
        return Ok(None);
    };
    if option == AsrOption::Simulator {
        return Ok(Some(Simulated::AskedFor));
    }
    let values = Variables::resolve(app, &environment, given)?;
    let value = |name: &str| values.get(name).unwrap_or_default().trim();
    if !value(key).is_empty() || OFF.contains(&value(ASR_ENABLED).to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let setting = key.to_ascii_uppercase();
    let exposed = reach.iter().find(|address| !is_loopback(address));
    let keys = variables::keys(app, &environment, given)?;
    let why = match (option, exposed, keys) {
        (AsrOption::Service, ..) => "--asr service asks for the real one".to_owned(),
        (_, Some(address), _) => format!("others can reach {address}"),
        (_, None, Some(keys)) => format!("{} is set", keys.to_ascii_uppercase()),
        (_, None, None) => return Ok(Some(Simulated::NoKey(setting))),
    };
    bail!(
        "{setting} is empty, so there is no ASR service, and {why}: set {setting}; or say --asr simulator, whose \
         transcripts are INVENTED; or set {}=false, and audio is stored and not transcribed",
        ASR_ENABLED.to_ascii_uppercase()
    )
}

/// Starts the simulator in this process, with so many connections at most, and says so, loudly.
///
/// # Errors
/// No loopback port can be bound.
pub async fn start(why: &Simulated, connections: usize) -> std::io::Result<Simulator> {
    let defaults = Options::default();
    let options = Options {
        max_connections: connections.min(defaults.max_connections),
        ..defaults
    };
    let simulator = Simulator::start(options).await?;
    let url = simulator.url();
    match why {
        Simulated::NoKey(setting) => tracing::warn!(
            url,
            "no {setting}: using the built-in ASR simulator; its transcripts are INVENTED. Set {setting} \
             in the environment to use the real service"
        ),
        Simulated::AskedFor => tracing::warn!(
            url,
            "--asr simulator: using the built-in ASR simulator; its transcripts are INVENTED"
        ),
    }
    Ok(simulator)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn app(settings: &str) -> App {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "test"
            [application.trigger.websocket]
            {settings}
            [variables]
            asr_key = {{ default = "", secret = true }}
            asr_enabled = {{ default = "true" }}
            keys = {{ default = "", secret = true }}
            [[trigger.websocket]]
            route = "/..."
            component = "entry"
            [component.entry]
            source = "entry.wasm"
            "#
        );
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, manifest).unwrap();
        App::from_spin_toml(&path).unwrap()
    }

    const SETTINGS: &str = "asr_simulator_unless = \"asr_key\"\nloopback_unless = \"keys\"";
    const LOOPBACK: &str = "127.0.0.1:3000";
    const EXPOSED: &str = "192.0.2.7:3000";

    fn chosen(
        option: AsrOption,
        listen: &str,
        set: &[(&str, &str)],
    ) -> Result<Option<Simulated>, String> {
        let environment = |name: &str| {
            let found = set.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let reach = [listen.parse().unwrap()];
        choose(
            option,
            &app(SETTINGS),
            environment,
            &Overrides::new(),
            &reach,
        )
        .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_trial_on_this_machine_needs_no_key() {
        for set in [&[][..], &[("ASR_KEY", " ")]] {
            let simulated = chosen(AsrOption::Auto, LOOPBACK, set).unwrap();
            assert_eq!(simulated, Some(Simulated::NoKey("ASR_KEY".to_owned())));
        }
    }

    #[test]
    fn an_empty_key_is_refused_where_somebody_could_be_misled() {
        let keys = [("KEYS", "a-key")];
        for (listen, set, why) in [
            (EXPOSED, &[][..], "others can reach 192.0.2.7:3000"),
            ("[::]:80", &keys[..], "others can reach [::]:80"),
            (LOOPBACK, &keys[..], "KEYS is set"),
        ] {
            let error = chosen(AsrOption::Auto, listen, set).unwrap_err();
            for part in [
                "ASR_KEY is empty",
                why,
                "--asr simulator",
                "ASR_ENABLED=false",
            ] {
                assert!(error.contains(part), "{part}: {error}");
            }
            let simulated = chosen(AsrOption::Simulator, listen, set).unwrap();
            assert_eq!(simulated, Some(Simulated::AskedFor));
            let mut with_key = set.to_vec();
            with_key.push(("ASR_KEY", "k"));
            assert_eq!(chosen(AsrOption::Auto, listen, &with_key), Ok(None));
            let mut off = set.to_vec();
            off.push(("ASR_ENABLED", " Off "));
            assert_eq!(chosen(AsrOption::Auto, listen, &off), Ok(None));
        }
    }

    #[test]
    fn what_is_asked_for_goes_before_what_is_set() {
        let with_key = [("ASR_KEY", "k")];
        let simulated = chosen(AsrOption::Simulator, LOOPBACK, &with_key).unwrap();
        assert_eq!(simulated, Some(Simulated::AskedFor));
        assert_eq!(chosen(AsrOption::Service, LOOPBACK, &with_key), Ok(None));
        let error = chosen(AsrOption::Service, LOOPBACK, &[]).unwrap_err();
        assert!(error.contains("--asr service"), "{error}");
    }

    #[test]
    fn an_app_that_has_no_part_for_the_simulator_cannot_ask_for_it() {
        let none = Overrides::new();
        let reach = [EXPOSED.parse().unwrap()];
        let choose = |option| choose(option, &app(""), |_| None, &none, &reach);
        assert_eq!(choose(AsrOption::Auto).unwrap(), None);
        let error = choose(AsrOption::Simulator).unwrap_err().to_string();
        assert!(error.contains("asr_simulator_unless"), "{error}");
    }
}
