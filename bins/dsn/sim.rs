//! `dsn sim`: years of a large network as a model, as a table for people who size theirs. The model is in `dsn-sim`.

use dsn_cli::{Exit, Failure, human_bytes, note, print_json, print_line, stderr_is_terminal};
use dsn_core::limits::CHUNK_MAX_BYTES;
use dsn_sim::{ModelError, ModelOptions, ModelReport, REPAIR_SHARE, play_model};
use serde::Serialize;

use crate::{args::Sim, context::Context, interrupt::Interrupts};

/// Bytes of files that the table speaks of: what a household has.
const EXAMPLE_BYTES: f64 = 1e12;

/// Repairs that are played within some ten seconds.
const SOON_REPAIRS: f64 = 100_000.0;

#[derive(Serialize)]
struct SimJson {
    nodes: u32,
    mttf_days: f64,
    years: f64,
    seed: u64,
    redundancy: String,
    chunks: u32,
    chunks_lost: u64,
    repairs: u64,
    repair_bytes: u64,
    loss_per_chunk_year: f64,
}

impl From<&Sim> for ModelOptions {
    fn from(args: &Sim) -> Self {
        Self {
            nodes: args.nodes,
            mttf_days: args.mttf_days,
            years: args.years,
            seed: args.seed,
            class: args.redundancy,
            chunks: args.chunks,
            uplink_mbits: args.uplink,
            outages: true,
        }
    }
}

pub(crate) async fn run(context: &Context, args: &Sim) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let options = ModelOptions::from(args);
    if stderr_is_terminal() && options.expected_repairs() > SOON_REPAIRS {
        note(&format!(
            "about {} repairs to play; 100,000 take some 10 to 30 seconds",
            rounded(options.expected_repairs())
        ));
    }
    let play = async {
        let played = tokio::task::spawn_blocking(move || play_model(options)).await;
        played.map_err(|error| Failure::of(Exit::Internal, &error))?.map_err(|error| refused(&error))
    };
    let report = interrupts.or(play, "nothing was changed").await?;
    if context.json {
        print_json(&json(&report));
    } else {
        table(&report).iter().for_each(|line| print_line(line));
    }
    Ok(())
}

fn refused(error: &ModelError) -> Failure {
    let hint = match error {
        ModelError::TooFewNodes { .. } => "use --nodes 2 or more; a put with one farmer needs --allow-unsafe",
        ModelError::OutOfRange { .. } => "see `dsn sim --help`",
        ModelError::TooLong { .. } => "use fewer --nodes or --chunks, fewer --years, or longer lives (--mttf-days)",
    };
    Failure::of(Exit::Usage, error).named("there is no such network to play").hint(hint)
}

fn json(report: &ModelReport) -> SimJson {
    let ModelOptions { nodes, mttf_days, years, seed, class, chunks, .. } = report.options;
    SimJson {
        nodes,
        mttf_days,
        years,
        seed,
        redundancy: class.to_string(),
        chunks,
        chunks_lost: report.tally.lost_chunks,
        repairs: report.tally.repairs,
        repair_bytes: report.tally.repair_bytes,
        loss_per_chunk_year: report.loss_per_chunk_year(),
    }
}

fn table(report: &ModelReport) -> Vec<String> {
    let sections = [("assumed", assumed(report)), ("happened", happened(report)), ("means", meaning(report))];
    let mut lines = Vec::new();
    for (name, rows) in sections {
        lines.push(name.to_owned());
        lines.extend(rows.into_iter().map(|(row, value)| format!("  {row:<17} {value}")));
    }
    lines
}

