//! From the manifest's component to code that can be instantiated, and what that code serves.

use std::time::Instant;

use anyhow::Context;
use app_manifest::Component as Entry;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::capability::Ctx;
use crate::composition::compose;

/// A component is a mailbox when it exports an interface of this name.
const MAILBOX: &str = "realtime:sockets/mailbox@";

/// As [`MAILBOX`]; what else a mailbox needs.
const UPGRADES: &str = "realtime:sockets/upgrades@";

/// The interface with which a component answers HTTP requests.
const HTTP: &str = "wasi:http/handler@0.3.";

/// What a component serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// WebSockets.
    pub mailbox: bool,
    /// HTTP requests.
    pub http: bool,
}

impl Serves {
    fn of<'a>(exports: impl Iterator<Item = &'a str>) -> Self {
        let (mut mailbox, mut upgrades, mut http) = (false, false, false);
        for name in exports {
            mailbox |= name.starts_with(MAILBOX);
            upgrades |= name.starts_with(UPGRADES);
            http |= name.starts_with(HTTP);
        }
        Self {
            mailbox: mailbox && upgrades,
            http,
        }
    }
}

/// Composed, compiled and linked: ready to be instantiated.
pub struct Prepared {
    /// Its id in the manifest.
    pub id: String,
    /// What it serves.
    pub serves: Serves,
    /// The code.
    pub pre: InstancePre<Ctx>,
}

/// Composes, compiles (or loads what was compiled before) and links a component. Takes a second or
/// so of CPU the first time.
///
/// # Errors
/// Its files do not fit together, it imports what this host has not, or it serves nothing.
pub fn prepare(engine: &Engine, linker: &Linker<Ctx>, entry: &Entry) -> anyhow::Result<Prepared> {
    let start = Instant::now();
    let bytes = compose(entry)?;
    let composed = start.elapsed();
    let component = Component::from_binary(engine, &bytes)
        .map_err(anyhow::Error::from)
        .with_context(|| {
            format!(
                "component '{}' ({}) is not a WebAssembly component that this host can run",
                entry.id,
                entry.source.display()
            )
        })?;
    let compiled = start.elapsed() - composed;
    let exports: Vec<String> = component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    let serves = Serves::of(exports.iter().map(String::as_str));
    anyhow::ensure!(
        serves.mailbox || serves.http,
        "component '{}' has a websocket trigger but exports neither realtime:sockets/upgrades and \
         mailbox nor wasi:http/handler. It exports: {}",
        entry.id,
        exports.join(", ")
    );
    let pre = linker.instantiate_pre(&component).map_err(anyhow::Error::from).with_context(|| {
        format!(
            "component '{}' imports something that this host does not offer (add what is missing to \
             [component.{}.dependencies], or build the component for this host)",
            entry.id, entry.id
        )
    })?;
    tracing::info!(
        component = entry.id,
        composed_ms = composed.as_millis() as u64,
        compiled_or_loaded_ms = compiled.as_millis() as u64,
        bytes = bytes.len(),
        "component ready"
    );
    Ok(Prepared {
        id: entry.id.clone(),
        serves,
        pre,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_say_what_is_served() {
        let of = |names: &[&str]| Serves::of(names.iter().copied());
        assert_eq!(
            of(&[
                "realtime:sockets/upgrades@0.1.0",
                "realtime:sockets/mailbox@0.1.0"
            ]),
            Serves {
                mailbox: true,
                http: false
            }
        );
        assert_eq!(
            of(&["wasi:http/handler@0.3.0"]),
            Serves {
                mailbox: false,
                http: true
            }
        );
        assert!(!of(&["realtime:sockets/mailbox@0.1.0"]).mailbox);
        assert_eq!(
            of(&["wasi:cli/run@0.2.6"]),
            Serves {
                mailbox: false,
                http: false
            }
        );
    }
}
