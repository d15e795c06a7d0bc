//! The machine that a run was on, and how busy it was with other things.

use std::{fmt, fs};

use serde::Serialize;

/// What a figure is worth nothing without.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    /// The core that everything was pinned to.
    pinned_core: Option<usize>,
    load_before: String,
    load_after: String,
}

impl Machine {
    /// Pins this process, and so those that it starts, to a core, by default the last one.
    pub(crate) fn pinned(core: Option<usize>) -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let wanted = cores.iter().rfind(|known| core.is_none_or(|core| known.id == core));
        let pinned = wanted.filter(|wanted| core_affinity::set_for_current(**wanted));
        Self {
            processor: processor(),
            cores: cores.len(),
            pinned_core: pinned.map(|pinned| pinned.id),
            load_before: load(),
            load_after: String::new(),
        }
    }

    /// Notes how busy the machine is at the end.
    pub(crate) fn finish(&mut self) {
        self.load_after = load();
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, load_before, load_after, .. } = self;
        let pinned = self.pinned_core.map_or_else(|| "not pinned".to_owned(), |core| format!("pinned to core {core}"));
        write!(f, "{processor}, {cores} cores, {pinned}; load average {load_before} before, {load_after} after")
    }
}

fn processor() -> String {
    let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown processor", |(_, name)| name).to_owned()
}

/// Of one, five and fifteen minutes.
fn load() -> String {
    let facts = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let three: Vec<&str> = facts.split_whitespace().take(3).collect();
    if three.is_empty() { "unknown".to_owned() } else { three.join(" ") }
}
