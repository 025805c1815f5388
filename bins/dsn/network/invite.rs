//! `dsn network invite`: makes a member's key and certificate, and prints them with the network's addresses as one text.

use dsn_cli::{Exit, Failure, human_bytes, human_span, note, parse_size, parse_span, print_json, print_line};
use dsn_core::{
    identity::Identity,
    limits::RECORD_MAX_ADDRESSES,
    membership::{
        certificate::{CertificateBody, is_label},
        invitation::Invitation,
    },
};
use dsn_net::{Scope, address_to_bytes};
use serde_json::json;

use super::{Invited, founded, invited::Guest};
use crate::{
    args::Invite,
    context::Context,
    failures,
    runtime::{fill_random, unix_secs},
    session,
};

pub(super) fn run(context: &Context, args: &Invite) -> Result<(), Failure> {
    let (joined, founder) = founded(context)?;
    let span = args.expires.as_deref().map(parse_span).transpose();
    let span = span.map_err(|error| Failure::of(Exit::Usage, &error).named("--expires"))?;
    let quota = args.quota.as_deref().map(parse_size).transpose();
    let quota = quota.map_err(|error| Failure::of(Exit::Usage, &error).named("--quota"))?;
    if quota == Some(0) {
        return Err(Failure::new(Exit::Usage, "--quota: a member who may store nothing can put nothing"));
    }
    let label = match &args.name {
        Some(label) => label.clone(),
        None => format!("member-{}", Invited::load(&context.folder)?.iter().count() + 1),
    };
    if !is_label(&label) {
        return Err(Failure::new(Exit::Usage, format!("--name: {label:?} is not 1 to 64 bytes of visible text")));
    }
    let addresses = addresses(context)?;
    let mut seed = [0; 32];
    fill_random(&mut seed);
    let member = Identity::from_seed(seed);
    let certificate = CertificateBody {
        network: joined.network().clone(),
        founder: founder.node_id(),
        member: member.node_id(),
        label,
        issued: unix_secs(),
        until: span.map(|span| unix_secs().saturating_add(span.as_secs())),
        quota,
    };
    // First: an invitation that nobody remembers could not be taken back.
    Invited::add(&context.folder, Guest::from(&certificate))?;
    let bytes = addresses.iter().map(|address| address_to_bytes(address)).collect::<Result<Vec<_>, _>>();
    let bytes = bytes.map_err(|error| failures::net(&error))?;
    let signed = certificate.clone().sign(&founder);
    let text = Invitation::new(member, signed, bytes).expect("it was signed for this key").to_text();
    if context.json {
        let member = certificate.member.to_string();
        print_json(&json!({"invitation": text, "member": member, "label": certificate.label,
            "until": certificate.until, "quota": quota, "addresses": addresses}));
        return Ok(());
    }
    print_line(&text);
    let ends = span.map_or_else(|| "without end".to_owned(), |span| format!("for {}", human_span(span)));
    note(&format!("{:?} becomes a member {ends} with `dsn join INVITATION`.", certificate.label));
    if let Some(quota) = quota {
        note(&format!("Each farmer keeps {} of this member's pieces at most.", human_bytes(quota)));
    }
    note("This text is a secret: whoever has it is that member. `dsn network revoke` takes it back.");
    Ok(())
}

/// Where the network is found: as set, else where the farmer of this folder listens.
fn addresses(context: &Context) -> Result<Vec<String>, Failure> {
    let mut addresses = session::bootstrap(context);
    if addresses.is_empty() {
        return Err(Failure::new(Exit::Network, "an invitation needs an address: no farmer runs in this folder")
            .hint("start one with `dsn farm --storage 100GiB`, or name nodes of the network with --bootstrap ADDR"));
    }
    // What is no address is an error of whoever encodes it.
    let scope = |address: &String| Scope::of(address).unwrap_or(Scope::World);
    addresses.sort_by_key(scope);
    let best = addresses.first().map_or(Scope::Machine, scope);
    match best {
        Scope::World => {}
        Scope::Lan => note("warning: these addresses are of a local network; only who is in it can join"),
        Scope::Machine => note("warning: these addresses are of this machine; nobody else can join by them"),
    }
    // Who can use a better one has no use for this machine's own.
    addresses.retain(|address| best == Scope::Machine || scope(address) != Scope::Machine);
    addresses.truncate(RECORD_MAX_ADDRESSES);
    Ok(addresses)
}
