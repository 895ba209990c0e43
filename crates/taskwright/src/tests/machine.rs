use std::time::Duration;

use super::*;

/// A machine of files that the test writes.
struct Made {
    directory: tempfile::TempDir,
    machine: Machine,
    now: Instant,
}

impl Made {
    fn new(files: &[(&str, &str)]) -> Made {
        let directory = tempfile::tempdir().unwrap();
        let machine = Machine { root: directory.path().to_owned(), before: None };
        let made = Made { directory, machine, now: Instant::now() };
        made.write(files);
        made
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = self.directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    /// Processors and memory, a second after the last time.
    fn measured(&mut self) -> (Option<u32>, Option<u32>) {
        self.now += Duration::from_secs(1);
        let LoadMeasure { cpu_percent, memory_percent, lag } = self.machine.measure_at(self.now);
        assert_eq!(lag, None);
        (cpu_percent, memory_percent)
    }
}

const MEMORY: (&str, &str) =
    ("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 590 kB\n");

#[test]
fn the_machine_tells_what_was_used_since_the_last_time() {
    let mut made = Made::new(&[
        ("proc/stat", "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4\nintr 5\n"),
        MEMORY,
    ]);
    assert_eq!(made.measured(), (None, Some(41)), "what was used before is unknown at first");
    made.write(&[("proc/stat", "cpu  160 5 115 715 105 0 0 0 90 0\n")]);
    assert_eq!(made.measured(), (Some(80), Some(41)));
    assert_eq!(made.measured(), (None, Some(41)), "no tick has gone by");
}

#[test]
fn a_control_group_may_use_less_than_the_machine_has() {
    let idle = ("proc/stat", "cpu  0 0 0 100 0 0 0 0 0 0\n");
    let mut made = Made::new(&[
        idle,
        MEMORY,
        ("proc/self/cgroup", "0::/jobs/mine\n"),
        ("sys/fs/cgroup/jobs/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/jobs/cpu.stat", "usage_usec 5000000\nuser_usec 1\n"),
        ("sys/fs/cgroup/jobs/mine/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/jobs/mine/cpu.stat", "usage_usec 1000000\n"),
        ("sys/fs/cgroup/jobs/mine/memory.max", "2000\n"),
        ("sys/fs/cgroup/jobs/mine/memory.current", "1900\n"),
        ("sys/fs/cgroup/jobs/mine/memory.stat", "anon 9\ninactive_file 300\n"),
        ("sys/fs/cgroup/jobs/memory.max", "max\n"),
        ("sys/fs/cgroup/jobs/memory.current", "9999\n"),
    ]);
    assert_eq!(made.measured(), (None, Some(80)));
    made.write(&[
        ("proc/stat", "cpu  10 0 0 190 0 0 0 0 0 0\n"),
        ("sys/fs/cgroup/jobs/cpu.stat", "usage_usec 6350000\n"),
    ]);
    assert_eq!(made.measured(), (Some(90), Some(80)), "of the one and a half that it may use");
}

#[test]
fn groups_of_version_1_are_found_from_inside_of_a_container_too() {
    let mut made = Made::new(&[
        ("proc/stat", "cpu  0 0 0 100 0 0 0 0 0 0\n"),
        MEMORY,
        (
            "proc/self/cgroup",
            "5:memory:/known/to/the/host\n3:cpu,cpuacct:/known/to/the/host\n0::/\n",
        ),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "700\n"),
        ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/cpuacct/cpuacct.usage", "1000000000\n"),
    ]);
    assert_eq!(made.measured(), (None, Some(60)));
    made.write(&[("sys/fs/cgroup/cpuacct/cpuacct.usage", "1250000000\n")]);
    assert_eq!(made.measured(), (Some(50), Some(60)));
    made.write(&[("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")]);
    assert_eq!(made.measured(), (None, Some(60)), "without a limit only the machine counts");
}

#[test]
fn where_nothing_tells_nothing_is_measured() {
    let mut made = Made::new(&[("proc/stat", "cpu"), ("proc/meminfo", "MemTotal: many\n")]);
    assert_eq!(made.measured(), (None, None));
    assert_eq!(made.measured(), (None, None));
}
