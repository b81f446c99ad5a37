//! The process as the operating system sees it, under the names that all Prometheus clients use.
//! Where there is no `/proc` its figures are left out.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use rustix::time::{ClockId, clock_gettime};

use crate::sample;

/// Since when there is this process.
#[derive(Debug)]
pub(crate) struct Process {
    started_unix_seconds: f64,
}

impl Process {
    pub(crate) fn started(at: SystemTime) -> Self {
        Self {
            started_unix_seconds: at
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
        }
    }
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        sample::take(encoder, |sample| {
            sample.value(
                "process_start_time_seconds",
                "When the process started, seconds since 1970",
                self.started_unix_seconds,
            );
            let cpu = clock_gettime(ClockId::ProcessCPUTime);
            sample.seconds(
                "process_cpu_seconds",
                "CPU time of all threads",
                cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            );
            if let Some(memory) = Memory::now() {
                sample.value(
                    "process_virtual_memory_bytes",
                    "Address space; hardly any of it is backed",
                    memory.virtual_bytes,
                );
                sample.value(
                    "process_resident_memory_bytes",
                    "Memory that is backed",
                    memory.resident_bytes,
                );
            }
            if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
                // Not the one that this reads them with.
                let open = open.count().saturating_sub(1);
                sample.value("process_open_fds", "Open file descriptors", open);
            }
        })
    }
}

struct Memory {
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Memory {
    fn now() -> Option<Self> {
        Self::from_statm(&std::fs::read_to_string("/proc/self/statm").ok()?)
    }

    fn from_statm(text: &str) -> Option<Self> {
        let page = rustix::param::page_size() as u64;
        let mut pages = text
            .split_ascii_whitespace()
            .map_while(|pages| pages.parse::<u64>().ok());
        Some(Self {
            virtual_bytes: pages.next()?.saturating_mul(page),
            resident_bytes: pages.next()?.saturating_mul(page),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::Metrics;

    #[test]
    fn memory_is_counted_in_pages() {
        let page = rustix::param::page_size() as u64;
        let memory = Memory::from_statm("300 20 1 1 0 9 0\n").unwrap();
        assert_eq!(
            (memory.virtual_bytes, memory.resident_bytes),
            (300 * page, 20 * page)
        );
        assert!(Memory::from_statm("300").is_none());
        assert!(Memory::from_statm("x y").is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_figures() {
        let text = Metrics::new("1").text();
        for name in [
            "process_start_time_seconds",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(value.parse::<f64>().unwrap() > 0.0, "{name} {value}");
        }
    }
}
