//! What is read from a server process, and the statistics over rounds.

use std::fs;
use std::time::Duration;

use crate::Result;

/// Private memory of process `pid` in bytes: dirty pages that no other process shares, plus what was swapped out.
///
/// Code and read-only data (shared, or reloadable from the file) do not grow with connections and are left out, and so are
/// the kernel's socket buffers, which are the same for every server.
pub fn private_memory(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes = |name: &str| -> Result<u64> {
        let line =
            rollup.lines().find(|line| line.starts_with(name)).ok_or("smaps_rollup has an unknown form")?;
        Ok(line.split_whitespace().nth(1).ok_or("smaps_rollup has an unknown form")?.parse()?)
    };
    Ok((kilobytes("Private_Dirty:")? + kilobytes("Swap:")?) * 1024)
}

/// CPU time that all processes together have used on all cores since boot, and the hypervisor has taken away.
///
/// In ticks of 10 ms: enough to tell whether somebody else was busy.
pub fn machine_cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .and_then(|line| line.split_whitespace().map(|ticks| ticks.parse().ok()).collect())
        .ok_or("/proc/stat has an unknown form")?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return Err("/proc/stat has an unknown form".into());
    };
    Ok(Duration::from_millis((user + nice + system + irq + softirq + steal) * 10))
}

/// Median, least and greatest of the rounds.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    /// When `values` is empty.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Spread { median, min: values[0], max: values[values.len() - 1] }
    }
}

pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Prints rows as a Markdown table: the first column to the left, numbers to the right.
pub fn print_table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
    };
    line(&head.iter().map(|&title| title.to_owned()).collect::<Vec<_>>());
    let rule = widths.iter().enumerate().map(|(column, &width)| {
        if column == 0 { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
    });
    println!("|{}|", rule.collect::<Vec<_>>().join("|"));
    for row in rows {
        line(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }
}
