//! `dsn rm`: gives up this folder's lease of a file. Whoever else has a lease of it keeps it; what nobody wants goes to the
//! farmers' trash and is deleted when its time there is over.

use dsn_cli::{Exit, Failure, note, print_json};
use dsn_client::{Keep, LeaseReport};
use serde_json::json;

use crate::{
    args::Rm, context::Context, failures, interrupt::Interrupts, owned::Owned, pushed::Pushed, session::Session,
    target::parse_cid,
};

pub(crate) async fn run(context: &Context, args: &Rm) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let cid = parse_cid(&args.cid)?;
    // First of all: a farmer in this folder must not renew what is being given up.
    Owned::forget(&context.folder, cid)?;
    Pushed::forget(&context.folder, cid)?;
    let session = Session::open(context).await?;
    let told = async { session.client.keep_file(cid, Keep::NoLonger).await.map_err(|error| failures::get(&error)) };
    let done = interrupts.or(told, "farmers that were told have given it up; run it again for the others").await;
    session.close(context).await;
    let LeaseReport { farmers, confirmed, chunks, unlocated } = done?;
    if confirmed == 0 {
        return Err(Failure::new(Exit::Key, format!("none of the {farmers} holders knows a lease of this owner"))
            .hint("only the folder (owner.key) that put a file can give it up"));
    }
    if context.json {
        print_json(&json!({"cid": cid.to_string(), "farmers": farmers, "released": confirmed, "chunks": chunks,
            "chunks_without_holders": unlocated}));
    } else {
        note(&format!("given up on {confirmed} of {farmers} farmers; deleted there when their trash is emptied"));
        if confirmed < farmers {
            note("the others did not answer; run it again when they are back");
        }
        if unlocated > 0 {
            note(&format!("nobody knows now who holds {unlocated} of the {chunks} chunks; run it again later"));
        }
    }
    Ok(())
}
