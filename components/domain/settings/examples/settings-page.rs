//! Prints `docs/settings.md`, as `interview_settings::page::COMMAND` has it.

fn main() {
    print!("{}", interview_settings::page::render());
}
