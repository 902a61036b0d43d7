//! A drawing of one quantity: a bar for each side, as high as its median, and a line from its least to
//! its greatest figure.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::performance::report::{Series, Spread};

const SIZE: (u32, u32) = (720, 360);
const COLOURS: [RGBColor; 4] = [
    RGBColor(160, 160, 160),
    RGBColor(31, 119, 180),
    RGBColor(214, 140, 60),
    RGBColor(44, 130, 80),
];

/// Draws series of one unit beside each other.
pub(crate) fn draw(path: &Path, title: &str, all: &[&Series]) -> Result<()> {
    let bars: Vec<(&str, Spread)> = all
        .iter()
        .filter_map(|series| Some((series.who.as_str(), Spread::of(&series.rounds)?)))
        .collect();
    let unit = all.first().map_or("", |series| series.unit.as_str());
    let top = bars
        .iter()
        .map(|(_, spread)| spread.max)
        .fold(0.0, f64::max);
    let right = u32::try_from(bars.len()).map_or(1.0, f64::from);
    let result = (|| -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..right, 0.0..top.max(f64::MIN_POSITIVE) * 1.15)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .y_desc(unit)
            .y_label_formatter(&|value| figure(*value))
            .draw()?;
        let mut left = 0.0;
        for ((who, spread), colour) in bars.iter().zip(COLOURS.iter().cycle()) {
            let middle = left + 0.5;
            let bar = [(left + 0.2, 0.0), (left + 0.8, spread.median)];
            let line = [(middle, spread.min), (middle, spread.max)];
            chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            chart.draw_series([PathElement::new(line, BLACK.stroke_width(2))])?;
            let text = format!("{who}: {}", figure(spread.median));
            let style = ("sans-serif", 14).into_font().color(&BLACK);
            chart.draw_series([Text::new(text, (left + 0.2, top * 1.1), style)])?;
            left += 1.0;
        }
        area.present()?;
        Ok(())
    })();
    result.map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// A figure with as many digits as are worth reading.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_names_every_side_and_its_median() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        let series = |who: &str, rounds: &[f64]| Series {
            what: "calls".into(),
            who: who.into(),
            unit: "requests/s".into(),
            rounds: rounds.to_vec(),
        };
        let (bare, ours) = (series("bare", &[1000.0, 1200.0]), series("ours", &[700.0]));
        draw(&path, "calls", &[&bare, &ours]).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for part in ["<svg", "bare: 1100", "ours: 700", "requests/s"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
