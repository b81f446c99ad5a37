//! Builds what the tests run: the host and `feed`, into the target directory that the test itself was
//! built into, so that nothing is built twice, and the components, where spin.toml looks for them.
//!
//! `GATEWAY_BIN` names a host that is built already, with `feed` beside it; with `GATEWAY_NO_BUILD=1`
//! nothing is built.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// A host that is built already.
pub const GATEWAY_BIN: &str = "GATEWAY_BIN";
/// Set to anything but nothing or `0`: build nothing.
pub const GATEWAY_NO_BUILD: &str = "GATEWAY_NO_BUILD";

const HOST: &str = "trigger-websocket";
const FEED: &str = "feed";
const COMPOSE: &str = "compose";
/// The one component that spin.toml has no part for, and spin-s3.toml has.
const BLOB_STORE: &str = "blob-store-s3";
const WASM: &str = "wasm32-wasip2";

static HOST_PATH: LazyLock<PathBuf> = LazyLock::new(build);

/// The root of the workspace, where spin.toml is.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
}

/// The manifest of the app.
#[must_use]
pub fn manifest() -> PathBuf {
    workspace().join("spin.toml")
}

/// The manifest of the app that keeps its objects on S3 itself.
#[must_use]
pub fn manifest_of_s3() -> PathBuf {
    workspace().join("spin-s3.toml")
}

/// The host's program, built with the components the first time that somebody asks.
#[must_use]
pub fn host() -> &'static Path {
    &HOST_PATH
}

/// The program that plays audio files into a gateway.
#[must_use]
pub fn feed() -> PathBuf {
    host().with_file_name(FEED)
}

/// Where the test was built into: `<target>/<profile>/deps/<test>`.
#[must_use]
pub fn target_dir() -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    test.ancestors()
        .nth(3)
        .expect("a test is in <target>/<profile>/deps")
        .to_owned()
}

fn build() -> PathBuf {
    let target = target_dir();
    let given = set(GATEWAY_BIN).map(PathBuf::from);
    let path = given
        .clone()
        .unwrap_or_else(|| target.join("release").join(HOST));
    if set(GATEWAY_NO_BUILD).is_none_or(|value| value == "0") {
        // Tests are processes of their own and may run side by side.
        let lock = File::create(target.join("end-to-end.lock")).expect("a lock file");
        lock.lock().expect("the lock for building");
        if given.is_none() {
            // Not by package: then cargo would choose other features for what it shares with the
            // rest of the workspace, and build that a second time.
            run(cargo(&["build", "--release"], &target).args(["--bin", HOST, "--bin", FEED]));
        }
        // These flags would go before those in .cargo/config.toml.
        let mut components = cargo(&["components"], &workspace().join("target"));
        components
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["--package", BLOB_STORE]);
        run(&mut components);
        // As spin-s3.toml has it.
        run(cargo(&["build", "--release"], &target).args(["--bin", COMPOSE]));
        let built = workspace().join("target").join(WASM).join("release");
        let mut compose = Command::new(target.join("release").join(COMPOSE));
        compose.arg(built.join("finalizer.wasm"));
        compose.arg("--with").arg(built.join("blob_store_s3.wasm"));
        compose.arg("--output").arg(built.join("finalizer_s3.wasm"));
        run(&mut compose);
    }
    assert!(
        path.is_file(),
        "no host at {}: see {GATEWAY_BIN}",
        path.display()
    );
    path
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A build, into this target directory.
fn cargo(build: &[&str], target: &Path) -> Command {
    let mut cargo = Command::new(set("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(build)
        .args(["--quiet", "--target-dir"])
        .arg(target);
    cargo.current_dir(workspace());
    // What cargo tells this test of its own package: the build of `ring` looks at it, and would begin
    // anew, with all that depends on it, each time it is another package's.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn run(command: &mut Command) {
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "{command:?} ended with {status}");
}
