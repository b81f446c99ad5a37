//! What a component may connect to.

use url::Url;

use crate::{Component, VariableError, Variables};

/// The origins that one component may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {}

/// An entry of `allowed_outbound_hosts` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedHostsError {
    /// The entry, with its variables' values, is none of the known forms.
    #[error("component.{component}.allowed_outbound_hosts: {entry}: {message}")]
    Invalid {
        /// The component's id.
        component: String,
        /// The entry as in the manifest.
        entry: String,
        /// What is wrong and what to write.
        message: String,
    },
    /// The entry names a variable that does not exist.
    #[error("component.{component}.allowed_outbound_hosts: {source}")]
    Variable {
        /// The component's id.
        component: String,
        /// Which.
        source: VariableError,
    },
}

impl AllowedHosts {
    /// The component's `allowed_outbound_hosts` with the variables' values.
    ///
    /// # Errors
    /// An entry cannot be used.
    pub fn resolve(
        _component: &Component,
        _variables: &Variables,
    ) -> Result<Self, AllowedHostsError> {
        Ok(Self {})
    }

    /// Whether the component may connect to this URL's scheme, host and port.
    pub fn allows(&self, _url: &Url) -> bool {
        false
    }
}
