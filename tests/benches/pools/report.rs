//! What was measured, as Markdown, as JSON and as charts.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use serde_json::{Value, json};

/// One row of a table: somebody who is measured again and again, in turns with the others.
pub(crate) struct Lane {
    pub(crate) name: String,
    /// Measures once, a figure for each column.
    pub(crate) sample: Box<dyn FnMut() -> Vec<f64>>,
}

impl Lane {
    pub(crate) fn new(name: impl Into<String>, sample: impl FnMut() -> Vec<f64> + 'static) -> Self {
        Self { name: name.into(), sample: Box::new(sample) }
    }
}

/// What is measured of everybody, and how it is written.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) digits: usize,
}

/// The median of what was measured, with what is at its ends: so much is noise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Figure {
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let (least, most) = (samples[0], samples[samples.len() - 1]);
        Self { least, median: samples[samples.len() / 2], most }
    }
}

/// What is to be reached, as a ratio of two figures of one run, or as a figure that depends on no machine.
pub(crate) struct Goal {
    what: String,
    reached: f64,
    limit: f64,
    at_most: bool,
}

impl Goal {
    pub(crate) fn at_most(limit: f64, what: impl Into<String>, reached: f64) -> Self {
        Self { what: what.into(), reached, limit, at_most: true }
    }

    pub(crate) fn at_least(limit: f64, what: impl Into<String>, reached: f64) -> Self {
        Self { what: what.into(), reached, limit, at_most: false }
    }

    fn is_met(&self) -> bool {
        if self.at_most { self.reached <= self.limit } else { self.reached >= self.limit }
    }
}

/// One scenario's results.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<(String, Vec<Figure>)>,
    pub(crate) goals: Vec<Goal>,
}

impl Table {
    /// Measures everybody in turn, so many times: what the computer does beside it hits all of them.
    pub(crate) fn measure(
        name: &'static str,
        about: impl Into<String>,
        columns: &[Column],
        rounds: usize,
        mut lanes: Vec<Lane>,
    ) -> Self {
        let mut samples = vec![vec![Vec::with_capacity(rounds); columns.len()]; lanes.len()];
        for _ in 0..rounds {
            for (lane, kept) in lanes.iter_mut().zip(&mut samples) {
                let figures = (lane.sample)();
                assert_eq!(figures.len(), columns.len(), "a figure for each column");
                kept.iter_mut().zip(figures).for_each(|(kept, figure)| kept.push(figure));
            }
        }
        let figures = samples.into_iter().map(|row| row.into_iter().map(Figure::of).collect());
        let rows = lanes.into_iter().map(|lane| lane.name).zip(figures).collect();
        Self { name, about: about.into(), columns: columns.to_vec(), rows, goals: Vec::new() }
    }

    /// The median in this row and column.
    pub(crate) fn at(&self, row: &str, column: usize) -> f64 {
        let found = self.rows.iter().find(|(name, _)| name == row);
        found.unwrap_or_else(|| panic!("{} has no {row}", self.name)).1[column].median
    }

    /// The most and the least median of a column, over the rows whose name begins so.
    pub(crate) fn apart(&self, rows: &str, column: usize) -> f64 {
        let rows = self.rows.iter().filter(|(name, _)| name.starts_with(rows));
        let medians = rows.map(|(_, figures)| figures[column].median);
        let (least, most) = medians.fold((f64::MAX, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
        most / least
    }

    pub(crate) fn goals(mut self, goals: impl FnOnce(&Self) -> Vec<Goal>) -> Self {
        self.goals = goals(&self);
        self
    }

    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![format!("### {}\n\n{}\n", self.name, self.about)];
        let head: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        lines.push(format!("| | {} |", head.join(" | ")));
        lines.push(format!("| --- |{}", " ---: |".repeat(head.len())));
        for (name, figures) in &self.rows {
            let cells = self.columns.iter().zip(figures).map(|(column, figure)| {
                let digits = column.digits;
                let (median, least, most) = (figure.median, figure.least, figure.most);
                if least == most {
                    format!("{median:.digits$}")
                } else {
                    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
                }
            });
            lines.push(format!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | ")));
        }
        if !self.goals.is_empty() {
            lines.push(String::new());
        }
        for goal in &self.goals {
            let (sign, verdict) =
                (if goal.at_most { "≤" } else { "≥" }, if goal.is_met() { "reached" } else { "not reached" });
            lines.push(format!("- {}: {:.2} ({sign} {:.2}): {verdict}", goal.what, goal.reached, goal.limit));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(name, figures)| {
            let figures = self.columns.iter().zip(figures).map(|(column, figure)| {
                json!({
                    "of": column.name,
                    "median": figure.median,
                    "least": figure.least,
                    "most": figure.most,
                })
            });
            json!({ "name": name, "figures": figures.collect::<Vec<_>>() })
        });
        let goals = self.goals.iter().map(|goal| {
            let bound = if goal.at_most { "at_most" } else { "at_least" };
            json!({ "what": goal.what, "reached": goal.reached, bound: goal.limit, "met": goal.is_met() })
        });
        json!({
            "scenario": self.name,
            "about": self.about,
            "rows": rows.collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    }

    /// Draws the medians of the first column as bars.
    pub(crate) fn draw(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let file = folder.join(format!("{}.svg", self.name.replace(' ', "-")));
        let height = 90 + 26 * self.rows.len() as u32;
        let area = SVGBackend::new(&file, (900, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let most = self.rows.iter().map(|(_, figures)| figures[0].most).fold(0.0, f64::max);
        let count = self.rows.len() as f64;
        let title = format!("{}: {}", self.name, self.columns[0].name);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(24)
            .build_cartesian_2d(-0.45 * most..most * 1.05, 0.0..count)?;
        chart.configure_mesh().disable_mesh().disable_y_axis().x_labels(6).draw()?;
        for (index, (name, figures)) in self.rows.iter().enumerate() {
            let (figure, top) = (figures[0], count - index as f64);
            let color =
                if name.starts_with("qorb,") { BLUE.filled() } else { RGBColor(150, 150, 150).filled() };
            chart.draw_series([Rectangle::new([(0.0, top - 0.2), (figure.median, top - 0.8)], color)])?;
            chart.draw_series([PathElement::new(
                vec![(figure.least, top - 0.5), (figure.most, top - 0.5)],
                BLACK,
            )])?;
            let label = Text::new(name.clone(), (-0.44 * most, top - 0.3), ("sans-serif", 14));
            chart.draw_series([label])?;
        }
        area.present()?;
        Ok(())
    }
}
