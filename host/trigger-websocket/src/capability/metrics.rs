//! `realtime:sockets/metrics`: what the app counts of itself. Where nobody wants figures it costs the
//! call and no more.

use host_metrics::AppFigures;
use wasmtime::Result;

use super::Ctx;
use crate::bindings::realtime::sockets::metrics::Host;

impl Ctx {
    fn app_figures(&self) -> Option<&AppFigures> {
        Some(&self.grants.figures.as_ref()?.app)
    }
}

impl Host for Ctx {
    fn add(&mut self, name: String, labels: Vec<(String, String)>, by: u64) -> Result<()> {
        if let Some(app) = self.app_figures() {
            app.add(&name, labels, by);
        }
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> Result<()> {
        if let Some(app) = self.app_figures() {
            app.observe(&name, labels, value);
        }
        Ok(())
    }

    fn level(
        &mut self,
        lane: String,
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    ) -> Result<()> {
        if let Some(app) = self.app_figures() {
            app.level(&lane, &name, labels, value);
        }
        Ok(())
    }
}
