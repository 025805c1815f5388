//! What the kernel has counted: processor time of this process, and bytes over loopback.

/// Both so far, to be compared with the same later.
pub(crate) struct Spent {
    /// User and system time of this process, in ticks of 10 ms.
    pub(crate) cpu_secs: f64,
    /// Over loopback, headers included, by everybody in this network namespace.
    pub(crate) sent_bytes: f64,
}

impl Spent {
    pub(crate) fn so_far() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
        let after_name = &stat[stat.rfind(')').expect("a name") + 2..];
        let times = after_name.split(' ').skip(11).take(2);
        let ticks: u32 = times.map(|ticks| ticks.parse::<u32>().expect("a number")).sum();
        let devices = std::fs::read_to_string("/proc/self/net/dev").expect("Linux");
        let loopback = devices.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("loopback");
        let sent = loopback.split_whitespace().nth(8).expect("a table").parse().expect("a number");
        Self { cpu_secs: f64::from(ticks) / 100.0, sent_bytes: sent }
    }
}
