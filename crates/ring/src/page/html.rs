//! The page: one table, one picture, no scripts.

use std::fmt::Write as _;

use super::{MemberReport, RingReport, circle};
use crate::snapshot::Snapshot;

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:2rem;color:#222}table{border-collapse:collapse}\
th,td{padding:.3rem .7rem;text-align:left;border-bottom:1px solid #ddd}td.n{text-align:right}\
.bad{color:#b00020;font-weight:600}.ok{color:#1b7f3b}svg{max-width:26rem;display:block;margin:1rem 0}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#444}}";

/// Everything a member says of itself is escaped.
pub(super) fn page(report: &RingReport, snapshot: &Snapshot) -> String {
    let mut text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Ring</title><style>{STYLE}</style><h1>Ring</h1>\
         <p>Epoch {}, {} members. <a href=\"?format=json\">JSON</a></p>\
         <table><thead><tr><th><th>Member<th>Roles<th>State<th>Alive<th>Zone<th>Address<th>Tokens<th>Share<th>Since<th>Started<th></tr></thead><tbody>",
        report.epoch,
        report.members.len()
    );
    for (index, member) in report.members.iter().enumerate() {
        row(&mut text, index, member, report.now_ms);
    }
    text.push_str("</tbody></table>");
    circle::draw(&mut text, snapshot);
    text
}

fn row(text: &mut String, index: usize, member: &MemberReport, now_ms: i64) {
    let shares: Vec<String> =
        member.shares.iter().map(|(role, share)| format!("{role} {:.1} %", share * 100.0)).collect();
    let alive = match (member.healthy, member.unhealthy_seconds) {
        (true, _) => "<span class=ok>yes</span>".to_owned(),
        (false, Some(seconds)) => format!("<span class=bad>no, for {}</span>", age(seconds)),
        (false, None) => "<span class=bad>no</span>".to_owned(),
    };
    let state = format!(
        "{}{}{}",
        member.state,
        if member.read_only_since_ms.is_some() { ", read-only" } else { "" },
        if member.forget { ", to be forgotten" } else { "" },
    );
    let button = if member.healthy {
        String::new()
    } else {
        format!(
            "<form method=post action=\"ring/forget\"><input type=hidden name=id value=\"{}\"><button>Forget</button></form>",
            escaped(&member.id)
        )
    };
    let since = |ms: i64| age(u64::try_from((now_ms - ms) / 1000).unwrap_or(0));
    let _ = write!(
        text,
        "<tr><td style=\"color:{}\">&#9679;<td>{}<td>{}<td>{state}<td>{alive}<td>{}<td>{}<td class=n>{}<td>{}<td>{}<td>{}<td>{button}</tr>",
        circle::colour(index),
        escaped(&member.id),
        escaped(&member.roles.join(", ")),
        escaped(&member.zone),
        escaped(&member.address),
        member.tokens,
        shares.join(", "),
        since(member.registered_at_ms),
        since(i64::try_from(member.started_at_ms).unwrap_or(i64::MAX)),
    );
}

/// The two largest units: `3d 4h`.
fn age(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let parts = units.iter().filter_map(|(unit, name)| {
        let count = left / unit;
        left %= unit;
        (count > 0).then(|| format!("{count}{name}"))
    });
    let parts: Vec<String> = parts.take(2).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [(0, "0s"), (61, "1m 1s"), (3_600, "1h"), (273_600, "3d 4h"), (86_401, "1d 1s")] {
            assert_eq!(age(seconds), text);
        }
        assert_eq!(escaped("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
