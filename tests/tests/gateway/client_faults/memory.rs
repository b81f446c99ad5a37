//! How much memory the gateway's process takes, as the kernel counts it. A test asks how much more it
//! took at its peak than before; it must not ask for a figure of the whole process, which is
//! wasmtime's and the compiler's to change.

use std::fs;

use end_to_end::Gateway;

/// From here on.
pub struct MemoryWatch {
    pid: u32,
    before: u64,
}

impl MemoryWatch {
    /// Begins: what the process took before, at its peak, is forgotten.
    ///
    /// # Panics
    /// The kernel does not tell.
    #[must_use]
    pub fn start(gateway: &Gateway) -> Self {
        let pid = gateway.pid();
        // "To reset the peak resident set size": proc_pid_clear_refs(5).
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be forgotten");
        let before = resident_bytes(pid, "VmRSS");
        Self { pid, before }
    }

    /// How many bytes more than at the start were resident at the peak since then.
    ///
    /// # Panics
    /// The process is gone, or the kernel does not tell.
    #[must_use]
    pub fn grown(&self) -> u64 {
        resident_bytes(self.pid, "VmHWM").saturating_sub(self.before)
    }
}

fn resident_bytes(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process's status");
    let kilobytes = status.lines().find_map(|line| {
        let value = line.strip_prefix(field)?.strip_prefix(':')?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kilobytes.expect("its memory in kB") * 1024
}
