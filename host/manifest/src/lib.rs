//! What is to be run: spin.toml or the locked app, runtime-config.toml, variables.
