//! What is used of the machine, and of what its control group allows, as Linux tells. Elsewhere nothing
//! is measured.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use taskwright_core::LoadMeasure;

use super::LoadMeter;

/// Measures the machine.
pub(crate) struct Machine {
    /// `/`, but in tests.
    root: PathBuf,
    before: Option<Used>,
}

/// Time of processors that was used so far.
struct Used {
    at: Instant,
    /// Of all processors, in ticks: those at work, and all.
    machine: Option<(u64, u64)>,
    /// Of each control group with a limit, in microseconds.
    groups: HashMap<PathBuf, Group>,
}

/// What a control group used and may use.
#[derive(Copy, Clone)]
struct Group {
    used_micros: u64,
    /// How many microseconds it may use in so many.
    quota: (u64, u64),
}

impl Default for Machine {
    fn default() -> Self {
        Machine { root: "/".into(), before: None }
    }
}

impl LoadMeter for Machine {
    fn measure(&mut self) -> LoadMeasure {
        self.measure_at(Instant::now())
    }
}

impl Machine {
    fn measure_at(&mut self, now: Instant) -> LoadMeasure {
        let groups = Groups::of(&self.root);
        let machine = self.read("proc/stat").and_then(|text| ticks(&text));
        let used = Used { at: now, machine, groups: groups.cpu() };
        let cpu_percent = self.before.as_ref().and_then(|before| used.percent_since(before));
        self.before = Some(used);
        let memory = self.read("proc/meminfo").and_then(|text| memory_percent(&text));
        LoadMeasure { cpu_percent, memory_percent: memory.max(groups.memory_percent()), lag: None }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

impl Used {
    /// The greatest share since then: of the machine, or of what a group may use.
    fn percent_since(&self, before: &Used) -> Option<u32> {
        let machine = self.machine.zip(before.machine).and_then(|((busy, all), then)| {
            percent(busy.saturating_sub(then.0), all.saturating_sub(then.1))
        });
        let micros = u64::try_from(self.at.saturating_duration_since(before.at).as_micros());
        let micros = micros.unwrap_or(u64::MAX);
        let group = self.groups.iter().filter_map(|(path, group)| {
            let then = before.groups.get(path)?;
            let (quota, period) = group.quota;
            let allowed = u128::from(micros) * u128::from(quota) / u128::from(period);
            let used = group.used_micros.saturating_sub(then.used_micros);
            percent(used, u64::try_from(allowed).unwrap_or(u64::MAX))
        });
        machine.into_iter().chain(group).max()
    }
}

/// The control groups of this process: for each kind of limit the group itself and those above it.
/// Version 2 has one tree for all kinds, version 1 one for each.
struct Groups {
    memory: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
    /// Where version 1 says what the groups in `cpu` used: in the same order.
    cpu_used: Vec<PathBuf>,
}

impl Groups {
    fn of(root: &Path) -> Groups {
        let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let base = root.join("sys/fs/cgroup");
        let mut groups = Groups { memory: Vec::new(), cpu: Vec::new(), cpu_used: Vec::new() };
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else { continue };
            let has = |kind: &str| kinds.split(',').any(|other| other == kind);
            if kinds.is_empty() {
                let tree = upwards(&base, path);
                groups.memory.extend(tree.iter().cloned());
                groups.cpu.extend(tree.iter().cloned());
                groups.cpu_used.extend(tree);
            }
            if has("memory") {
                groups.memory.extend(upwards(&base.join("memory"), path));
            }
            if has("cpu") {
                groups.cpu.extend(upwards(&base.join("cpu"), path));
                groups.cpu_used.extend(upwards(&base.join("cpuacct"), path));
            }
        }
        groups
    }

    fn cpu(&self) -> HashMap<PathBuf, Group> {
        let pairs = self.cpu.iter().zip(&self.cpu_used);
        let group = |(limits, used): (&PathBuf, &PathBuf)| {
            let quota = quota(limits)?;
            Some((limits.clone(), Group { used_micros: used_micros(used)?, quota }))
        };
        pairs.filter_map(group).collect()
    }

    /// The greatest share that one of the groups uses of what it may use. What the system can take
    /// back at any time, files that were read, does not count.
    fn memory_percent(&self) -> Option<u32> {
        let share = |group: &PathBuf| {
            let number = |names: [&str; 2]| {
                names.iter().find_map(|name| read(group, name)?.trim().parse::<u64>().ok())
            };
            let limit = number(["memory.max", "memory.limit_in_bytes"])?;
            let used = number(["memory.current", "memory.usage_in_bytes"])?;
            let text = read(group, "memory.stat").unwrap_or_default();
            let idle = field(&text, "total_inactive_file").or(field(&text, "inactive_file"));
            percent(used.saturating_sub(idle.unwrap_or(0)), limit)
        };
        self.memory.iter().filter_map(share).max()
    }
}

/// The directory of a group and those above it. Inside of a container the path may be one that only
/// the host knows: then those that are not there say nothing.
fn upwards(base: &Path, path: &str) -> Vec<PathBuf> {
    let own = base.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|group| group.starts_with(base)).map(Path::to_path_buf).collect()
}

fn read(group: &Path, name: &str) -> Option<String> {
    fs::read_to_string(group.join(name)).ok()
}

/// How many microseconds a group may use in so many; `None`: as many as it likes.
fn quota(group: &Path) -> Option<(u64, u64)> {
    let text = match read(group, "cpu.max") {
        Some(text) => text,
        None => {
            let quota = read(group, "cpu.cfs_quota_us")?;
            format!("{} {}", quota.trim(), read(group, "cpu.cfs_period_us")?)
        }
    };
    // `max` and `-1`, which mean that there is no limit, are no numbers here.
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (0, _) | (_, 0) => None,
        quota => Some(quota),
    }
}

fn used_micros(group: &Path) -> Option<u64> {
    if let Some(nanos) = read(group, "cpuacct.usage") {
        return Some(nanos.trim().parse::<u64>().ok()? / 1_000);
    }
    field(&read(group, "cpu.stat")?, "usage_usec")
}

/// Of all processors, the ticks at work and all ticks.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|text| text.parse().ok()).collect();
    // User, nice, system, idle, waiting, two kinds of interrupts, stolen; what guests used, which
    // follows, is in the first two already.
    let all: u64 = ticks.iter().take(8).sum();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some((all.saturating_sub(idle), all))
}

/// How much of the machine's memory is in use, beside what can be had back.
fn memory_percent(meminfo: &str) -> Option<u32> {
    let (all, free) = (field(meminfo, "MemTotal:")?, field(meminfo, "MemAvailable:")?);
    percent(all.saturating_sub(free), all)
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    let mut line = words.find_map(|mut words| (words.next() == Some(name)).then_some(words))?;
    line.next()?.parse().ok()
}

fn percent(part: u64, whole: u64) -> Option<u32> {
    let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
    u32::try_from(percent).ok()
}

#[cfg(test)]
#[path = "../../tests/machine.rs"]
mod tests;
