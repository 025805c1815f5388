//! `dsn stat`: how a file fares, by asking its holders now.

use dsn_cli::{Exit, Failure, human_bytes, print_json, print_line};
use dsn_client::StatReport;
use dsn_core::repair::Health;
use serde::Serialize;

use crate::{args::Stat, context::Context, failures, interrupt::Interrupts, session::Session, target::Root};

#[derive(Serialize)]
struct StatJson {
    cid: String,
    bytes: u64,
    chunks: u64,
    k: usize,
    placed: usize,
    live_min: usize,
    live_max: usize,
    farmers: usize,
    may_vanish: usize,
    health: &'static str,
    loss_per_year: f64,
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Repairing => "repairing",
        Health::Urgent => "urgent",
        Health::Unavailable => "unavailable",
    }
}

pub(crate) async fn run(context: &Context, args: &Stat) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let root = Root::parse(&args.cid)?;
    let session = Session::open(context).await?;
    let stat = async {
        let cid = root.resolve(&session.client).await?;
        session.client.stat(cid).await.map_err(|error| failures::stat(&error))
    };
    let done = interrupts.or(stat, "nothing was changed").await;
    session.close(context).await;
    let report = done?;
    tell(context, &report);
    if report.health == Health::Unavailable {
        return Err(Failure::new(Exit::NotEnough, "the file cannot be read now: a chunk has too few pieces left")
            .hint("try again when more farmers are back"));
    }
    Ok(())
}

fn tell(context: &Context, report: &StatReport) {
    let health = word(report.health);
    if context.json {
        return print_json(&StatJson {
            cid: report.cid.to_string(),
            bytes: report.bytes,
            chunks: report.chunks,
            k: report.k,
            placed: report.placed,
            live_min: report.live_min,
            live_max: report.live_max,
            farmers: report.farmers,
            may_vanish: report.may_vanish,
            health,
            loss_per_year: report.loss_per_year,
        });
    }
    let rows = [
        ("cid", report.cid.to_string()),
        ("size", format!("{} ({} bytes)", human_bytes(report.bytes), report.bytes)),
        ("chunks", report.chunks.to_string()),
        ("weakest chunk", format!("{} of {} pieces live, {} needed", report.live_min, report.placed, report.k)),
        ("farmers", report.farmers.to_string()),
        ("may vanish", format!("any {}", report.may_vanish)),
        ("health", health.to_owned()),
        ("loss a year", format!("{:.0e}, for farmers that live a year and repair within a day", report.loss_per_year)),
    ];
    rows.iter().for_each(|(name, value)| print_line(&format!("{name:<14} {value}")));
}
