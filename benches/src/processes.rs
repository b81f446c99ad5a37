//! The two servers under measurement: their start, their CPU time, their end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a server may take to listen: the first start compiles the components.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server that listens.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Server {
    /// The real host on this repository's spin.toml.
    pub async fn host(binary: &Path, state: &Path, asr_url: &str) -> anyhow::Result<Server> {
        Self::host_with(binary, state, asr_url, &[]).await
    }

    /// As [`Server::host`], with options more.
    pub async fn host_with(
        binary: &Path,
        state: &Path,
        asr_url: &str,
        options: &[&str],
    ) -> anyhow::Result<Server> {
        let mut command = Command::new(binary);
        command
            .arg("up")
            .args(["--listen", "127.0.0.1:0", "--state-dir"])
            .arg(state)
            .args(options);
        command
            .env("ALIYUN_DASHSCOPE_API_KEY", "bench")
            .env("ASR_WS_URL", asr_url);
        command
            .env("ASR_CATCH_UP_SPEED", "1000")
            .env("MAX_CHUNK_RATE", "0")
            .env("RUST_LOG", "error");
        Server::start(command).await
    }

    /// The native program, which is this one.
    pub async fn native(state: &Path, asr_url: &str) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "native",
            "--listen",
            "127.0.0.1:0",
            "--asr-url",
            asr_url,
            "--state-dir",
        ]);
        command.arg(state);
        Server::start(command).await
    }

    async fn start(mut command: Command) -> anyhow::Result<Server> {
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("{command:?} does not start: run `cargo up` once, it builds the host")
            })?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = tokio::time::timeout(START_LIMIT, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    return anyhow::Ok(address.trim_end_matches('/').to_owned());
                }
            }
            bail!("the server ended before it listened")
        });
        let address = address
            .await
            .context("the server does not listen in time")??;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Server { child, address })
    }

    /// Kills it and waits until it is gone.
    pub async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// User and system time of the process so far.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let id = self.child.id().context("the server has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))
            .context("CPU time is read from /proc: this benchmark needs Linux")?;
        // The name in parentheses may hold anything: fields are counted after it.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |n: usize| -> anyhow::Result<u64> {
            Ok(fields
                .split_whitespace()
                .nth(n)
                .context("odd /proc/pid/stat")?
                .parse()?)
        };
        // A tick is 10 ms on Linux, whatever its kernel's own is.
        Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
    }

    /// Memory now and at its most, in KiB.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let id = self.child.id().context("the server has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Ok((field("VmRSS:"), field("VmHWM:")))
    }
}
