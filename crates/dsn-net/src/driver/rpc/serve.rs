//! Serving one request: within the budget for answers, the caps of this node's line and the portion of the node that asks.
//! Not here: whether the request is served at all (`driver::rpc`), and what the answer is (the handler).

use std::{sync::Arc, time::Duration};

use dsn_core::{
    limits::BODIES_MAX_BYTES,
    membership::Allowance,
    node_id::NodeId,
    ports::Handler,
    rpc::{
        Refusal, Request, Response,
        frame::{Frame, bodies_len},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{caps::Meters, codec::BUSY_DELAY_MS, manners::Portions, window::permits};

/// Bytes of a locator with all the receipts it may have.
const LOCATOR_MAX_BYTES: usize = 32 * 1024;

/// What a request is served with.
pub(crate) struct Means {
    pub(crate) handler: Arc<dyn Handler>,
    /// Bytes of answers being made or sent.
    pub(crate) answers: Arc<Semaphore>,
    /// How long a request waits for its share of it.
    pub(crate) patience: Duration,
    pub(crate) meters: Arc<Meters>,
    pub(crate) portions: Portions,
}

/// An answer ready to go.
pub(crate) struct Served {
    pub(crate) frame: Frame,
    /// Its share of the budget.
    pub(crate) room: Option<OwnedSemaphorePermit>,
    /// The request was not what it said it was; a late or repeated one is no such thing.
    pub(crate) broke_rule: bool,
}

impl Served {
    fn busy() -> Self {
        let busy = Response::Refused(Refusal::Busy { delay_ms: BUSY_DELAY_MS });
        Self { frame: Frame::from(&busy), room: None, broke_rule: false }
    }
}

impl Means {
    /// Handles one request; an answer that carries pieces waits for its share of the budget first. Dropping the future
    /// gives the request up.
    pub(crate) async fn serve(&self, from: NodeId, allowance: Option<Allowance>, request: Request) -> Served {
        let mut room = None;
        if let Some(bytes) = answer_max_bytes(&request) {
            match timeout(self.patience, Arc::clone(&self.answers).acquire_many_owned(permits(bytes))).await {
                Ok(Ok(granted)) => room = Some(granted),
                Ok(Err(_)) | Err(_) => return Served::busy(),
            }
        }
        if let Request::Store(parts) = &request
            && !self.portions.take(from, bodies_len(parts.iter().map(|part| part.bytes.len())))
        {
            return Served::busy();
        }
        let response = match allowance {
            None => self.handler.handle(from, request).await,
            Some(allowance) => self.handler.handle_within(from, allowance, request).await,
        };
        let broke_rule = matches!(response, Response::Refused(Refusal::Malformed));
        let frame = Frame::from(&response);
        if let Some(room) = &mut room {
            let needed = usize::try_from(permits(frame.len())).unwrap_or(usize::MAX);
            drop(room.split(room.num_permits().saturating_sub(needed)));
        }
        let bytes = frame.bodies_len();
        if !self.portions.take(from, bytes) || !self.meters.up.take(bytes).await {
            return Served::busy();
        }
        Served { frame, room, broke_rule }
    }
}

/// The most that a large answer can have; small ones need no leave.
fn answer_max_bytes(request: &Request) -> Option<usize> {
    match request {
        // A slice is cut from a whole piece in memory, so it needs the room of one.
        Request::Fetch(_) | Request::Slices(_) => Some(BODIES_MAX_BYTES),
        Request::Locate(ids) => Some(ids.len() * LOCATOR_MAX_BYTES),
        _ => None,
    }
}
