//! The token circle as SVG: an arc for each range, in the colour of its owner.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use crate::member::Role;
use crate::snapshot::Snapshot;

/// More arcs than this cannot be told apart and only make the page slow.
const ARCS_MAX: usize = 8192;
const RADIUS: f64 = 100.0;

/// The circle of ingesters, or of the next role that owns something. Nothing if nobody owns anything.
pub(super) fn draw(text: &mut String, snapshot: &Snapshot) {
    let owning = Role::ALL.into_iter().filter(|role| role.owns());
    let Some((role, ranges)) = owning.map(|role| (role, snapshot.ranges(role))).find(|(_, ranges)| !ranges.is_empty())
    else {
        return;
    };
    let _ = write!(text, "<h2>Circle of the role {}</h2>", role.name());
    if ranges.len() > ARCS_MAX {
        let _ = write!(text, "<p>{} ranges are too many to draw.</p>", ranges.len());
        return;
    }
    text.push_str("<svg viewBox=\"-120 -120 240 240\" fill=none stroke-width=16>");
    for (before, end, member) in ranges {
        if before == end {
            let _ = write!(text, "<circle r={RADIUS} stroke=\"{}\"/>", colour(member));
            continue;
        }
        let (x0, y0) = point(before);
        let (x1, y1) = point(end);
        let large = u8::from(end.wrapping_sub(before) > u32::MAX / 2);
        let _ = write!(
            text,
            "<path d=\"M{x0:.2} {y0:.2}A{RADIUS} {RADIUS} 0 {large} 1 {x1:.2} {y1:.2}\" stroke=\"{}\"/>",
            colour(member)
        );
    }
    text.push_str("</svg>");
}

/// Key 0 is at twelve o'clock; clockwise.
fn point(key: u32) -> (f64, f64) {
    let angle = f64::from(key) / (f64::from(u32::MAX) + 1.0) * TAU;
    (RADIUS * angle.sin(), -RADIUS * angle.cos())
}

/// Neighbouring members get colours far apart (golden angle).
pub(super) fn colour(member: usize) -> String {
    let hue = (member as f64 * 137.508) % 360.0;
    format!("hsl({hue:.0} 65% 48%)")
}
