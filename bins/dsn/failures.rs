//! Which exit code and which hint an error of the libraries becomes.

use std::{error::Error, io};

use dsn_cli::{Exit, Failure, human_bytes};
use dsn_client::{GetError, NameError, PutError, RepairError, StatError, input::InputError, output::OutputError};
use dsn_core::{hello::HelloError, ports::NetworkError};
use dsn_net::NetError;

use crate::membership;

const NO_NETWORK: &str = "start a network here with `dsn devnet --farmers 3`, lend space with `dsn farm --storage 10GiB`, or join one \
                          with --bootstrap ADDR (or DSN_BOOTSTRAP)";

/// Holders whose answers are told one by one.
const HOLDERS_TOLD: usize = 24;

const NO_ROOM: &str = "farmers lend no more, or no more to one owner: give files up with `dsn rm`, or find more farmers; \
     `dsn status` of a farmer says what keeps it from taking more";
const TOO_LITTLE_LENT: &str = "lend more with `dsn farm --storage SIZE`, or choose --redundancy low; \
     `dsn status` of a farmer says what keeps it from taking more";
const FARES: &str = "try again when more farmers are back; `dsn stat CID` shows how the file fares";
const RESUME: &str = "run the same command again: what is stored is not sent twice";

/// Of being left outside, whatever was being done.
fn left_outside(error: &(dyn Error + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref() {
            Some(NetworkError::NotAdmitted { reason }) => return Some(membership::refused(*reason)),
            Some(met @ NetworkError::Incompatible { reason, .. }) => {
                let failure = Failure::of(Exit::Network, met).named("the network cannot be reached");
                return Some(failure.hint(way_to_meet(reason)));
            }
            _ => {}
        }
        cause = error.source();
    }
    None
}

/// How to find nodes that can be talked to.
fn way_to_meet(reason: &HelloError) -> String {
    match reason {
        HelloError::OtherNetwork { theirs } => {
            format!("name the network with --network {theirs}, or a node of yours with --bootstrap ADDR")
        }
        HelloError::NoCommonVersion { .. } | HelloError::Refused { .. } | HelloError::Broken => {
            "update dsn, or ask that node's operator to".to_owned()
        }
        HelloError::OtherProtocol => "name a node of the network with --bootstrap ADDR".to_owned(),
    }
}

/// Of the network as a whole.
pub(crate) fn network(error: &NetworkError) -> Failure {
    if let Some(failure) = left_outside(error) {
        return failure;
    }
    Failure::of(Exit::Network, error).named("the network cannot be reached").hint(way_in(error))
}

/// How to get to somebody who answers.
fn way_in(error: &NetworkError) -> &'static str {
    match error {
        NetworkError::Denied { .. } => "`dsn firewall list` shows the rules of this folder",
        NetworkError::Refused { .. } | NetworkError::Busy { .. } => {
            "ask an operator to let you in, by your address or your id as a member: `dsn firewall allow WHOM`"
        }
        _ => NO_NETWORK,
    }
}

/// Of starting a node.
pub(crate) fn net(error: &NetError) -> Failure {
    match error {
        NetError::BadAddress { .. } => Failure::of(Exit::Configuration, error),
        NetError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            Failure::of(Exit::Network, error).hint("another program listens there; choose another port, or 0 for any")
        }
        _ => Failure::of(Exit::Network, error),
    }
}

/// Of `dsn put`, by a member of whom each farmer keeps so many bytes.
pub(crate) fn put(error: &PutError, quota: Option<u64>) -> Failure {
    if let Some(failure) = left_outside(error) {
        return failure;
    }
    let of = |exit| Failure::of(exit, error);
    match error {
        PutError::Input(input) => self::input(input),
        PutError::TooLong(_) => of(Exit::Usage),
        PutError::NoFarmers(Some(error)) => of(Exit::Network).hint(way_in(error)),
        PutError::NoFarmers(None) => of(Exit::Network).hint(NO_NETWORK),
        PutError::TooFewFarmers { .. } => of(Exit::NotEnough)
            .hint("start more farmers, or store it all the same with --allow-unsafe: then no machine may fail"),
        PutError::NeedsSpace { needs, offers } => {
            let (needs, offers) = (human_bytes(*needs), human_bytes(*offers));
            Failure::new(Exit::NotEnough, format!("the file needs {needs}, the network offers {offers}"))
                .hint(TOO_LITTLE_LENT)
        }
        PutError::NotEnoughPieces { full: 1.., .. } => of(Exit::NotEnough).hint(match quota {
            Some(quota) => format!(
                "your membership has a quota of {} at each farmer: give files up with `dsn rm`, or ask the founder for more",
                human_bytes(quota)
            ),
            None => NO_ROOM.to_owned(),
        }),
        PutError::NotEnoughPieces { .. } | PutError::TooFewHolders { .. } => of(Exit::NotEnough).hint(RESUME),
        PutError::NotPublished { .. } | PutError::NotCommitted { .. } => of(Exit::NotEnough).hint(RESUME),
        PutError::Stalled { .. } | PutError::Network(_) => of(Exit::Network).hint(RESUME),
    }
}

