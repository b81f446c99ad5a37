//! How many files, and so connections, the process may have open: as many as it is allowed to ask for.
//! Most systems give a process 1,024 until it asks.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What the process needs besides connections: stores, their files, sockets to services.
const BESIDES: u64 = 256;

/// Asks for all that it may have, and says so when that is too little for so many connections.
pub fn allow(connections: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // On some systems the most that is allowed cannot be had; what there was stays then.
    let _ = setrlimit(Resource::Nofile, limit);
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < connections + BESIDES) {
        tracing::warn!(
            "the process may open {allowed} files: too few for {connections} connections and the stores. \
             Raise it (`ulimit -n`, LimitNOFILE), or lower --limit-connections"
        );
    }
}