type Rows = Vec<(&'static str, String)>;

fn assumed(report: &ModelReport) -> Rows {
    let (options, target) = (&report.options, report.target);
    let ModelOptions { nodes, mttf_days, years, seed, class, chunks, uplink_mbits, .. } = options;
    let each =
        if target.per_farmer > 1 { format!(", up to {} on one farmer", target.per_farmer) } else { String::new() };
    let (files, stored) = (human_bytes(report.file_bytes()), human_bytes(report.stored_bytes()));
    vec![
        ("network", format!("{} farmers, {}, seed {seed}", grouped((*nodes).into()), span(*years))),
        ("a farmer", format!("ends for good after {mttf_days} days on average; an empty one takes its place")),
        ("outages", "2 hours (median) every 3 days; after 24 hours nobody waits for it any more".into()),
        ("uplink", format!("{uplink_mbits} Mbit/s for each farmer, {REPAIR_SHARE} % of it for repair")),
        ("files", format!("{files} in {} chunks; {stored} stored", grouped((*chunks).into()))),
        (
            "redundancy",
            format!("{class}: {} pieces for each chunk{each}; any {} rebuild it", target.place, report.needed()),
        ),
        ("repair", format!("when {} pieces or fewer are left", target.repair_at)),
    ]
}

fn happened(report: &ModelReport) -> Rows {
    let tally = &report.tally;
    let ended = format!("{}, and {} pieces with them", grouped(tally.ends), grouped(tally.lost_pieces));
    let took = format!("{:.1} hours on average, from the loss that called for it", report.repair_days * 24.0);
    let moved = format!(
        "{}: {:.2} times what is stored, each year; {} of what repair may use",
        human_bytes(tally.repair_bytes),
        report.traffic(),
        per_cent(report.budget_used()),
    );
    vec![
        ("farmers ended", ended),
        ("long absences", format!("{}, longer than a day", grouped(tally.absences))),
        ("repairs", format!("{}, {} of them urgent", grouped(tally.repairs), grouped(tally.urgent))),
        ("a repair took", if report.repair_was_seen { took } else { "nothing: none was needed".into() }),
        ("repair moved", moved),
        ("weakest chunk", format!("had {} pieces left; it needs {}", tally.fewest, report.needed())),
        ("chunks lost", grouped(tally.lost_chunks)),
    ]
}

fn meaning(report: &ModelReport) -> Rows {
    let is_counted = report.tally.lost_chunks > 0;
    let how = if is_counted { "lost in the model" } else { "estimated; none was lost in the model" };
    let loss = report.loss_per_chunk_year();
    let mut rows =
        vec![("may vanish", may_vanish(report)), ("loss", format!("{} for each chunk and year ({how})", small(loss)))];
    if is_counted {
        rows.push((
            "formula",
            format!(
                "{} of the chunks within a year, by the estimate, which is on the safe side",
                small(report.estimated_loss)
            ),
        ));
    }
    let shared = report.target.per_farmer * report.options.nodes as usize <= report.target.place;
    rows.push(("1 TB of files", if shared { all_at_once(loss) } else { in_words(loss) }));
    rows.push(("not counted", "disasters that end many farmers at once, and farmers that lie".into()));
    rows
}

fn may_vanish(report: &ModelReport) -> String {
    let (file, data) = (report.file_may_vanish(), report.may_vanish);
    let data = if data > file { format!(" (data alone: any {data})") } else { String::new() };
    format!("any {file} farmers at once, right after a put, and the file can be read{data}")
}

/// What a loss for each chunk and year means for [`EXAMPLE_BYTES`] of files.
fn in_words(loss: f64) -> String {
    let chunk = f64::from(u32::try_from(CHUNK_MAX_BYTES).unwrap_or(u32::MAX));
    let a_year = loss * EXAMPLE_BYTES / chunk;
    if a_year >= 1.0 {
        format!("loses about {} chunks a year", rounded(a_year))
    } else {
        format!("loses a chunk once in about {} years", rounded(1.0 / a_year))
    }
}

/// The same where every farmer holds pieces of every chunk, so that what ends one ends all.
fn all_at_once(loss: f64) -> String {
    format!("once in about {} years all are lost at once: every farmer holds some of each", rounded(1.0 / loss))
}

/// `0.02`, `1e-16`.
fn small(loss: f64) -> String {
    if loss < 0.01 { format!("{loss:.0e}") } else { format!("{loss:.2}") }
}

/// Two digits, in words that can be read: `340`, `12,000`, `4e11`.
fn rounded(number: f64) -> String {
    if number >= 1e7 {
        return format!("{number:.0e}");
    }
    let scale = 10f64.powf(number.max(1.0).log10().floor() - 1.0);
    let digits =
        if number < 10.0 { format!("{number:.1}") } else { format!("{:.0}", (number / scale).round() * scale) };
    if number < 10.0 { digits } else { with_commas(&digits) }
}

fn per_cent(part: f64) -> String {
    match part * 100.0 {
        small if small < 0.1 => "under 0.1 %".into(),
        per_cent => format!("{per_cent:.1} %"),
    }
}

fn span(years: f64) -> String {
    if years.to_bits() == 1f64.to_bits() { "1 year".into() } else { format!("{years} years") }
}

/// `1,234,567`.
fn grouped(number: u64) -> String {
    with_commas(&number.to_string())
}

fn with_commas(digits: &str) -> String {
    let comma_before = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    digits
        .chars()
        .enumerate()
        .flat_map(|(at, digit)| comma_before(at).then_some(',').into_iter().chain([digit]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        let read = [0, 7, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(read, ["0", "7", "999", "1,000", "1,234,567"]);
        let read = [2.34, 17.2, 344.0, 12_345.0, 4.2e11].map(rounded);
        assert_eq!(read, ["2.3", "17", "340", "12,000", "4e11"]);
        assert_eq!([per_cent(0.000_01), per_cent(0.123)], ["under 0.1 %", "12.3 %"]);
    }

    #[test]
    fn a_loss_in_words() {
        assert_eq!(in_words(1e-3), "loses about 60 chunks a year");
        assert_eq!(in_words(1e-8), "loses a chunk once in about 1,700 years");
    }
}
