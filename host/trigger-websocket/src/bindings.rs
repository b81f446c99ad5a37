//! The Rust side of the WIT: traits for what the host offers, calls for what an app exports.

#![allow(
    missing_docs,
    reason = "generated from WIT, which has the documentation"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package interview:host@0.1.0;

        world app {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:config/store@0.2.0-draft-2024-09-27;
            import interview:gateway/blob-store@0.1.0;
            include realtime:sockets/app@0.1.0;
        }
    ",
    world: "interview:host/app",
    imports: {
        // A store may be beyond a network.
        "wasi:keyvalue/store": async | trappable,
        "wasi:keyvalue/atomics": async | trappable,
        "wasi:keyvalue/batch": async | trappable,
        // The socket may be another host's.
        "realtime:sockets/sockets.is-open": async | trappable,
        default: trappable,
    },
    exports: { default: async | store },
    with: {
        "interview:gateway/blob-store.upload": crate::capability::blobs::Upload,
        "wasi:keyvalue/store.bucket": crate::capability::key_value::Bucket,
        "wasi:keyvalue/atomics.cas": crate::capability::key_value::Cas,
    },
});
