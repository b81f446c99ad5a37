//! Why a component and its dependencies do not make one.

use std::path::PathBuf;

use thiserror::Error;

/// Why a component cannot be made. Every message names the component and says what to change.
#[derive(Debug, Error)]
pub enum CompositionError {
    /// The file of the component or of a dependency is not there or cannot be read.
    #[error("component '{component}': cannot read {}: {source}. Build it first: `trigger-websocket up --build`", path.display())]
    Unreadable {
        /// Its id in the manifest.
        component: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("component '{component}': {} is not a WebAssembly component ({reason}). Build it with `--target wasm32-wasip2`", path.display())]
    NotAComponent {
        /// Its id in the manifest.
        component: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name of a dependency matches nothing that the component imports.
    #[error(
        "component '{component}' imports nothing that its dependency \"{dependency}\" names. It imports: {imports}"
    )]
    Unmatched {
        /// Its id in the manifest.
        component: String,
        /// The entry's name.
        dependency: String,
        /// What could be named.
        imports: String,
    },
    /// Two dependencies satisfy one import.
    #[error(
        "component '{component}': both \"{first}\" and \"{second}\" satisfy its import {import}. Remove one"
    )]
    Conflict {
        /// Its id in the manifest.
        component: String,
        /// An entry's name.
        first: String,
        /// Another entry's name.
        second: String,
        /// The import.
        import: String,
    },
    /// The dependency does not export what is imported.
    #[error("component '{component}': the dependency \"{dependency}\" ({}) does not export {export}. It exports: {exports}", path.display())]
    MissingExport {
        /// Its id in the manifest.
        component: String,
        /// The entry's name.
        dependency: String,
        /// Its file.
        path: PathBuf,
        /// What is missing.
        export: String,
        /// What it has.
        exports: String,
    },
    /// The export is not what is imported.
    #[error(
        "component '{component}': {export} of its dependency \"{dependency}\" is not the interface it imports: {reason}. Build both from the same WIT"
    )]
    Mismatch {
        /// Its id in the manifest.
        component: String,
        /// The entry's name.
        dependency: String,
        /// The export.
        export: String,
        /// Where the types differ.
        reason: String,
    },
    /// A dependency imports what it may not use.
    #[error(
        "component '{component}': its dependency \"{dependency}\" imports {import} but does not inherit the configuration. Add `inherit_configuration = [\"{needed}\"]` to the dependency, if it may use it"
    )]
    NotInherited {
        /// Its id in the manifest.
        component: String,
        /// The entry's name.
        dependency: String,
        /// What it imports.
        import: String,
        /// What it needs to inherit.
        needed: &'static str,
    },
    /// The parts do not make a whole.
    #[error("component '{component}' cannot be composed with its dependencies: {reason}")]
    Failed {
        /// Its id in the manifest.
        component: String,
        /// What went wrong.
        reason: String,
    },
}
