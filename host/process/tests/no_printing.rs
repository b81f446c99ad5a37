//! No server prints: `println!` waits for whoever reads slowly, and panics when nobody reads. Clippy holds every
//! crate to it that says so, and here each is held to say so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

const DENIED: &str = "#![deny(clippy::print_stderr, clippy::print_stdout)]";

#[test]
fn every_crate_of_the_host_and_the_simulator_forbids_printing() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let host = std::fs::read_dir(workspace.join("host")).unwrap();
    let mut crates: Vec<_> = host.map(|entry| entry.unwrap().path()).collect();
    crates.push(workspace.join("tools/asr-simulator"));
    let mut roots = 0;
    for root in crates
        .iter()
        .flat_map(|path| [path.join("src/lib.rs"), path.join("src/main.rs")])
    {
        if let Ok(source) = std::fs::read_to_string(&root) {
            assert!(
                source.contains(DENIED),
                "{} does not say {DENIED}",
                root.display()
            );
            roots += 1;
        }
    }
    assert!(roots >= 10, "{roots}");
}
