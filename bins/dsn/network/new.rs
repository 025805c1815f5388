//! `dsn network new`: makes a closed network. The key that makes members is in this folder and nowhere else.

use dsn_cli::{Exit, Failure, note, print_json, print_line};
use dsn_core::{
    identity::Identity,
    membership::{certificate::CertificateBody, closed_network, invitation::Invitation},
};
use serde_json::json;

use crate::{
    args::New,
    context::Context,
    join,
    membership::{FOUNDER_KEY, MEMBERSHIP_FILE},
    runtime::{fill_random, unix_secs},
};

/// What the founder's own membership is called.
pub(super) const FOUNDER_LABEL: &str = "founder";

pub(super) fn run(context: &Context, args: &New) -> Result<(), Failure> {
    context.not_joined("which it cannot leave")?;
    join::check_unused(context)?;
    let bad = |error: dsn_core::network_name::NetworkNameError| {
        Failure::of(Exit::Usage, &error).hint("at most 37 characters, such as: dsn network new family")
    };
    // Looked at before the first key is made.
    closed_network(Identity::from_seed([0; 32]).node_id(), &args.name).map_err(bad)?;
    let founder = context.folder.key(FOUNDER_KEY)?;
    let network = closed_network(founder.node_id(), &args.name).map_err(bad)?;
    let mut seed = [0; 32];
    fill_random(&mut seed);
    let member = Identity::from_seed(seed);
    let certificate = CertificateBody {
        network: network.clone(),
        founder: founder.node_id(),
        member: member.node_id(),
        label: FOUNDER_LABEL.into(),
        issued: unix_secs(),
        until: None,
        quota: None,
    };
    let own = Invitation::new(member, certificate.sign(&founder), []).expect("it was signed for this key");
    join::keep(context, &own)?;
    if context.json {
        print_json(&json!({"network": network.to_string(), "founder": founder.node_id().to_string()}));
        return Ok(());
    }
    print_line(network.as_str());
    let (key, membership) = (context.folder.path(FOUNDER_KEY), context.folder.path(MEMBERSHIP_FILE));
    note(&format!("{} makes members: keep a copy of it and of {} safe.", key.display(), membership.display()));
    note("Next: `dsn farm --storage 100GiB`, then in another terminal `dsn network invite --name LABEL`");
    Ok(())
}
