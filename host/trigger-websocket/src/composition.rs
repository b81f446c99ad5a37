//! Makes one component of a component and its dependencies, by Spin's rules: an entry of
//! `[component.X.dependencies]` is one instance, and satisfies every import that its name matches.
//! It reads no manifest and runs nothing.

mod error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use app_manifest::{Component, Dependency};
use wac_graph::types::{Package, SubtypeChecker};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId};

pub use error::CompositionError;

use crate::capability::inheritance;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use app_manifest::App;
    use wasmtime::component::Linker;
    use wasmtime::{Engine, Store};

    /// Imports two interfaces of one package and exports their sum.
    const ROOT: &str = r#"(component
        (import "a:b/one@1.0.0" (instance $one (export "get" (func (result u32)))))
        (import "a:b/two@1.0.0" (instance $two (export "get" (func (result u32)))))
        (core func $one (canon lower (func $one "get")))
        (core func $two (canon lower (func $two "get")))
        (core module $m
            (import "" "one" (func $one (result i32)))
            (import "" "two" (func $two (result i32)))
            (func (export "sum") (result i32) (i32.add (call $one) (call $two))))
        (core instance $i (instantiate $m (with "" (instance
            (export "one" (func $one)) (export "two" (func $two))))))
        (func (export "sum") (result u32) (canon lift (core func $i "sum"))))"#;

    /// Counts its calls from 1, in one counter for both interfaces.
    const LEAF: &str = r#"(component
        (core module $m
            (global $calls (mut i32) (i32.const 0))
            (func (export "get") (result i32)
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (global.get $calls)))
        (core instance $i (instantiate $m))
        (func $get (result u32) (canon lift (core func $i "get")))
        (instance $counter (export "get" (func $get)))
        (export "a:b/one@1.0.0" (instance $counter))
        (export "a:b/two@1.0.0" (instance $counter)))"#;

    fn with_import(import: &str) -> String {
        let import = format!(r#"(component (import "{import}" (instance))"#);
        LEAF.replacen("(component", &import, 1)
    }

    /// What compose says to this app: the dependencies of the component `root`, a leaf's code.
    fn compose_with(dependencies: &str, leaf: &str) -> Result<Vec<u8>, CompositionError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("root.wasm"),
            wat::parse_str(ROOT).unwrap(),
        )
        .unwrap();
        std::fs::write(
            folder.path().join("leaf.wasm"),
            wat::parse_str(leaf).unwrap(),
        )
        .unwrap();
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "test"
            [[trigger.websocket]]
            route = "/..."
            component = "root"
            [component.root]
            source = "root.wasm"
            [component.root.dependencies]
            {dependencies}
            [component.leaf]
            source = "leaf.wasm"
            "#
        );
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, manifest).unwrap();
        compose(&App::from_spin_toml(&path).unwrap().components["root"])
    }

    fn sum(bytes: &[u8]) -> u32 {
        let engine = Engine::default();
        let component = wasmtime::component::Component::from_binary(&engine, bytes).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &component)
            .unwrap();
        let sum = instance
            .get_typed_func::<(), (u32,)>(&mut store, "sum")
            .unwrap();
        sum.call(&mut store, ()).unwrap().0
    }

    const PACKAGE: &str = r#""a:b@1.0.0" = { component = "leaf" }"#;
    const INTERFACES: &str = r#"
        "a:b/one@1.0.0" = { component = "leaf" }
        "a:b/two@1.0.0" = { component = "leaf" }"#;

    #[test]
    fn an_entry_that_names_a_package_is_one_instance() {
        assert_eq!(sum(&compose_with(PACKAGE, LEAF).unwrap()), 1 + 2);
    }

    #[test]
    fn two_entries_are_two_instances() {
        assert_eq!(sum(&compose_with(INTERFACES, LEAF).unwrap()), 1 + 1);
    }

    #[test]
    fn a_dependency_that_matches_nothing_is_refused() {
        let error = compose_with(r#""x:y/z@1.0.0" = { component = "leaf" }"#, LEAF).unwrap_err();
        assert!(
            matches!(error, CompositionError::Unmatched { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("a:b/one@1.0.0"), "{error}");
    }

    #[test]
    fn a_missing_export_is_named() {
        let leaf = LEAF.replace("a:b/two", "a:b/three");
        let error = compose_with(PACKAGE, &leaf).unwrap_err();
        assert!(
            matches!(error, CompositionError::MissingExport { .. }),
            "{error}"
        );
    }

    #[test]
    fn an_export_of_another_type_is_refused() {
        let leaf = LEAF.replace("(func $get (result u32)", "(func $get (result s32)");
        let error = compose_with(PACKAGE, &leaf).unwrap_err();
        assert!(
            matches!(error, CompositionError::Mismatch { .. }),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_inherited_must_not_be_imported() {
        let leaf = with_import("wasi:keyvalue/store@0.2.0-draft2");
        let error = compose_with(PACKAGE, &leaf).unwrap_err();
        assert!(
            matches!(error, CompositionError::NotInherited { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("key_value_stores"), "{error}");
        let inheriting =
            PACKAGE.replace("}", r#", inherit_configuration = ["key_value_stores"] }"#);
        compose_with(&inheriting, &leaf).unwrap();
        let other = PACKAGE.replace("}", r#", inherit_configuration = ["variables"] }"#);
        assert!(compose_with(&other, &leaf).is_err());
    }

    #[test]
    fn a_missing_file_is_named_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        let manifest = "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
            [[trigger.websocket]]\nroute = \"/...\"\ncomponent = \"root\"\n\
            [component.root]\nsource = \"root.wasm\"\n";
        std::fs::write(&path, manifest).unwrap();
        let error = compose(&App::from_spin_toml(&path).unwrap().components["root"]).unwrap_err();
        assert!(error.to_string().contains("--build"), "{error}");
    }
}
