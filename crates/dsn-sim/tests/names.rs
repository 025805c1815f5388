//! Names on virtual time: what custodians that fail, forget or lie do to them, two writers who do not know of each other,
//! ends and renewals, and new custodians.

use std::time::Duration;

use dsn_client::{
    Client, ClientOptions, NameError, NameVersion, OtherWriters, PublishName, PublishedName, ResolvedName,
};
use dsn_core::{
    cid::Cid,
    hash::{ChunkId, Hash},
    identity::Identity,
    limits::{NAME_KEPT_SECS, NAME_TTL_MAX_SECS},
    name::Name,
    node_id::NodeId,
};
use dsn_sim::{Fault, Lie, Link, World, run};
use futures::future::join;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn key() -> Identity {
    Identity::from_seed([77; 32])
}

fn root(number: u8) -> Cid {
    Cid(ChunkId(Hash([number; 32])))
}

fn world(seed: u64, farmers: usize) -> (World, Client) {
    let world = World::new(seed, farmers, 1 << 32, Link::default());
    let client = world.client(ClientOptions::default());
    (world, client)
}

fn says(number: u8, last_seen: u64) -> PublishName {
    PublishName { root: root(number), ttl: 30 * DAY, last_seen, others: OtherWriters::Respect }
}

async fn publish(client: &Client, number: u8, last_seen: u64) -> PublishedName {
    client.publish_name(&key(), says(number, last_seen)).await.expect("published")
}

async fn resolve(client: &Client) -> ResolvedName {
    client.resolve_name(Name::of(&key())).await.expect("somebody answers")
}

/// What the name stands for by a client that has not met the network before: its number and root.
async fn current(world: &World) -> Result<(u64, Cid), NameError> {
    let client = world.client(ClientOptions::default());
    let resolved = client.resolve_name(Name::of(&key())).await?;
    resolved.current(Name::of(&key())).map(|body| (body.sequence, body.root))
}

fn some(world: &World, count: usize) -> Vec<NodeId> {
    world.farmers().into_iter().take(count).collect()
}

#[test]
fn a_name_stands_for_what_was_published_last() {
    run(async {
        let (world, client) = world(1, 12);
        assert!(matches!(current(&world).await, Err(NameError::Unknown { answered: 12, custodians: 12, .. })));
        let first = publish(&client, 1, 0).await;
        assert_eq!((first.body.sequence, first.confirmed, first.custodians), (1, 12, 12));
        assert_eq!(current(&world).await.expect("known"), (1, root(1)));
        assert_eq!(publish(&client, 2, 1).await.body.sequence, 2);
        assert_eq!(current(&world).await.expect("known"), (2, root(2)));
        let resolved = resolve(&client).await;
        assert_eq!((resolved.answered, resolved.custodians, resolved.repaired), (12, 12, 0));
    });
}

#[test]
fn custodians_that_were_away_are_told_by_whoever_asks() {
    run(async {
        let (mut world, client) = world(2, 12);
        publish(&client, 1, 0).await;
        let away = some(&world, 8);
        away.iter().for_each(|node| world.crash(*node));
        publish(&client, 2, 1).await;
        away.iter().for_each(|node| world.restart(*node));
        tokio::time::sleep(HOUR).await;
        let resolved = resolve(&world.client(ClientOptions::default())).await;
        assert_eq!((resolved.known.sequence(), resolved.repaired), (2, 8));
        let others: Vec<NodeId> = world.farmers().into_iter().filter(|node| !away.contains(node)).collect();
        others.iter().for_each(|node| world.crash(*node));
        assert_eq!(current(&world).await.expect("the eight know it now"), (2, root(2)));
    });
}

#[test]
fn a_record_survives_a_restart_of_everybody() {
    run(async {
        let (mut world, client) = world(3, 5);
        publish(&client, 1, 0).await;
        for node in world.farmers() {
            world.crash(node);
            world.restart(node);
        }
        assert_eq!(current(&world).await.expect("durable"), (1, root(1)));
    });
}

