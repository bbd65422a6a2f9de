//! What processes have used so far.

use std::fs;
use std::ops::Add;

/// CPU time, and memory that is resident now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu_secs: f64,
    pub rss_bytes: u64,
}

impl Usage {
    /// Reads it for a living process.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        const TICKS_PER_SEC: f64 = 100.0;
        const PAGE_BYTES: u64 = 4096;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> =
            stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(Self {
            cpu_secs: ticks / TICKS_PER_SEC,
            rss_bytes: fields[21].parse::<u64>()? * PAGE_BYTES,
        })
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_secs: self.cpu_secs + other.cpu_secs,
            rss_bytes: self.rss_bytes + other.rss_bytes,
        }
    }
}
