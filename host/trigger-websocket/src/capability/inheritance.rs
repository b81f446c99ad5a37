//! Which configuration of a component an import makes use of, by the names that
//! `inherit_configuration` has in spin.toml. What has no name there (blobs, timers, lanes, figures,
//! clocks, random numbers) every dependency may use.

/// The configuration that a dependency must inherit to be allowed this import; none: no matter.
///
/// `wasi:cli/environment` is not here: Rust's standard library always imports it. A component's
/// `environment` is seen by its dependencies too.
pub fn needed(import: &str) -> Option<&'static str> {
    const RULES: [(&str, &str); 9] = [
        ("wasi:keyvalue/", "key_value_stores"),
        ("fermyon:spin/key-value", "key_value_stores"),
        ("spin:key-value/", "key_value_stores"),
        ("wasi:config/", "variables"),
        ("fermyon:spin/variables", "variables"),
        ("spin:variables/", "variables"),
        ("wasi:http/outgoing-handler", "allowed_outbound_hosts"),
        ("wasi:http/client", "allowed_outbound_hosts"),
        ("realtime:sockets/sockets", "allowed_outbound_hosts"),
    ];
    RULES
        .iter()
        .find(|(prefix, _)| import.starts_with(prefix))
        .map(|(_, needed)| *needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_outside_must_be_inherited() {
        assert_eq!(
            needed("wasi:keyvalue/store@0.2.0-draft2"),
            Some("key_value_stores")
        );
        assert_eq!(
            needed("wasi:config/store@0.2.0-draft-2024-09-27"),
            Some("variables")
        );
        assert_eq!(
            needed("wasi:http/client@0.3.0"),
            Some("allowed_outbound_hosts")
        );
        assert_eq!(
            needed("realtime:sockets/sockets@0.1.0"),
            Some("allowed_outbound_hosts")
        );
    }

    #[test]
    fn what_every_component_imports_is_free() {
        for import in [
            "wasi:cli/environment@0.2.6",
            "wasi:http/types@0.3.0",
            "interview:gateway/blob-store@0.1.0",
            "realtime:sockets/types@0.1.0",
            "realtime:sockets/lanes@0.1.0",
            "realtime:sockets/metrics@0.1.0",
        ] {
            assert_eq!(needed(import), None, "{import}");
        }
    }
}