#[test]
fn one_honest_custodian_outvotes_those_that_tell_an_old_record() {
    run(async {
        let (mut world, client) = world(4, 12);
        publish(&client, 1, 0).await;
        resolve(&client).await;
        publish(&client, 2, 1).await;
        some(&world, 11).into_iter().for_each(|node| world.lie(node, Some(Lie::StaleNames)));
        assert_eq!(current(&world).await.expect("known"), (2, root(2)));
        assert!(world.faults().of(Fault::Lied(Lie::StaleNames)) >= 11);
    });
}

#[test]
fn a_record_that_the_names_key_has_not_signed_counts_for_nothing() {
    run(async {
        let (mut world, client) = world(5, 12);
        publish(&client, 1, 0).await;
        some(&world, 11).into_iter().for_each(|node| world.lie(node, Some(Lie::ForgesNames)));
        assert_eq!(current(&world).await.expect("known"), (1, root(1)));
        assert!(world.faults().of(Fault::Lied(Lie::ForgesNames)) >= 11);
    });
}

#[test]
fn another_writer_is_noticed_and_overruled_only_on_request() {
    run(async {
        let (world, client) = world(6, 12);
        publish(&client, 1, 0).await;
        let unaware = client.publish_name(&key(), says(2, 0)).await.expect_err("number 1 was not seen");
        let NameError::OtherWriter { theirs, last_seen, wanted, .. } = &unaware else { panic!("{unaware}") };
        assert_eq!((*theirs, *last_seen, *wanted), (NameVersion { sequence: 1, root: root(1) }, 0, root(2)));
        assert!(
            unaware.to_string().contains(&root(1).to_string()) && unaware.to_string().contains(&root(2).to_string())
        );
        assert_eq!(current(&world).await.expect("as it was"), (1, root(1)));
        let force = PublishName { others: OtherWriters::Overrule, ..says(2, 0) };
        assert_eq!(client.publish_name(&key(), force).await.expect("published").body.sequence, 2);
        assert_eq!(current(&world).await.expect("known"), (2, root(2)));
    });
}

#[test]
fn two_writers_at_one_instant_are_a_conflict_that_shows_both() {
    run(async {
        let (world, client) = world(7, 12);
        publish(&client, 1, 0).await;
        let (key, other) = (key(), world.client(ClientOptions::default()));
        let (one, two) = join(client.publish_name(&key, says(2, 1)), other.publish_name(&key, says(3, 1))).await;
        for done in [one, two] {
            assert!(matches!(done, Err(NameError::Conflict { sequence: 2, .. })), "{done:?}");
        }
        let conflict = current(&world).await.expect_err("two roots");
        let NameError::Conflict { sequence: 2, one, other: two, .. } = conflict else { panic!("{conflict}") };
        assert_eq!([one, two], [root(2), root(3)]);
        let again = client.publish_name(&key, says(4, 2)).await;
        assert!(matches!(again, Err(NameError::Conflict { .. })), "{again:?}");
        let force = PublishName { others: OtherWriters::Overrule, ..says(4, 2) };
        client.publish_name(&key, force).await.expect("published");
        assert_eq!(current(&world).await.expect("settled"), (3, root(4)));
    });
}

#[test]
fn an_ended_record_stands_for_nothing_and_lets_no_older_one_back() {
    run(async {
        let (mut world, client) = world(8, 12);
        publish(&client, 1, 0).await;
        resolve(&client).await;
        let short = PublishName { ttl: HOUR, ..says(2, 1) };
        client.publish_name(&key(), short).await.expect("published");
        tokio::time::sleep(HOUR + Duration::from_secs(1)).await;
        some(&world, 11).into_iter().for_each(|node| world.lie(node, Some(Lie::StaleNames)));
        let ended = current(&world).await.expect_err("ended, though number 1 would hold for a month");
        assert!(matches!(ended, NameError::Ended { sequence: 2, .. }), "{ended}");
        assert!(world.faults().of(Fault::Lied(Lie::StaleNames)) >= 11);
    });
}

