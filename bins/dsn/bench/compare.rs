//! A bench beside an earlier one: old, new and their ratio, figure by figure. Figures of another machine, or of another file,
//! say nothing about the program, so then nothing is compared.

use std::{fmt, path::Path};

use dsn_cli::{Exit, Failure};
use serde::Serialize;

use super::{BenchJson, Parameters, machine::Machine, phase::Phase};

/// What an earlier bench has told.
pub(super) struct Old(BenchJson);

/// What came of comparing it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compared {
    /// The program that was measured then.
    version: String,
    figures: Vec<Figure>,
}

#[derive(Debug, Clone, Serialize)]
struct Figure {
    phase: String,
    figure: &'static str,
    old: f64,
    new: f64,
    /// New to old; none when the old one is 0.
    ratio: Option<f64>,
}

/// What of a part is compared.
type Part = (&'static str, fn(&Phase) -> Option<f64>);

const FIGURES: [Part; 6] = [
    ("mb_per_s", |phase| Some(phase.mb_per_s)),
    ("seconds", |phase| Some(phase.seconds)),
    ("cpu_seconds", |phase| phase.cpu_seconds),
    ("farmers_cpu_seconds", |phase| phase.farmers_cpu_seconds),
    ("peak_memory_bytes", |phase| phase.peak_memory_bytes.map(exact)),
    ("wire_bytes", |phase| phase.wire_bytes.map(exact)),
];

#[expect(clippy::cast_precision_loss, reason = "a figure for people; exact up to 9 PB")]
fn exact(bytes: u64) -> f64 {
    bytes as f64
}

impl Old {
    /// Reads what `dsn bench --json` has printed.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::of(Exit::Disk, &error).named(format!("cannot read {shown}")))?;
        let old = serde_json::from_str(&text).map_err(|error| {
            Failure::of(Exit::Usage, &error)
                .named(format!("{shown} is not what a bench has told"))
                .hint("keep the output of `dsn bench --json` for this")
        })?;
        Ok(Self(old))
    }

    /// Whether it can be compared, as far as that is known before anything is measured.
    pub(super) fn check_before(
        &self,
        machine: &Machine,
        bytes: u64,
        redundancy: &str,
        local_farmers: Option<u16>,
    ) -> Result<(), Failure> {
        let asked = Parameters { bytes, redundancy: redundancy.to_owned(), local_farmers, ..self.0.parameters.clone() };
        self.check(machine, &asked)
    }

    fn check(&self, machine: &Machine, parameters: &Parameters) -> Result<(), Failure> {
        let differs = differing(&self.0.machine, machine)
            .or_else(|| differing(&self.0.parameters, parameters))
            .map(|what| format!("the old bench cannot be compared: {what}"));
        let hint = "measure both on one machine, with the same size, redundancy and farmers";
        differs.map_or(Ok(()), |error| Err(Failure::new(Exit::Usage, error).hint(hint)))
    }

    /// Old and new, side by side.
    pub(super) fn compare(self, new: &BenchJson) -> Result<Compared, Failure> {
        self.check(&new.machine, &new.parameters)?;
        let old = |new: &Phase| self.0.phases.iter().find(|old| old.phase == new.phase);
        let pairs = new.phases.iter().filter_map(|new| Some((old(new)?, new)));
        let figures = pairs.flat_map(|(old, new)| FIGURES.iter().filter_map(|part| figure(part, old, new))).collect();
        Ok(Compared { version: self.0.version, figures })
    }
}

fn figure((name, of): &Part, old: &Phase, new: &Phase) -> Option<Figure> {
    let (phase, old, new) = (new.phase.to_string(), of(old)?, of(new)?);
    Some(Figure { phase, figure: name, old, new, ratio: (old > 0.0).then(|| new / old) })
}

/// The first field in which two values differ, with what it was and is.
fn differing(old: &impl Serialize, new: &impl Serialize) -> Option<String> {
    let [old, new] = [serde_json::to_value(old), serde_json::to_value(new)].map(|json| json.expect("our own values"));
    let mut differing = old.as_object()?.iter().filter(|(name, old)| new.get(name) != Some(old));
    differing.next().map(|(name, old)| format!("{name} was {old} and is {}", new[name.as_str()]))
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "phase    figure                        dsn {:<9}           now  ratio", self.version)?;
        for Figure { phase, figure, old, new, ratio } in &self.figures {
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            write!(f, "\n{phase:<8} {figure:<20} {old:>20.2} {new:>13.2} {ratio:>6}")?;
        }
        Ok(())
    }
}
