//! Puts components into the imports of another one, when the app is built: Spin and the host compose one
//! level when they start, so that what is deeper must be one component by then.
//!
//! `compose finalizer.wasm --with blob_store_s3.wasm --output finalizer_s3.wasm`
//!
//! It knows no manifest and runs nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId};

/// Puts components into the imports of another one.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The component whose imports are satisfied, and whose exports the whole has.
    root: PathBuf,

    /// A component that exports what the root imports; one instance for all it exports.
    #[arg(long, required = true)]
    with: Vec<PathBuf>,

    /// Where the whole is written.
    #[arg(long)]
    output: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let composed = compose(&options)?;
    std::fs::write(&options.output, composed)
        .with_context(|| format!("cannot write {}", options.output.display()))
}

fn compose(options: &Options) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let root = register(&mut graph, &options.root, 0)?;
    let imports = names(&graph, root, Side::Imports);
    let whole = graph.instantiate(root);
    for (path, number) in options.with.iter().zip(1..) {
        let package = register(&mut graph, path, number)?;
        let instance = graph.instantiate(package);
        let mut fits = false;
        for name in names(&graph, package, Side::Exports) {
            if !imports.contains(&name) {
                continue;
            }
            let export = graph.alias_instance_export(instance, &name)?;
            graph
                .set_instantiation_argument(whole, &name, export)
                .with_context(|| format!("{name} of {}", path.display()))?;
            fits = true;
        }
        if !fits {
            bail!(
                "{} exports nothing that {} imports: {}",
                path.display(),
                options.root.display(),
                imports.join(", ")
            );
        }
    }
    for name in names(&graph, root, Side::Exports) {
        let export = graph.alias_instance_export(whole, &name)?;
        graph.export(export, &name)?;
    }
    Ok(graph.encode(EncodeOptions::default())?)
}

fn register(graph: &mut CompositionGraph, path: &Path, number: usize) -> Result<PackageId> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = format!("part:part-{number}");
    let package = Package::from_bytes(&name, None, bytes, graph.types_mut())
        .with_context(|| format!("{} is no component", path.display()))?;
    Ok(graph.register_package(package)?)
}

#[derive(Clone, Copy)]
enum Side {
    Imports,
    Exports,
}

fn names(graph: &CompositionGraph, package: PackageId, side: Side) -> Vec<String> {
    let world = &graph.types()[graph[package].ty()];
    let items = match side {
        Side::Imports => &world.imports,
        Side::Exports => &world.exports,
    };
    items.keys().cloned().collect()
}
