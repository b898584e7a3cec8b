//! Calls as dots: a row for each client, time to the right, a panel for each law.

use crate::svg::{COLOURS, FAINT, INK, Svg};

pub struct Panel {
    pub name: &'static str,
    pub note: String,
    /// Of each client, when it calls.
    pub calls: Vec<Vec<f64>>,
    /// Of `COLOURS`.
    pub colour: usize,
}

pub struct Rain {
    pub title: &'static str,
    pub subtitle: &'static str,
    pub label: &'static str,
    pub seconds: f64,
    pub panels: Vec<Panel>,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 16.0;
const RIGHT: f64 = 704.0;
const TOP: f64 = 62.0;
/// A panel with its name.
const PANEL: f64 = 128.0;
const RAIN: f64 = 100.0;

impl Rain {
    pub fn svg(&self) -> String {
        let bottom = TOP + PANEL * self.panels.len() as f64;
        let mut svg = Svg::new(WIDTH, bottom + 42.0, self.title, self.subtitle);
        let x = |seconds: f64| LEFT + seconds / self.seconds * (RIGHT - LEFT);
        for (at, panel) in self.panels.iter().enumerate() {
            let top = TOP + PANEL * at as f64;
            let colour = COLOURS[panel.colour];
            svg.dot((LEFT + 5.0, top + 8.0), 5.0, colour);
            svg.text(LEFT + 16.0, top + 12.0, "start", panel.name);
            svg.text(RIGHT, top + 12.0, "end", &panel.note);
            svg.rule((LEFT, top + 20.0 + RAIN), (RIGHT, top + 20.0 + RAIN), FAINT);
            let row = RAIN / panel.calls.len() as f64;
            let of = |(client, calls): (usize, &Vec<f64>)| {
                let y = top + 20.0 + (client as f64 + 0.5) * row;
                let within = calls.iter().filter(|at| **at <= self.seconds);
                within.map(|at| (x(*at), y)).collect::<Vec<_>>()
            };
            let dots: Vec<_> = panel.calls.iter().enumerate().flat_map(of).collect();
            svg.dots(&dots, colour);
        }
        svg.rule((LEFT, bottom), (RIGHT, bottom), INK);
        for second in 0..=self.seconds as u32 {
            let at = x(f64::from(second));
            svg.rule((at, bottom), (at, bottom + 5.0), INK);
            if second % 5 == 0 {
                svg.text(at, bottom + 19.0, "middle", second);
            }
        }
        svg.text(
            f64::midpoint(LEFT, RIGHT),
            bottom + 35.0,
            "middle",
            self.label,
        );
        svg.end()
    }
}
