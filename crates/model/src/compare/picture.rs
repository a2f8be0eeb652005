//! A comparison as a picture: a bar for each function that changed, with its confidence interval. SVG 1.1.

use std::fmt::Write as _;

use super::{Change, Comparison};

/// Bars drawn.
const BARS_MAX: usize = 40;
/// Characters of a name that are drawn.
const NAME_MAX: usize = 60;
/// Lengths in pixels.
const WIDTH: f64 = 1000.0;
const NAMES_WIDTH: f64 = 420.0;
const VALUES_WIDTH: f64 = 130.0;
const ROW: f64 = 24.0;
const HEAD: f64 = 60.0;
const FOOT: f64 = 40.0;
const GREW: &str = "#c0392b";
const SHRANK: &str = "#2471a3";

impl Comparison {
    /// The picture, at most 40 bars.
    pub fn svg(&self) -> String {
        let bars = &self.changed[..self.changed.len().min(BARS_MAX)];
        let height = HEAD + ROW * bars.len().max(1) as f64 + FOOT;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        let _ =
            writeln!(out, "<text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>", self.headline());
        let _ = writeln!(out, "<text x=\"16\" y=\"46\" fill=\"#555555\">Change in percentage points</text>");
        let scale = Scale::over(bars);
        let zero = scale.x(0.0);
        let end = HEAD + ROW * bars.len() as f64;
        let _ =
            writeln!(out, "<line x1=\"{zero:.1}\" y1=\"{HEAD}\" x2=\"{zero:.1}\" y2=\"{end}\" stroke=\"#999999\"/>");
        (0..).zip(bars).for_each(|(at, change)| bar(&mut out, HEAD + ROW * f64::from(at), change, &scale));
        let foot = height - 16.0;
        let _ = writeln!(out, "<text x=\"16\" y=\"{foot}\" fill=\"#555555\">{}</text>", self.footing().trim_end());
        out.push_str("</svg>\n");
        out
    }
}

fn bar(out: &mut String, top: f64, change: &Change, scale: &Scale) {
    let (zero, tip) = (scale.x(0.0), scale.x(change.change));
    let (low, high) = (scale.x(change.change_low), scale.x(change.change_high));
    let colour = if change.change > 0.0 { GREW } else { SHRANK };
    let (base, middle) = (top + 17.0, top + ROW / 2.0);
    let names_end = NAMES_WIDTH - 8.0;
    let _ = writeln!(out, "<g><title>{}</title>", escaped(&change.function));
    let name = shortened(&change.function);
    let _ = writeln!(out, "<text x=\"{names_end}\" y=\"{base}\" text-anchor=\"end\">{}</text>", escaped(&name));
    let (left, width) = (zero.min(tip), (zero - tip).abs().max(1.0));
    let _ = writeln!(
        out,
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\" fill-opacity=\"0.75\"/>",
        top + 4.0,
        ROW - 8.0
    );
    let _ = writeln!(
        out,
        "<path d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {0}v8M{high:.1} {0}v8\" stroke=\"#000000\" fill=\"none\"/>",
        middle - 4.0
    );
    let value = format!("{:+.2} ({:.2} %)", change.change * 100.0, change.candidate * 100.0);
    let _ = writeln!(out, "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{value}</text></g>", WIDTH - 12.0);
}

/// Changes to pixels.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn over(bars: &[Change]) -> Self {
        let least = bars.iter().map(|bar| bar.change_low).fold(0.0, f64::min);
        let most = bars.iter().map(|bar| bar.change_high).fold(0.0, f64::max);
        Self { least, most: if most > least { most } else { least + 1.0 } }
    }

    fn x(&self, change: f64) -> f64 {
        NAMES_WIDTH + (change - self.least) / (self.most - self.least) * (WIDTH - NAMES_WIDTH - VALUES_WIDTH)
    }
}

/// The end of a long name tells more than its beginning.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME_MAX {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length - NAME_MAX + 1).collect();
    format!("…{end}")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
