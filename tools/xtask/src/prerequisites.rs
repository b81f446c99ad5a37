//! What a machine must have before a build of many minutes begins. What can be installed without a question is;
//! for the rest the command is named. It only looks: it changes nothing but rustup's own toolchain.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::build::{target_dir, workspace};
use crate::say;

const TARGET: &str = "wasm32-wasip2";

/// Includes what every C library has and links: headers without a library, or the other way round, do not do.
const C_PROGRAM: &[u8] =
    b"#include <stdio.h>\n#include <stdlib.h>\nint main(void) { return puts(\"\") < 0; }\n";

/// What is missing, and what to do.
#[derive(Debug)]
pub enum Missing {
    /// Rust cannot compile for WebAssembly.
    Target {
        /// What rustc or rustup said, if anything.
        why: String,
    },
    /// C programs cannot be compiled and linked.
    CCompiler {
        /// Its name.
        compiler: String,
        /// What it said.
        why: String,
    },
    /// The disk has too little room.
    Disk {
        /// Where the build goes.
        at: PathBuf,
        /// What is free, in MiB.
        free_mib: u64,
        /// What is needed, in MiB.
        needed_mib: u64,
    },
    /// The tests find no Redis and nothing to fetch one with.
    Redis,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Target { why } => write!(
                f,
                "Rust's target {TARGET} is missing, which the components are compiled for. Run\n  \
                 rustup target add {TARGET}\n\
                 If Rust does not come from rustup, install it from https://rustup.rs and put ~/.cargo/bin first in \
                 PATH.{}",
                indented(why)
            ),
            Missing::CCompiler { compiler, why } => write!(
                f,
                "the C compiler `{compiler}` cannot compile and link a program; SQLite is built from source. \
                 Install one:\n  \
                 apt-get install build-essential    (Debian, Ubuntu)\n  \
                 dnf install gcc glibc-devel        (Fedora)\n  \
                 xcode-select --install             (macOS){}",
                indented(why)
            ),
            Missing::Disk {
                at,
                free_mib,
                needed_mib,
            } => write!(
                f,
                "{} has {free_mib} MiB free, the build needs {needed_mib} MiB: make room, or set CARGO_TARGET_DIR to a \
                 folder on another disk",
                at.display()
            ),
            Missing::Redis => write!(
                f,
                "the tests need a Redis server: there is no `redis-server` in PATH, and no `apt-get` to fetch one \
                 with. Install Redis 7 or newer"
            ),
        }
    }
}

fn indented(text: &str) -> String {
    let lines = text.trim().lines().take(8);
    lines.map(|line| format!("\n    {line}")).collect()
}

/// Room on the disk that a first build needs.
#[derive(Clone, Copy)]
pub struct Disk {
    /// In MiB.
    pub mib: u64,
}

/// Looks for what every build needs; for room on the disk only where `program`, the build's result, is not there.
pub fn check(disk: Disk, program: &Path) -> Result<(), Missing> {
    target()?;
    if program.is_file() {
        return Ok(());
    }
    let target_dir = target_dir();
    // The compiler writes its probe there. Where that fails cargo says why.
    let _ = std::fs::create_dir_all(&target_dir);
    c_compiler(&target_dir)?;
    match free_mib(&target_dir) {
        Some(free_mib) if free_mib < disk.mib => Err(Missing::Disk {
            at: target_dir,
            free_mib,
            needed_mib: disk.mib,
        }),
        _ => Ok(()),
    }
}

/// Looks for a Redis server, or for what fetches one.
pub fn check_redis() -> Result<(), Missing> {
    let there = |program: &str| output(Command::new(program).arg("--version")).is_some();
    match there("redis-server") || there("apt-get") {
        true => Ok(()),
        false => Err(Missing::Redis),
    }
}

/// Looks for Rust's target, and has rustup install it.
fn target() -> Result<(), Missing> {
    if has_target() {
        return Ok(());
    }
    say(&format!(
        "Rust's target {TARGET} is missing: rustup target add {TARGET}\n"
    ));
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(workspace())
        .status();
    let why = match added {
        Ok(status) if status.success() && has_target() => return Ok(()),
        Ok(status) if status.success() => {
            "rustup has installed it, but the `rustc` in PATH is not rustup's".to_owned()
        }
        Ok(status) => format!("rustup ended with {status}: its messages are above"),
        Err(error) => format!("rustup: {error}"),
    };
    Err(Missing::Target { why })
}

/// Whether `rustc` has the target's libraries.
fn has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace());
    let Some(printed) = output(&mut command) else {
        return false;
    };
    let folder = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn c_compiler(folder: &Path) -> Result<(), Missing> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let missing = |why: String| Missing::CCompiler {
        compiler: compiler.clone(),
        why,
    };
    let program = folder.join("c-compiler-probe");
    // CC may hold arguments, such as in `ccache cc`.
    let mut words = compiler.split_whitespace();
    let mut child = Command::new(words.next().unwrap_or("cc"))
        .args(words)
        .args(["-x", "c", "-", "-o"])
        .arg(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it fails, and says why.
        let _ = stdin.write_all(C_PROGRAM);
    }
    let ended = child
        .wait_with_output()
        .map_err(|error| missing(error.to_string()))?;
    let _ = std::fs::remove_file(&program);
    match ended.status.success() {
        true => Ok(()),
        false => Err(missing(String::from_utf8_lossy(&ended.stderr).into_owned())),
    }
}

/// What `df` says is free where a folder is; none where there is no `df`.
fn free_mib(folder: &Path) -> Option<u64> {
    let printed = output(Command::new("df").arg("-Pk").arg(folder))?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let free_kib: u64 = printed
        .lines()
        .nth(1)?
        .split_whitespace()
        .nth(3)?
        .parse()
        .ok()?;
    Some(free_kib / 1024)
}

/// What a program printed that ended well.
fn output(command: &mut Command) -> Option<Output> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then_some(output)
}
