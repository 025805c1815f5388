//! A crowd of strangers that asks one farmer for more than it can remember, of every kind of request that leaves something
//! behind. What it wants to find is a list without a bound.

use std::sync::Arc;

use dsn_core::{
    cid::Cid,
    descriptor::{Code, Descriptor},
    greeting::{GreetingBody, RunId},
    hash::{ChunkId, Hash},
    identity::Identity,
    index_set::IndexSet,
    limits::{IDS_MAX_PER_REQUEST, OFFER_MAX_CHUNKS},
    name::{Name, NameBody, NameRecord},
    node_id::NodeId,
    ports::Network,
    record::{RecordBody, Role},
    redundancy::Class,
    rpc::{Offer, OfferedChunk, OwnerProof, PutId, Request},
};

use crate::{net::SimPort, world::World};

/// Strangers that greet, register and bring a name each: more than a farmer keeps.
const CROWD: u64 = 4200;

/// Chunks that one stranger wants to repair: more than a farmer remembers.
const INTENTS: u64 = 17_000;

/// Chunks that it offers: more than it gets leaves for.
const OFFERED: u64 = 4400;

/// Asks for all of it, and counts neither answers nor refusals.
pub(crate) async fn flood(world: &World, victim: NodeId) {
    for number in 0..CROWD {
        let (stranger, port) = stranger(world, number);
        let (network, node) = (world.name().clone(), stranger.node_id());
        let (addresses, domain) = (Vec::new(), String::new());
        let record = RecordBody {
            network: network.clone(),
            node,
            addresses: addresses.clone(),
            space_class: 1,
            domain,
            role: Role::Farmer,
            seq: 1,
        };
        let _whatever = port.request(victim, Request::Register(record.sign(&stranger))).await;
        let run = RunId([1; 16]);
        let greeting = GreetingBody { network, node, run, started: 1, addresses, heard: Vec::new() };
        let _whatever = port.request(victim, Request::PublishNames(vec![name(world, &stranger)])).await;
        let greeting = greeting.sign(&stranger).as_signed().clone();
        let _whatever = port.request(victim, Request::Greet(greeting)).await;
    }
    let (stranger, port) = stranger(world, 0);
    let chunks: Vec<ChunkId> = (0..INTENTS).map(|nth| small(nth).id()).collect();
    for chunks in chunks.chunks(IDS_MAX_PER_REQUEST) {
        let _whatever = port.request(victim, Request::Intend(chunks.to_vec())).await;
    }
    let descriptors: Vec<Descriptor> = (0..OFFERED).map(small).collect();
    for descriptors in descriptors.chunks(OFFER_MAX_CHUNKS) {
        let put_id = PutId([7; 16]);
        let owner = OwnerProof::sign(&stranger, put_id, stranger.node_id());
        let offered =
            |descriptor: &Descriptor| OfferedChunk { descriptor: descriptor.clone(), indices: IndexSet::one(0) };
        let chunks = descriptors.iter().map(offered).collect();
        let _whatever =
            port.request(victim, Request::Offer(Offer { put_id, owner, class: Class::Normal, chunks })).await;
    }
}

fn stranger(world: &World, number: u64) -> (Identity, Arc<SimPort>) {
    let Hash(seed) = Hash::of(&[&b"stranger"[..], &number.to_le_bytes()].concat());
    let identity = Identity::from_seed(seed);
    let port = world.join_as(&identity);
    (identity, port)
}

/// A record of a name that it throws away. It has ended: that it was brought counts all the same.
fn name(world: &World, key: &Identity) -> NameRecord {
    let (network, name, root) = (world.name().clone(), Name::of(key), Cid(small(0).id()));
    NameBody { network, name, sequence: 1, root, issued: 1, until: 2 }.sign(key).into_signed()
}

/// A chunk of its own that takes next to no room.
fn small(nth: u64) -> Descriptor {
    Descriptor::new(Code::Rep, 8, &[Hash::of(&nth.to_le_bytes())])
}
