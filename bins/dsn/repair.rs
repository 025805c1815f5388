//! `dsn repair`: every chunk of a file back to its target now, for those who do not want to wait for the custodians.

use dsn_cli::{Exit, Failure, human_bytes, print_json, print_line};
use dsn_client::RepairReport;
use serde_json::json;

use crate::{args::Repair, context::Context, failures, interrupt::Interrupts, session::Session, target::Root};

pub(crate) async fn run(context: &Context, args: &Repair) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let root = Root::parse(&args.cid)?;
    context.without_quota("farmers repair them by themselves")?;
    let session = Session::open(context).await?;
    let repairer = context.owner()?;
    let repair = async {
        let cid = root.resolve(&session.client).await?;
        session.client.repair_file(cid, &repairer).await.map_err(|error| failures::repair(&error))
    };
    let done = interrupts.or(repair, "what was placed stays; run it again for the rest").await;
    session.close(context).await;
    let report = done?;
    tell(context, &report);
    check(&report)
}

fn tell(context: &Context, report: &RepairReport) {
    let RepairReport { chunks, ailing, repaired, placed, moved_bytes, lost, unwanted } = *report;
    if context.json {
        return print_json(&json!({"chunks": chunks, "ailing": ailing, "repaired": repaired, "pieces_placed": placed,
            "moved_bytes": moved_bytes, "lost": lost, "unwanted": unwanted}));
    }
    if ailing == 0 {
        return print_line(&format!("all {chunks} chunks have all their pieces"));
    }
    let moved = human_bytes(moved_bytes);
    print_line(&format!("{repaired} of {ailing} chunks repaired: {placed} pieces placed, {moved} moved"));
}

fn check(report: &RepairReport) -> Result<(), Failure> {
    let left = report.ailing - report.repaired;
    match report {
        RepairReport { lost: 1.., .. } => {
            Err(Failure::new(Exit::NotEnough, format!("{} chunks have too few pieces left", report.lost))
                .hint("try again when more farmers are back"))
        }
        RepairReport { unwanted: 1.., .. } => Err(Failure::new(Exit::NotFound, "nobody wants the file kept any more")
            .hint("its lease has ended or was given up; put the file again")),
        _ if left > 0 => Err(Failure::new(Exit::NotEnough, format!("{left} chunks still lack pieces"))
            .hint("start more farmers, or lend more space")),
        _ => Ok(()),
    }
}
