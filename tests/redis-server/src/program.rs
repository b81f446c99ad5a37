//! Where the program is: on the machine, or, if it has none, fetched into the target directory. Nothing is
//! installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Its name.
pub const NAME: &str = "redis-server";

/// The program, and where its libraries are if it was fetched.
struct Program {
    path: PathBuf,
    libraries: Vec<PathBuf>,
}

/// A command that runs it. The first one of a machine without it waits until it is fetched.
pub fn command() -> Command {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let installed = Program {
            path: NAME.into(),
            libraries: Vec::new(),
        };
        if runs(&installed) {
            return installed;
        }
        fetched().unwrap_or_else(|why| {
            panic!(
                "the tests need a real {NAME}, this machine has none, and none could be fetched ({why}): \
                 `apt-get install --yes {NAME}`. It need not run: each test starts its own"
            )
        })
    });
    command_of(program)
}

fn command_of(program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    if !program.libraries.is_empty() {
        let paths = std::env::join_paths(&program.libraries).expect("paths without colons");
        command.env("LD_LIBRARY_PATH", paths);
    }
    command
}

fn runs(program: &Program) -> bool {
    let mut version = command_of(program);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Fetches it, unless this or another process has.
fn fetched() -> Result<Program, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = source.join("../../target");
    let place = target.join(NAME);
    fs::create_dir_all(&target).map_err(|error| error.to_string())?;
    let lock = target.join(format!("{NAME}.lock"));
    let lock = File::create(lock).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if let Some(program) = in_place(&place) {
        return Ok(program);
    }
    eprintln!(
        "this machine has no {NAME}: fetching one into the target directory, for the tests only"
    );
    let fetch = Command::new(source.join("fetch")).arg(&place).output();
    let output = fetch.map_err(|error| error.to_string())?;
    in_place(&place).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{}: {}", output.status, said.trim())
    })
}

/// What was fetched, if it runs.
fn in_place(place: &Path) -> Option<Program> {
    let root = place.join("root/usr");
    let libraries = fs::read_dir(root.join("lib")).ok()?;
    let program = Program {
        path: root.join("bin").join(NAME),
        libraries: libraries.flatten().map(|entry| entry.path()).collect(),
    };
    runs(&program).then_some(program)
}
