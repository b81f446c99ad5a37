//! The program: see [`feed::run`].

use std::process::ExitCode;

use clap::Parser;
use feed::arguments::Arguments;
use feed::output::Output;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::stderr();
    let status = match feed::run::run(arguments, output.clone()).await {
        Ok(status) => status,
        Err(error) => {
            output.line(&format!("error: {error:#}"));
            1
        }
    };
    output.flush().await;
    // At once: a file that gives nothing any more is not waited for.
    std::process::exit(status.into())
}
