//! The rates of put and get over time as an SVG file.

use std::{error::Error, path::Path};

use dsn_cli::{Exit, Failure};
use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Color, IntoDrawingArea, LineSeries, PathElement, RED, SVGBackend, WHITE,
};

use super::phase::{Phase, megabytes};

/// Pixels.
const SIZE: (u32, u32) = (900, 420);

/// Stretches of time of each curve, in each of which its rate is an average.
const STRETCHES: u32 = 40;

/// Whether it can be written at all; asked before anything is measured.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    if file.extension().is_none_or(|extension| extension != "svg") {
        return Err(Failure::new(Exit::Usage, format!("{} is not called .svg", file.display()))
            .hint("the plot is an SVG file: name it so"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_folder = std::fs::metadata(folder).map_err(|error| failed(file, &error))?.is_dir();
    if is_folder { Ok(()) } else { Err(failed(file, &std::io::Error::from(std::io::ErrorKind::NotADirectory))) }
}

fn failed(file: &Path, error: &dyn Error) -> Failure {
    Failure::of(Exit::Disk, error).named(format!("cannot write {}", file.display()))
}

/// Draws those of the parts that have gone on for some time.
pub(super) fn draw(file: &Path, phases: &[Phase]) -> Result<(), Failure> {
    let mut svg = String::new();
    render(&mut svg, phases).map_err(|error| failed(file, &*error))?;
    std::fs::write(file, svg).map_err(|error| failed(file, &error))
}

fn render(svg: &mut String, phases: &[Phase]) -> Result<(), Box<dyn Error>> {
    let curves: Vec<_> = phases.iter().filter(|phase| !phase.samples.is_empty()).map(|p| (p, rates(p))).collect();
    let most = |of: fn(&(f64, f64)) -> f64| curves.iter().flat_map(|(_, curve)| curve).map(of).fold(0.001, f64::max);
    let (seconds, rate) = (most(|point| point.0), most(|point| point.1));
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(concat!("dsn ", env!("CARGO_PKG_VERSION"), ": put and get over time"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..seconds, 0.0..rate * 1.1)?;
    chart.configure_mesh().x_desc("seconds").y_desc("MB/s").draw()?;
    for ((phase, curve), colour) in curves.iter().zip([BLUE, RED]) {
        let series = chart.draw_series(LineSeries::new(curve.iter().copied(), colour.stroke_width(2)))?;
        let label = format!("{}: {:.0} MB/s", phase.phase, phase.mb_per_s);
        series.label(label).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

/// The average rate of each stretch, at its end: seconds and MB/s.
fn rates(phase: &Phase) -> Vec<(f64, f64)> {
    let stretch = (phase.seconds / f64::from(STRETCHES)).max(f64::EPSILON);
    let done_by =
        |time: f64| phase.samples.iter().take_while(|(at, _)| *at <= time).last().map_or(0, |(_, done)| *done);
    let rate = |nth: u32| {
        let (start, end) = (f64::from(nth) * stretch, f64::from(nth + 1) * stretch);
        (end, megabytes(done_by(end) - done_by(start)) / stretch)
    };
    (0..STRETCHES).map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_add_up_to_all_bytes_and_no_part_draws_an_empty_chart() {
        let samples = vec![(0.1, 10_000_000), (0.5, 60_000_000), (2.0, 80_000_000)];
        let phase = Phase {
            phase: "put".into(),
            bytes: 80_000_000,
            seconds: 2.0,
            mb_per_s: 40.0,
            cpu_seconds: None,
            farmers_cpu_seconds: None,
            peak_memory_bytes: None,
            wire_bytes: None,
            samples,
        };
        let all: f64 = rates(&phase).iter().map(|(_, rate)| rate * 2.0 / f64::from(STRETCHES)).sum();
        assert!((all - 80.0).abs() < 1e-6, "{all}");
        let mut svg = String::new();
        render(&mut svg, &[phase]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("put: 40 MB/s") && svg.trim_end().ends_with("</svg>"));
        render(&mut String::new(), &[]).unwrap();
    }
}
