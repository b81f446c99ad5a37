//! Makes one component of a component and its dependencies, by Spin's rules: an entry of
//! `[component.X.dependencies]` is one instance, and satisfies every import that its name matches.
//! It reads no manifest and runs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use app_manifest::{Component, Dependency};
use thiserror::Error;
use wac_graph::types::{Package, SubtypeChecker};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

use crate::capability::inheritance;

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

/// The bytes of `component` with its dependencies inside.
///
/// # Errors
/// When a file is missing, or the dependencies do not fit or take what they do not inherit.
pub fn compose(component: &Component) -> Result<Vec<u8>, CompositionError> {
    let root_bytes = read(&component.id, &component.source)?;
    if component.dependencies.is_empty() {
        return Ok(root_bytes);
    }
    let mut composer = Composer::new(component);
    let root_package = composer.register(&component.source, root_bytes)?;
    let root = composer.graph.instantiate(root_package);
    for (import, argument) in composer.arguments(root_package)? {
        composer
            .graph
            .set_instantiation_argument(root, &import, argument)
            .map_err(|error| composer.failed(error))?;
    }
    for name in composer.exports(root_package) {
        let export = composer
            .graph
            .alias_instance_export(root, &name)
            .map_err(|error| composer.failed(error))?;
        composer
            .graph
            .export(export, &name)
            .map_err(|error| composer.failed(error))?;
    }
    // The compiler validates it.
    let options = EncodeOptions {
        validate: false,
        ..EncodeOptions::default()
    };
    composer
        .graph
        .encode(options)
        .map_err(|error| composer.failed(error))
}

fn read(component: &str, path: &Path) -> Result<Vec<u8>, CompositionError> {
    std::fs::read(path).map_err(|source| CompositionError::Unreadable {
        component: component.to_owned(),
        path: path.to_owned(),
        source,
    })
}

struct Composer<'a> {
    component: &'a Component,
    graph: CompositionGraph,
    /// Two entries with one file share its bytes, not an instance.
    packages: BTreeMap<PathBuf, PackageId>,
}

impl<'a> Composer<'a> {
    fn new(component: &'a Component) -> Self {
        Self {
            component,
            graph: CompositionGraph::new(),
            packages: BTreeMap::new(),
        }
    }

    fn failed(&self, error: impl Into<anyhow::Error>) -> CompositionError {
        CompositionError::Failed {
            component: self.component.id.clone(),
            reason: format!("{:#}", error.into()),
        }
    }

    fn register(&mut self, path: &Path, bytes: Vec<u8>) -> Result<PackageId, CompositionError> {
        let name = format!("part:{}", self.packages.len());
        let package =
            Package::from_bytes(&name, None, bytes, self.graph.types_mut()).map_err(|error| {
                CompositionError::NotAComponent {
                    component: self.component.id.clone(),
                    path: path.to_owned(),
                    reason: format!("{error:#}"),
                }
            })?;
        let id = self
            .graph
            .register_package(package)
            .map_err(|error| self.failed(error))?;
        self.packages.insert(path.to_owned(), id);
        Ok(id)
    }

    fn imports(&self, package: PackageId) -> Vec<String> {
        self.graph.types()[self.graph[package].ty()]
            .imports
            .keys()
            .cloned()
            .collect()
    }

    fn exports(&self, package: PackageId) -> Vec<String> {
        self.graph.types()[self.graph[package].ty()]
            .exports
            .keys()
            .cloned()
            .collect()
    }

    /// What each import of the root that a dependency satisfies is satisfied by.
    fn arguments(&mut self, root: PackageId) -> Result<BTreeMap<String, NodeId>, CompositionError> {
        let imports = self.imports(root);
        let mut arguments = BTreeMap::new();
        let mut satisfied_by: BTreeMap<&str, &Dependency> = BTreeMap::new();
        for dependency in &self.component.dependencies {
            let matched: Vec<&str> = imports
                .iter()
                .map(String::as_str)
                .filter(|import| dependency.name.matches(import))
                .collect();
            if matched.is_empty() {
                return Err(CompositionError::Unmatched {
                    component: self.component.id.clone(),
                    dependency: dependency.name.to_string(),
                    imports: imports.join(", "),
                });
            }
            for import in &matched {
                if let Some(other) = satisfied_by.insert(import, dependency) {
                    return Err(CompositionError::Conflict {
                        component: self.component.id.clone(),
                        first: other.name.to_string(),
                        second: dependency.name.to_string(),
                        import: (*import).to_owned(),
                    });
                }
            }
            let package = match self.packages.get(&dependency.source) {
                Some(package) => *package,
                None => {
                    let bytes = read(&self.component.id, &dependency.source)?;
                    self.register(&dependency.source, bytes)?
                }
            };
            self.check_inheritance(dependency, package)?;
            let instance = self.graph.instantiate(package);
            for import in matched {
                let export = self.export_for(dependency, package, root, import)?;
                let alias = self
                    .graph
                    .alias_instance_export(instance, &export)
                    .map_err(|error| self.failed(error))?;
                arguments.insert(import.to_owned(), alias);
            }
        }
        Ok(arguments)
    }

    /// A composed part is not told apart from the whole once it runs: what a dependency may not use
    /// it must not import.
    fn check_inheritance(
        &self,
        dependency: &Dependency,
        package: PackageId,
    ) -> Result<(), CompositionError> {
        for import in self.imports(package) {
            if let Some(needed) = inheritance::needed(&import)
                && !dependency.inherit.allows(needed)
            {
                return Err(CompositionError::NotInherited {
                    component: self.component.id.clone(),
                    dependency: dependency.name.to_string(),
                    import,
                    needed,
                });
            }
        }
        Ok(())
    }

    /// The name of the dependency's export that satisfies `import`, if it fits.
    fn export_for(
        &self,
        dependency: &Dependency,
        package: PackageId,
        root: PackageId,
        import: &str,
    ) -> Result<String, CompositionError> {
        let types = self.graph.types();
        let name = dependency.export.as_deref().unwrap_or(import);
        let exports = &types[self.graph[package].ty()].exports;
        let Some(export) = exports.get(name) else {
            return Err(CompositionError::MissingExport {
                component: self.component.id.clone(),
                dependency: dependency.name.to_string(),
                path: dependency.source.clone(),
                export: name.to_owned(),
                exports: exports.keys().cloned().collect::<Vec<_>>().join(", "),
            });
        };
        let mut cache = Default::default();
        let expected = types[self.graph[root].ty()].imports.get(import);
        if let Some(expected) = expected
            && let Err(error) =
                SubtypeChecker::new(&mut cache).is_subtype(*export, types, *expected, types)
        {
            return Err(CompositionError::Mismatch {
                component: self.component.id.clone(),
                dependency: dependency.name.to_string(),
                export: name.to_owned(),
                reason: format!("{error:#}"),
            });
        }
        Ok(name.to_owned())
    }
}
