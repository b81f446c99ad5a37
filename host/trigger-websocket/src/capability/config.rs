//! `wasi:config/store`: the component's variables, as the manifest lists them for it.

use wasmtime::Result;

use super::Ctx;
use crate::bindings::wasi::config::store::{Error, Host};

impl Host for Ctx {
    fn get(&mut self, key: String) -> Result<Result<Option<String>, Error>> {
        Ok(Ok(self.grants.variables.get(&key).cloned()))
    }

    fn get_all(&mut self) -> Result<Result<Vec<(String, String)>, Error>> {
        let all = self.grants.variables.iter();
        Ok(Ok(all
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()))
    }
}