#[test]
fn custodians_forget_what_ended_long_ago() {
    run(async {
        let (world, client) = world(9, 5);
        publish(&client, 1, 0).await;
        tokio::time::sleep(30 * DAY + Duration::from_secs(NAME_KEPT_SECS) - DAY).await;
        assert!(matches!(current(&world).await, Err(NameError::Ended { sequence: 1, .. })));
        tokio::time::sleep(2 * DAY).await;
        assert!(matches!(current(&world).await, Err(NameError::Unknown { .. })));
    });
}

#[test]
fn renewing_puts_the_end_off_and_brings_back_what_was_forgotten() {
    run(async {
        let (mut world, client) = world(10, 5);
        publish(&client, 1, 0).await;
        let version = NameVersion { sequence: 1, root: root(1) };
        tokio::time::sleep(20 * DAY).await;
        let renewed = client.renew_name(&key(), version, 30 * DAY).await.expect("renewed");
        assert_eq!(renewed.body.sequence, 1, "renewing takes no number");
        tokio::time::sleep(20 * DAY).await;
        assert_eq!(current(&world).await.expect("holds on the fortieth day"), (1, root(1)));
        world.farmers().into_iter().for_each(|node| world.wipe(node));
        assert!(matches!(current(&world).await, Err(NameError::Unknown { .. })));
        client.renew_name(&key(), version, 30 * DAY).await.expect("renewed");
        assert_eq!(current(&world).await.expect("known again"), (1, root(1)));
        let long = client.renew_name(&key(), version, 1000 * DAY).await.expect("renewed");
        assert_eq!(long.body.until - long.body.issued, NAME_TTL_MAX_SECS, "no record holds for longer");
    });
}

#[test]
fn who_was_overtaken_does_not_renew() {
    run(async {
        let (world, client) = world(11, 5);
        publish(&client, 1, 0).await;
        publish(&client, 2, 1).await;
        let old = NameVersion { sequence: 1, root: root(1) };
        let renewed = client.renew_name(&key(), old, 30 * DAY).await;
        assert!(matches!(renewed, Err(NameError::OtherWriter { .. })), "{renewed:?}");
        assert_eq!(current(&world).await.expect("as it was"), (2, root(2)));
    });
}

#[test]
fn a_record_that_too_few_keep_is_an_error_with_the_numbers() {
    run(async {
        let (mut world, client) = world(12, 12);
        let broken = some(&world, 10);
        broken.iter().for_each(|node| world.break_names(*node));
        let done = client.publish_name(&key(), says(1, 0)).await;
        assert!(matches!(done, Err(NameError::NotKept { confirmed: 2, custodians: 12, needed: 3 })), "{done:?}");
        assert!(world.faults().of(Fault::WriteError) > 0);
    });
}

/// The attempt that failed has left its record at two custodians: no other writer, as long as it says the same.
#[test]
fn a_publication_that_failed_half_way_is_run_again_without_overruling_anybody() {
    run(async {
        let (mut world, client) = world(14, 12);
        publish(&client, 1, 0).await;
        let broken = some(&world, 10);
        broken.iter().for_each(|node| world.break_names(*node));
        let done = client.publish_name(&key(), says(2, 1)).await;
        assert!(matches!(done, Err(NameError::NotKept { confirmed: 2, .. })), "{done:?}");
        broken.iter().for_each(|node| world.mend(*node));
        let other = client.publish_name(&key(), says(3, 1)).await;
        assert!(matches!(other, Err(NameError::OtherWriter { .. })), "what says something else: {other:?}");
        assert_eq!(publish(&client, 2, 1).await.body.sequence, 3, "a higher number than the one that was left");
        assert_eq!(current(&world).await.expect("known"), (3, root(2)));
    });
}

#[test]
fn new_custodians_are_told_by_those_that_go() {
    run(async {
        let (mut world, client) = world(13, 6);
        publish(&client, 1, 0).await;
        let old = world.farmers();
        tokio::time::sleep(2 * HOUR).await;
        for _ in 0..6 {
            world.add_farmer(1 << 32);
        }
        tokio::time::sleep(3 * HOUR).await;
        old.into_iter().for_each(|node| world.crash(node));
        tokio::time::sleep(HOUR).await;
        assert_eq!(current(&world).await.expect("the newcomers know it"), (1, root(1)));
    });
}
