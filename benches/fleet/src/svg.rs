//! A picture as plain SVG, in one style for all plots.

use std::fmt::{Display, Write};

pub const INK: &str = "#333333";
pub const FAINT: &str = "#e3e3e3";

/// Ours first; then others in the order in which they are drawn.
pub const COLOURS: [&str; 7] = [
    "#1f6fb4", "#8a8a8a", "#c8553d", "#3a8f5c", "#b5892e", "#7d5ba6", "#4aa3a2",
];

pub struct Svg {
    text: String,
}

impl Svg {
    pub fn new(width: f64, height: f64, title: &str, subtitle: &str) -> Self {
        let mut svg = Self {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
                 font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
                 <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
            ),
        };
        let _ = writeln!(
            svg.text,
            "<text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>",
            escaped(title)
        );
        let _ = writeln!(
            svg.text,
            "<text x=\"16\" y=\"44\" fill=\"#666666\">{}</text>",
            escaped(subtitle)
        );
        svg
    }

    pub fn text(&mut self, x: f64, y: f64, anchor: &str, text: impl Display) {
        let text = escaped(&text.to_string());
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// A text that reads upwards.
    pub fn upright(&mut self, x: f64, y: f64, text: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.text,
            "<text transform=\"translate({x:.1},{y:.1}) rotate(-90)\" text-anchor=\"middle\">{text}</text>"
        );
    }

    pub fn rule(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.text,
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub fn area(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.text,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            from.0,
            from.1,
            to.0 - from.0,
            to.1 - from.1
        );
    }

    pub fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let points: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            self.text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>",
            points.join(" ")
        );
    }

    pub fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        let _ = writeln!(
            self.text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
        );
    }

    /// Many dots of one colour, in one path.
    pub fn dots(&mut self, points: &[(f64, f64)], colour: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "M{x:.1} {y:.1}h0");
        }
        let _ = writeln!(
            self.text,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2.4\" stroke-linecap=\"round\" \
             stroke-opacity=\"0.75\"/>"
        );
    }

    pub fn end(self) -> String {
        self.text + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
