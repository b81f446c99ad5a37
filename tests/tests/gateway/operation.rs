//! The process as an operator has it: a log that nobody reads, signals that come together, few open files.

mod few_files;
mod signals;
mod unread_log;

use std::process::Command;

/// The command, run by a shell that does this first.
fn after(prelude: &str, command: Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{prelude}; exec \"$@\""))
        .arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}
