//! Announcements go round by gossipsub: each node hands on what it has found good to a few others, and remembers what it has
//! heard lately. Messages are not signed by gossipsub: what they carry is, by whom it is about, and a signature that
//! anybody can make would only cost us the check. Not here: what is good (`driver/announcements`).

mod quiet;

use std::{collections::HashSet, time::Duration};

use dsn_core::{limits::ANNOUNCEMENT_MAX_BYTES, network_name::NetworkName};
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, IdentTopic, IdentityTransform, Message, MessageAuthenticity, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter,
};

pub(crate) use self::quiet::Quiet;

/// Gossipsub as it is, with the one topic.
type Mesh = Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// Between two looks at who is in the mesh: announcements are rare, and newcomers are taken in without it.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Nodes that each hands announcements on to, with connections that stay open for it; of three, both others.
const MESH: usize = 6;
const MESH_MIN: usize = 4;
const MESH_MAX: usize = 8;
/// An announcement heard twice within this time is heard once.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Bytes around an announcement in gossipsub's own message.
const WRAPPING_MAX_BYTES: usize = 256;
/// Announcements and other messages that wait to be sent to one node.
const QUEUE_MAX: usize = 64;
/// Messages in one frame.
const FRAME_MAX: usize = 32;
/// What a node loses, squared, for each announcement that is not what it should be.
const PENALTY: f64 = -10.0;
/// What is left of it a second later: half after some two minutes.
const FORGIVING: f64 = 0.995;
/// Two such announcements, and nothing of the node is looked at any more until some of it is forgiven.
const SHUNNED_AT: f64 = -39.0;

/// The only topic there is.
pub(crate) fn topic() -> IdentTopic {
    IdentTopic::new("announcements")
}

/// The protocol of one network.
pub(super) fn gossip(network: &NetworkName) -> Quiet {
    let config = ConfigBuilder::default()
        .protocol_id_prefix(format!("/dsn/{network}/gossip"))
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message: &Message| MessageId::new(blake3::hash(&message.data).as_bytes()))
        .heartbeat_interval(HEARTBEAT)
        .mesh_n(MESH)
        .mesh_n_low(MESH_MIN)
        .mesh_n_high(MESH_MAX)
        .duplicate_cache_time(REMEMBERED)
        .max_transmit_size(ANNOUNCEMENT_MAX_BYTES + WRAPPING_MAX_BYTES)
        .max_publish_messages(FRAME_MAX)
        .max_control_messages_sent(FRAME_MAX)
        .connection_handler_queue_len(QUEUE_MAX)
        .build()
        .expect("the settings fit together");
    let only = WhitelistSubscriptionFilter(HashSet::from([topic().hash()]));
    let mut gossip = Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, only)
        .expect("anonymous messages and their validation go together");
    gossip.with_peer_score(scores(), thresholds()).expect("the parameters are within their bounds");
    gossip.subscribe(&topic()).expect("the filter lets it");
    Quiet(gossip)
}

/// Only what a node has sent counts: many nodes may share an address, and announcements are too rare for
/// anybody to be blamed for bringing few.
fn scores() -> PeerScoreParams {
    let topic_params = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: PENALTY,
        invalid_message_deliveries_decay: FORGIVING,
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: [(topic().hash(), topic_params)].into(),
        ip_colocation_factor_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: SHUNNED_AT / 4.0,
        publish_threshold: SHUNNED_AT / 2.0,
        graylist_threshold: SHUNNED_AT,
        ..PeerScoreThresholds::default()
    }
}
