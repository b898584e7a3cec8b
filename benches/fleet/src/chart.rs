//! Lines over two axes.

use crate::svg::{COLOURS, FAINT, INK, Svg};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = 348.0;

#[derive(Clone, Copy)]
pub struct Axis {
    pub label: &'static str,
    pub from: f64,
    pub to: f64,
    /// By factors of ten instead of equal steps.
    pub logarithmic: bool,
}

impl Axis {
    pub const fn linear(label: &'static str, from: f64, to: f64) -> Self {
        Self {
            label,
            from,
            to,
            logarithmic: false,
        }
    }

    pub const fn logarithmic(label: &'static str, from: f64, to: f64) -> Self {
        Self {
            label,
            from,
            to,
            logarithmic: true,
        }
    }

    /// Where a value lies between the ends, 0 to 1.
    fn place(self, value: f64) -> f64 {
        let (value, from, to) = if self.logarithmic {
            (value.log10(), self.from.log10(), self.to.log10())
        } else {
            (value, self.from, self.to)
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }

    fn ticks(self) -> Vec<f64> {
        if self.logarithmic {
            let powers = self.from.log10().round() as i32..=self.to.log10().round() as i32;
            return powers.map(|power| 10_f64.powi(power)).collect();
        }
        let span = self.to - self.from;
        let power = 10_f64.powf((span / 4.0).log10().floor());
        let steps = [5.0, 2.0, 1.0].map(|times| times * power);
        let step = steps.into_iter().find(|step| step * 4.0 <= span);
        let step = step.unwrap_or(power);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Of `COLOURS`; 0 is ours, and drawn last and bold.
    pub colour: usize,
    /// Each point on its own, with its name beside it.
    pub labelled: bool,
}

impl Series {
    pub fn line(name: impl Into<String>, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points,
            colour,
            labelled: false,
        }
    }

    pub fn point(name: impl Into<String>, colour: usize, point: (f64, f64)) -> Self {
        Self {
            labelled: true,
            ..Self::line(name, colour, vec![point])
        }
    }
}

pub struct Chart {
    pub title: &'static str,
    pub subtitle: &'static str,
    pub x: Axis,
    pub y: Axis,
    /// A span of x that is shaded, and what it is.
    pub shaded: Option<(f64, f64, &'static str)>,
    /// A value of y with a line of its own, and what it is.
    pub mark: Option<(f64, &'static str)>,
    pub series: Vec<Series>,
}

impl Chart {
    pub fn svg(&self) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT, self.title, self.subtitle);
        let x = |value: f64| LEFT + self.x.place(value) * (RIGHT - LEFT);
        let y = |value: f64| BOTTOM - self.y.place(value) * (BOTTOM - TOP);
        if let Some((from, to, name)) = self.shaded {
            svg.area((x(from), TOP), (x(to), BOTTOM), "#f6e9d8");
            svg.text(x(from) + 4.0, TOP + 14.0, "start", name);
        }
        for tick in self.y.ticks() {
            svg.rule((LEFT, y(tick)), (RIGHT, y(tick)), FAINT);
            svg.text(LEFT - 8.0, y(tick) + 4.0, "end", number(tick));
        }
        for tick in self.x.ticks() {
            svg.rule((x(tick), BOTTOM), (x(tick), BOTTOM + 5.0), INK);
            svg.text(x(tick), BOTTOM + 20.0, "middle", number(tick));
        }
        svg.rule((LEFT, BOTTOM), (RIGHT, BOTTOM), INK);
        svg.text(
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 40.0,
            "middle",
            self.x.label,
        );
        svg.upright(18.0, f64::midpoint(TOP, BOTTOM), self.y.label);
        if let Some((value, name)) = self.mark {
            svg.rule((LEFT, y(value)), (RIGHT, y(value)), INK);
            svg.text(RIGHT, y(value) - 5.0, "end", name);
        }
        // Ours lies on top.
        for series in self.series.iter().rev() {
            let colour = COLOURS[series.colour];
            let bold = series.colour == 0;
            let points: Vec<_> = series
                .points
                .iter()
                .map(|point| (x(point.0), y(point.1)))
                .collect();
            if series.labelled {
                for point in points {
                    svg.dot(point, if bold { 6.0 } else { 4.5 }, colour);
                }
            } else {
                svg.line(&points, colour, if bold { 3.0 } else { 1.8 });
            }
        }
        let mut labels = Vec::new();
        for series in self.series.iter().filter(|series| series.labelled) {
            for point in &series.points {
                let (at, height) = free(&mut labels, (x(point.0), y(point.1)), &series.name);
                svg.text(at, height, "start", &series.name);
            }
        }
        let mut at = LEFT;
        for series in self.series.iter().filter(|series| !series.labelled) {
            svg.area((at, 61.0), (at + 18.0, 65.0), COLOURS[series.colour]);
            svg.text(at + 24.0, 68.0, "start", &series.name);
            at += 40.0 + 6.4 * series.name.chars().count() as f64;
        }
        svg.end()
    }
}

/// Where a point's label meets no other: beside it, or a line lower or higher. `labels`
/// are those set so far: left, right and height.
fn free(labels: &mut Vec<(f64, f64, f64)>, point: (f64, f64), text: &str) -> (f64, f64) {
    let (left, width) = (point.0 + 9.0, 6.8 * text.chars().count() as f64);
    let meets = |y: f64| {
        let one = |(from, to, at): &(f64, f64, f64)| {
            left < *to && left + width > *from && (y - at).abs() < 14.0
        };
        labels.iter().any(one)
    };
    let heights = [4.0, 19.0, -11.0, 34.0, -26.0].map(|lower| point.1 + lower);
    let y = heights.into_iter().find(|y| !meets(*y));
    let y = y.unwrap_or(heights[0]);
    labels.push((left, left + width, y));
    (left, y)
}

/// A number with its thousands apart, and no more digits than it needs.
fn number(value: f64) -> String {
    if value.abs() < 1000.0 {
        // Ticks are multiples of 1, 2 or 5 times a power of ten.
        return format!("{}", (value * 1e6).round() / 1e6);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
