//! The system's bound of open files, which sockets and files share: connections must not take those that the log and the blocks need.

use tracing::warn;

/// Below this, a fleet of clients will wait in the listen queue.
const ENOUGH: usize = 4096;

/// Connections of one port, of two: together they leave half of the open files to everything else.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let Some(open_files) = std::fs::read_to_string("/proc/self/limits").ok().and_then(|text| parse(&text)) else {
        return wanted;
    };
    let connections = wanted.min(open_files / 4).max(1);
    if open_files < ENOUGH {
        warn!(open_files, connections, "few files may be open, and so few connections: raise it with ulimit -n");
    }
    connections
}

/// The soft limit; `None` if there is none.
fn parse(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let limits = |soft| {
            format!(
                "Limit     Soft Limit  Hard Limit  Units\nMax processes 5 6 processes\nMax open files  {soft}   4096  files\n"
            )
        };
        assert_eq!(parse(&limits("1024")), Some(1024));
        assert_eq!(parse(&limits("unlimited")), None);
        assert_eq!(parse("nothing"), None);
    }
}