/// Of reading what is to be put.
pub(crate) fn input(error: &InputError) -> Failure {
    let of = |exit| Failure::of(exit, error);
    match error {
        InputError::Read { .. } => of(Exit::Disk),
        InputError::Sort { .. } => of(Exit::Disk).hint("name a folder on a disk with room with TMPDIR"),
        InputError::Folder { .. } => of(Exit::Usage).hint("it has become a folder: put it again"),
        InputError::SpecialWithin { .. } => of(Exit::Disk).hint("leave them out with --skip-special"),
        InputError::Name { .. } => of(Exit::Disk).hint("give it another name"),
        InputError::Special { .. } => of(Exit::Usage).hint("to store what it gives, pipe it: dsn put - < FILE"),
        InputError::Changed { .. } => of(Exit::Disk).hint("put it again when nothing writes to it"),
    }
}

/// Of `dsn get`.
pub(crate) fn get(error: &GetError) -> Failure {
    let of = |exit| Failure::of(exit, error);
    match error {
        GetError::NotFound { .. } => of(Exit::NotFound)
            .hint("check the CID, and that this is the network (--network, --bootstrap) it was put on"),
        GetError::ChunkNotFound { .. } => of(Exit::NotEnough).hint(FARES),
        GetError::NotEnoughPieces { holders, .. } => {
            let told = holders.iter().take(HOLDERS_TOLD).map(ToString::to_string);
            let more = holders.len().saturating_sub(HOLDERS_TOLD);
            let more = (more > 0).then(|| format!("{more} more holders did not send what they are said to hold"));
            told.chain(more).fold(of(Exit::NotEnough), Failure::because).hint(FARES)
        }
        GetError::Manifest(_) | GetError::TooManyNames { .. } | GetError::Decode(_) | GetError::WrongChunk { .. } => {
            of(Exit::Integrity).hint("whoever put this file made it wrong; nothing was written")
        }
        GetError::BeyondEnd { .. } => of(Exit::Usage),
        GetError::Output(output) => self::output(output),
        GetError::KeyNeeded => of(Exit::Key).hint("a read capability, dsn:r1:…, is needed: whoever put it has it"),
        GetError::WrongKey => of(Exit::Key).hint("the capability is of something else"),
        GetError::Sealed => of(Exit::Integrity).hint("whoever put it sealed it wrong"),
        GetError::NoSuchPath { .. } => of(Exit::NotFound).hint("`dsn ls CID` shows what is in a folder"),
        GetError::Folder => of(Exit::Usage).hint("get it into a folder with -o OUT, or one of its files with CID/PATH"),
        GetError::BadEntry { .. } | GetError::NotAsStated { .. } => {
            of(Exit::Integrity).hint("whoever put this folder made it wrong")
        }
        GetError::Within { error: within, .. } => get(within).named(error.to_string()),
        GetError::Stalled { .. } => of(Exit::NotEnough).hint("try again; what was fetched is kept"),
        GetError::Network(error) => network(error),
    }
}

/// Of writing what was got.
pub(crate) fn output(error: &OutputError) -> Failure {
    let of = |exit| Failure::of(exit, error);
    match error {
        OutputError::Exists { path } if path.is_dir() => {
            of(Exit::Usage).hint("it is a folder: say how the file in it shall be called, with -o FOLDER/NAME")
        }
        OutputError::Exists { .. } => {
            of(Exit::Usage).hint("choose another name with -o OUT, or replace it with --force")
        }
        OutputError::DiskFull { .. } => of(Exit::Disk).hint("free some space, or write elsewhere with -o OUT"),
        OutputError::Closed => of(Exit::Disk),
        OutputError::Write { .. } => of(Exit::Disk).hint("check that the folder exists and may be written"),
    }
}

/// Of names.
pub(crate) fn name(error: &NameError) -> Failure {
    let of = |exit| Failure::of(exit, error);
    match error {
        NameError::Unknown { .. } => of(Exit::NotFound)
            .hint("check the name, and that this is the network (--network, --bootstrap) it was published on"),
        NameError::Ended { .. } => {
            of(Exit::NotFound).hint("whoever has its key has to publish it again, or to run a farmer that renews it")
        }
        NameError::Conflict { .. } | NameError::OtherWriter { .. } => of(Exit::Integrity).hint(
            "look at what the other one says with `dsn get CID`; then publish what is right with `dsn name publish --force`",
        ),
        NameError::NoNumbersLeft { .. } => of(Exit::Usage).hint("make another name with `dsn name new`"),
        NameError::NotKept { .. } => of(Exit::NotEnough).hint("run the same command again when more farmers are back"),
        NameError::NoAnswer { error: Some(error), .. } => of(Exit::Network).hint(way_in(error)),
        NameError::NoAnswer { error: None, .. } => of(Exit::Network).hint(NO_NETWORK),
        NameError::Network(error) => network(error),
    }
}

/// Of `dsn stat`.
pub(crate) fn stat(error: &StatError) -> Failure {
    match error {
        StatError::Get(error) => get(error),
    }
}

/// Of `dsn repair`.
pub(crate) fn repair(error: &RepairError) -> Failure {
    let of = |exit| Failure::of(exit, error);
    match error {
        RepairError::NoLease => of(Exit::NotFound).hint("nobody wants the file kept any more; put it again"),
        RepairError::NoRoom => of(Exit::NotEnough).hint("start more farmers, or lend more space"),
        RepairError::Malformed => of(Exit::Integrity).hint("whoever put this file made it wrong; put it again"),
        RepairError::Get(error) => get(error),
        RepairError::Network(error) => network(error),
    }
}
