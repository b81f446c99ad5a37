//! WASI proper: clocks, randomness, standard streams, an empty file system. Both generations, since
//! Rust's standard library imports 0.2 and the Spin SDK 0.3.
//!
//! Raw sockets (`wasi:sockets`) are not offered at all: a component reaches others by HTTP and by
//! WebSocket, where `allowed_outbound_hosts` is enforced. Not linking them also saves the host a
//! tenth of its code.

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings as p2;
use wasmtime_wasi::p2::bindings::io;
use wasmtime_wasi::random::WasiRandom;

use super::Ctx;

/// What `wasi:io` needs of an instance.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Adds the interfaces.
///
/// # Errors
/// Something else offers one of them already.
pub fn add_to_linker(linker: &mut Linker<Ctx>) -> Result<()> {
    io::error::add_to_linker::<Ctx, Io>(linker, |ctx| &mut ctx.table)?;
    io::poll::add_to_linker::<Ctx, Io>(linker, |ctx| &mut ctx.table)?;
    io::streams::add_to_linker::<Ctx, Io>(linker, |ctx| &mut ctx.table)?;
    p2::clocks::wall_clock::add_to_linker::<Ctx, WasiClocks>(linker, Ctx::clocks)?;
    p2::clocks::monotonic_clock::add_to_linker::<Ctx, WasiClocks>(linker, Ctx::clocks)?;
    p2::random::random::add_to_linker::<Ctx, WasiRandom>(linker, |ctx| ctx.ctx().ctx.random())?;
    p2::random::insecure::add_to_linker::<Ctx, WasiRandom>(linker, |ctx| ctx.ctx().ctx.random())?;
    p2::random::insecure_seed::add_to_linker::<Ctx, WasiRandom>(linker, |ctx| {
        ctx.ctx().ctx.random()
    })?;
    p2::filesystem::preopens::add_to_linker::<Ctx, WasiFilesystem>(linker, Ctx::filesystem)?;
    p2::filesystem::types::add_to_linker::<Ctx, WasiFilesystem>(linker, Ctx::filesystem)?;
    p2::cli::exit::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::environment::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::stdin::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::stdout::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::stderr::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::terminal_input::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::terminal_output::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::terminal_stdin::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::terminal_stdout::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    p2::cli::terminal_stderr::add_to_linker::<Ctx, WasiCli>(linker, Ctx::cli)?;
    wasmtime_wasi::p3::cli::add_to_linker(linker)?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)?;
    Ok(())
}
