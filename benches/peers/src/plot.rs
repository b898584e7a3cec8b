//! Plots as plain SVG: a logarithmic axis of counts, a linear one of costs.

use std::fmt::Write;

pub struct Series {
    pub name: String,
    /// A count and what it cost.
    pub points: Vec<(u32, f64)>,
}

pub struct Plot {
    pub title: &'static str,
    pub counted: &'static str,
    pub cost: &'static str,
    pub series: Vec<Series>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 40.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 96.0;
const COLOURS: [&str; 6] = [
    "#4477aa", "#cc6677", "#228833", "#aa7700", "#884499", "#555555",
];

impl Plot {
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let decades = points().map(|(count, _)| f64::from(*count).log10());
        let decades = decades.fold(1.0, f64::max).ceil();
        let highest = points().map(|(_, cost)| *cost).fold(1.0, f64::max);
        let step = step(highest);
        let steps = (highest / step).ceil();
        let x = |log: f64| LEFT + log / decades * (WIDTH - LEFT - RIGHT);
        let y = |cost: f64| HEIGHT - BOTTOM - cost / (step * steps) * (HEIGHT - TOP - BOTTOM);

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let text = |x: f64, y: f64, anchor: &str, text: &str| {
            format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
        };
        svg += &text(WIDTH / 2.0, 20.0, "middle", self.title);
        svg += &text(LEFT, TOP - 8.0, "middle", self.cost);
        svg += &text(WIDTH / 2.0, HEIGHT - BOTTOM + 34.0, "middle", self.counted);
        for line in 0..=steps as u32 {
            let cost = f64::from(line) * step;
            svg += &text(LEFT - 6.0, y(cost) + 4.0, "end", &cost.to_string());
            svg += &rule(LEFT, y(cost), WIDTH - RIGHT, y(cost));
        }
        for decade in 0..=decades as u32 {
            let at = x(f64::from(decade));
            let label = thousands(10_u64.pow(decade));
            svg += &text(at, HEIGHT - BOTTOM + 16.0, "middle", &label);
            svg += &rule(at, TOP, at, HEIGHT - BOTTOM);
        }
        for (at, (series, colour)) in self.series.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let place = |(count, cost): &(u32, f64)| (x(f64::from(*count).log10()), y(*cost));
            let line: Vec<_> = series
                .points
                .iter()
                .map(place)
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let line = line.join(" ");
            // The yardstick comes first, and shows where another lies upon it.
            let (width, opacity) = if at == 0 { (7, 0.4) } else { (2, 1.0) };
            let _ = writeln!(
                svg,
                "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"{width}\" stroke-opacity=\"{opacity}\"/>"
            );
            for (x, y) in series.points.iter().map(place) {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            let (column, row) = ((at % 3) as f64, (at / 3) as f64);
            let (x, y) = (LEFT + column * 190.0, HEIGHT - 40.0 + row * 18.0);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                y - 4.0
            );
            svg += &text(x + 10.0, y, "start", &series.name);
        }
        svg + "</svg>\n"
    }
}

fn rule(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>\n"
    )
}

/// The distance of an axis's lines: 1, 2 or 5 times a power of ten, for four to
/// ten of them.
fn step(highest: f64) -> f64 {
    let power = 10_f64.powf((highest / 4.0).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|times| times * power);
    let fits = steps.into_iter().find(|step| step * 4.0 <= highest);
    fits.unwrap_or(power)
}

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{step, thousands};

    #[test]
    fn thousands_are_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn an_axis_has_four_to_ten_lines() {
        for highest in [1.0, 3.9, 64.0, 198.0, 400.0, 1_599.0, 99_999.0] {
            let lines = highest / step(highest);
            assert!((4.0..=10.0).contains(&lines), "{highest}: {lines}");
        }
    }
}
