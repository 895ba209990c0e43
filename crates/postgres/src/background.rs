//! What a node does besides answering calls: it tells and hears hints, and looks for floors.

use std::sync::{Arc, Weak};
use std::time::Duration;

use taskwright_store::Result;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;

use crate::connect::Hint;
use crate::limits::rouse;
use crate::store::PostgresStore;
use crate::{floors, gather};

/// Hints that come together are sent together: every commit that notifies waits for the others.
const GATHER: Duration = Duration::from_millis(10);
/// How long a loop rests after an error.
const REST: Duration = Duration::from_secs(1);

/// The channel of the notifications of a schema.
fn channel(schema: &str) -> String {
    format!("taskwright_{schema}")
}

/// Starts the loops of a node, on the runtime of the connections; they end when the store is dropped.
pub(crate) fn start(store: &Arc<PostgresStore>) -> Vec<JoinHandle<()>> {
    let _home = store.link.pool.runtime().enter();
    let mut loops = vec![
        tokio::spawn(tell(Arc::downgrade(store))),
        tokio::spawn(hear(Arc::downgrade(store), channel(&store.schema))),
    ];
    loops.extend(gather::start::<gather::insert::Inserts>(store));
    loops.extend(gather::start::<gather::claim::Claims>(store));
    loops.extend(gather::start::<gather::report::Reports>(store));
    // With the clock of a test, ranks say nothing of the database's transactions.
    if store.clock.shown().is_none() {
        loops.push(tokio::spawn(look(Arc::downgrade(store))));
        loops.push(tokio::spawn(rouse::rousing(Arc::downgrade(store))));
    }
    loops
}

async fn tell(store: Weak<PostgresStore>) {
    loop {
        let Some(hints) = store.upgrade().map(|store| Arc::clone(&store.hints)) else { return };
        hints.sends.notified().await;
        tokio::time::sleep(GATHER).await;
        let Some(store) = store.upgrade() else { return };
        let own = format!("{} ", store.epoch);
        let payloads: Vec<String> =
            hints.take_outgoing().into_iter().map(|payload| own.clone() + &payload).collect();
        if notify(&store, &channel(&store.schema), payloads).await.is_err() {
            // They were hints: whoever waits looks by himself.
            tokio::time::sleep(REST).await;
        }
    }
}

async fn notify(store: &PostgresStore, channel: &str, payloads: Vec<String>) -> Result<()> {
    store
        .link
        .query(
            "select count(pg_notify($1, payload)) from unnest($2::text[]) payload",
            &[(&channel, Type::TEXT), (&payloads, Type::TEXT_ARRAY)],
        )
        .await?;
    Ok(())
}

async fn hear(store: Weak<PostgresStore>, channel: String) {
    let Some(mut listener) = store.upgrade().map(|store| store.link.pool.listen(&channel)) else {
        return;
    };
    while let Some(hint) = listener.next().await {
        let Some(store) = store.upgrade() else { return };
        match hint {
            Hint::Payload(payload) => {
                let (from, hint) = payload.split_once(' ').unwrap_or_default();
                if from == store.epoch.to_string() {
                    store.hints.set_heard(true);
                } else {
                    // Whoever speaks is there; a new node says hello.
                    store.hints.set_peers(true);
                    store.hints.hear(hint);
                }
            }
            Hint::Reconnected => {
                store.hints.set_heard(false);
                store.hints.missed();
                // Whether we hear ourselves tells whether hints arrive at all. If this fails, those
                // who wait go on looking often.
                let _ = notify(&store, &channel, vec![format!("{} hello", store.epoch)]).await;
            }
        }
    }
}

async fn look(store: Weak<PostgresStore>) {
    loop {
        tokio::time::sleep(floors::REFRESH).await;
        let Some(store) = store.upgrade() else { return };
        if store.floors.refresh(&store.link).await.is_err() {
            tokio::time::sleep(REST).await;
        }
    }
}
