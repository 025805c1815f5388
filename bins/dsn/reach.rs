//! How others reach a farmer, as it crosses its socket, as `--json` shows it and in words.

use dsn_net::{Reach, Reachability};
use serde::{Deserialize, Serialize};

/// How others reach a farmer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReachJson {
    /// `local`, `public`, `unknown`, `relayed`, `unreachable`.
    pub(crate) kind: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) relays: Vec<String>,
    pub(crate) hole_punched: usize,
}

impl From<&Reach> for ReachJson {
    fn from(reach: &Reach) -> Self {
        let kind = match reach.reachability {
            Reachability::Local => "local",
            Reachability::Public => "public",
            Reachability::Unknown => "unknown",
            Reachability::Relayed => "relayed",
            Reachability::Unreachable => "unreachable",
        };
        Self {
            kind: kind.to_owned(),
            addresses: reach.addresses.clone(),
            relays: reach.relays.iter().map(ToString::to_string).collect(),
            hole_punched: reach.punched,
        }
    }
}

impl ReachJson {
    /// In a few words.
    pub(crate) fn shown(&self) -> String {
        let punched = match self.hole_punched {
            0 => String::new(),
            count => format!("; {count} direct connections by hole punching"),
        };
        match self.kind.as_str() {
            "local" => "on this machine and its LAN; nobody from outside was met".to_owned(),
            "public" => "from everywhere".to_owned(),
            "unknown" => "not known yet; others are asked to dial this farmer".to_owned(),
            "relayed" => format!("behind a gateway, by relay {}{punched}", self.relays.join(" and ")),
            "unreachable" => "behind a gateway, and no relay was found; run dsn doctor".to_owned(),
            _ => "not told by a farmer of this version".to_owned(),
        }
    }

    /// What its operator can do; none when all is well.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self.kind.as_str() {
            "relayed" => Some(
                "it works, over somebody else's line where no hole can be punched: forward a port on the gateway to this \
                 machine, start the farmer with --listen /ip4/0.0.0.0/tcp/PORT, and name the outside with --external",
            ),
            "unreachable" => Some(
                "others cannot store or fetch anything here: forward a port on the gateway and name it with --external, or \
                 have one member of the network run a farmer with a public address, which relays for the others",
            ),
            "unknown" => Some("give it a quarter of a minute"),
            _ => None,
        }
    }
}
