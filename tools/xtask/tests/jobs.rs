//! The launcher as a process, on machines that lack something: `cargo`, `rustc`, `rustup`, `cc` and `df` are
//! scripts here, which do what such a machine's do and write down how they were called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A machine: a folder of programs, which is the whole PATH, and a target directory.
struct Machine {
    root: PathBuf,
}

impl Machine {
    /// One that has everything, where nothing is built.
    fn new(name: &str) -> Machine {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("libdir")).unwrap();
        fs::write(root.join("libdir/libcore-1.rlib"), "").unwrap();
        let machine = Machine { root };
        machine.has("rustc", "echo \"$ROOT/libdir\"");
        machine.has("cc", "cat >/dev/null");
        machine.has(
            "df",
            "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; echo '/dev/x 9 9 99999999 1% /'",
        );
        machine.has("redis-server", "echo 7.0");
        // Builds programs that say how they were called.
        machine.has(
            "cargo",
            "case \"$*\" in *--bin*) for name in trigger-websocket feed; do \
             mkdir -p \"$CARGO_TARGET_DIR/release\"; \
             printf '#!/bin/sh\\necho %s \"$@\"\\nexit 7\\n' $name >\"$CARGO_TARGET_DIR/release/$name\"; \
             chmod +x \"$CARGO_TARGET_DIR/release/$name\"; done;; esac",
        );
        machine
    }

    /// Installs a script that writes down its call.
    fn has(&self, program: &str, script: &str) {
        let path = self.root.join("bin").join(program);
        let script = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin\necho {program} \"$@\" >>\"$ROOT/calls\"\n{script}\n"
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn lacks(&self, program: &str) {
        fs::remove_file(self.root.join("bin").join(program)).unwrap();
    }

    fn lacks_target(&self) {
        fs::remove_file(self.root.join("libdir/libcore-1.rlib")).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.root.join("bin"))
            .env("ROOT", &self.root)
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .output()
            .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.root.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// What cargo was asked to do.
    fn builds(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        calls.filter(|call| call.starts_with("cargo ")).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn up_builds_components_then_the_host_and_becomes_it() {
    let machine = Machine::new("up");
    let output = machine.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(printed, "trigger-websocket up --listen 127.0.0.1:0\n");
    assert_eq!(
        machine.builds(),
        [
            "cargo components",
            "cargo build --release --bin trigger-websocket --bin feed",
        ]
    );
    let said = said(&output);
    assert!(said.contains("First build: about"), "{said}");
    assert!(said.contains("1/2 the WebAssembly components"), "{said}");
}

#[test]
fn a_second_start_says_nothing_of_a_first_build() {
    let machine = Machine::new("again");
    machine.run(&["up"]);
    let output = machine.run(&["up"]);
    assert_eq!(said(&output), "");
    let builds = machine.builds();
    assert_eq!(
        builds.last().unwrap(),
        "cargo build --release --bin trigger-websocket --bin feed"
    );
}

#[test]
fn a_missing_target_is_installed_before_anything_is_built() {
    let machine = Machine::new("target-installed");
    machine.lacks_target();
    machine.has("rustup", "touch \"$ROOT/libdir/libcore-2.rlib\"");
    let output = machine.run(&["up"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let calls = machine.calls();
    let installs = calls
        .iter()
        .position(|call| call == "rustup target add wasm32-wasip2");
    let builds = calls.iter().position(|call| call.starts_with("cargo"));
    assert!(installs.is_some() && installs < builds, "{calls:?}");
}

#[test]
fn a_target_that_cannot_be_installed_is_named_with_the_command() {
    let without_rustup = Machine::new("no-rustup");
    without_rustup.lacks_target();
    let other_rustc = Machine::new("other-rustc");
    other_rustc.lacks_target();
    other_rustc.has("rustup", "true");
    let offline = Machine::new("offline");
    offline.lacks_target();
    offline.has("rustup", "exit 1");
    for machine in [without_rustup, other_rustc, offline] {
        for job in ["up", "verify", "feed", "check"] {
            let output = machine.run(&[job]);
            assert_eq!(output.status.code(), Some(1));
            let said = said(&output);
            assert!(
                said.contains("\n  rustup target add wasm32-wasip2\n"),
                "{said}"
            );
            assert!(said.contains("https://rustup.rs"), "{said}");
        }
        assert_eq!(machine.builds(), [""; 0]);
    }
}

#[test]
fn a_c_compiler_that_does_not_link_is_found_before_anything_is_built() {
    let none = Machine::new("no-cc");
    none.lacks("cc");
    let no_headers = Machine::new("no-headers");
    no_headers.has(
        "cc",
        "cat >/dev/null; echo 'stdio.h: No such file' >&2; exit 1",
    );
    for (machine, why) in [
        (none, "No such file or directory"),
        (no_headers, "stdio.h: No such file"),
    ] {
        let output = machine.run(&["up"]);
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(said.contains("C compiler `cc`"), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(said.contains("apt-get install build-essential"), "{said}");
        assert_eq!(machine.builds(), [""; 0]);
    }
}

#[test]
fn a_full_disk_is_found_before_a_first_build_and_no_matter_later() {
    let machine = Machine::new("disk");
    machine.run(&["feed"]);
    let full = "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; echo '/dev/x 9 9 102400 1% /'";
    machine.has("df", full);
    let output = machine.run(&["up"]);
    assert_eq!(
        output.status.code(),
        Some(7),
        "it is built: {}",
        said(&output)
    );
    let machine = Machine::new("disk-full");
    machine.has("df", full);
    let output = machine.run(&["up"]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains("100 MiB free") && said.contains("CARGO_TARGET_DIR"),
        "{said}"
    );
    assert_eq!(machine.builds(), [""; 0]);
}

#[test]
fn verify_needs_redis_or_what_fetches_it() {
    let machine = Machine::new("redis");
    machine.lacks("redis-server");
    let output = machine.run(&["verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("Redis"), "{}", said(&output));
    assert_eq!(machine.builds(), [""; 0]);
    machine.has("apt-get", "true");
    let output = machine.run(&["verify", "--test", "gateway"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        machine.builds().last().unwrap(),
        "cargo test --release --test gateway"
    );
}

#[test]
fn a_build_that_fails_gives_its_status() {
    let machine = Machine::new("fails");
    machine.has("cargo", "exit 101");
    let output = machine.run(&["up"]);
    assert_eq!(output.status.code(), Some(101));
    assert!(
        said(&output).contains("components could not be built"),
        "{}",
        said(&output)
    );
    assert_eq!(machine.builds(), ["cargo components"]);
}

#[test]
fn help_comes_without_a_build() {
    let machine = Machine::new("help");
    let output = machine.run(&["up", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said(&output).contains("--listen ADDRESS:PORT"),
        "{}",
        said(&output)
    );
    assert_eq!(machine.calls(), [""; 0]);
    machine.run(&["up"]);
    let builds = machine.builds();
    let output = machine.run(&["up", "--help"]);
    assert_eq!(output.stdout, b"trigger-websocket up --help\n");
    assert_eq!(machine.builds(), builds);
}

#[test]
fn what_is_no_job_is_answered_with_the_jobs() {
    for arguments in [&["fly"][..], &[]] {
        let output = Machine::new("none").run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("cargo verify"), "{}", said(&output));
    }
}
