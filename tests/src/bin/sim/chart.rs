//! The course of a scenario as a picture.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use qorb_tests::fleet::{Report, Sample, Scenario};

const SIZE: (u32, u32) = (1000, 900);
const LABELS: u32 = 60;

/// A colour, and what has it.
type Curve = (RGBColor, fn(&Sample) -> f64);

/// A panel of a picture: what it shows, and its curves.
struct Panel {
    what: &'static str,
    curves: Vec<Curve>,
}

/// Draws what came of a scenario: one panel above the other, over the same time.
pub(crate) fn draw(path: &Path, scenario: &Scenario, report: &Report) -> Result<(), Box<dyn Error>> {
    let panels = [
        Panel { what: "connections", curves: vec![(BLUE, |sample| sample.connections as f64)] },
        Panel {
            what: "connections of the fullest backend (red) and of an average one (blue)",
            curves: vec![(RED, |sample| f64::from(sample.most)), (BLUE, |sample| sample.mean)],
        },
        Panel { what: "connects a second", curves: vec![(BLUE, |sample| sample.dials)] },
        Panel {
            what: "claims that wait (blue); claims denied or broken, a second (red)",
            curves: vec![(BLUE, |sample| sample.waiting as f64), (RED, |sample| sample.failures)],
        },
    ];
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled(&format!("{}: {}", scenario.name, scenario.about), ("sans-serif", 20))?;
    for (area, panel) in area.split_evenly((panels.len(), 1)).iter().zip(&panels) {
        draw_panel(area, panel, &report.samples)?;
    }
    area.present()?;
    Ok(())
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    panel: &Panel,
    samples: &[Sample],
) -> Result<(), Box<dyn Error>> {
    let minutes = |sample: &Sample| sample.at.as_nanos() as f64 / 60e9;
    let end = samples.last().map_or(1.0, minutes);
    let values = panel.curves.iter().flat_map(|(_, value)| samples.iter().map(value));
    let most = values.fold(1.0_f64, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.what, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(LABELS / 2)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..end, 0.0..most * 1.05)?;
    chart.configure_mesh().x_desc("minutes").light_line_style(TRANSPARENT).draw()?;
    for (color, value) in &panel.curves {
        let points = samples.iter().map(|sample| (minutes(sample), value(sample)));
        chart.draw_series(LineSeries::new(points, color))?;
    }
    Ok(())
}
