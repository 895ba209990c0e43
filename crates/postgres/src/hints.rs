//! Hints: who waits for jobs is woken, who listens is told, here and on other nodes.
//!
//! All of it may be lost; whoever waits also looks by himself.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskwright_core::{Name, WorkerId};
use taskwright_store::{Claim, Event, Events, Nudge, Nudges, Profile, Publisher};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Hints for other nodes that wait to be sent; beyond that they are lost.
const OUTGOING_MAX: usize = 500;

/// What a hint for other nodes says: the first word of its payload.
const READY: &str = "r";
const ROOM: &str = "a";
const NUDGE: &str = "n";
const ENDED: &str = "e";

/// Those who wait for the same jobs, and are woken one by one.
type Group = Arc<Notify>;
/// What they wait for: the tenant, and what their workers serve.
type Wish = (Name, Arc<Profile>);
/// The groups, each with how many wait in it.
type Groups = HashMap<Wish, (Group, usize)>;

#[derive(Default)]
pub(crate) struct Hints {
    /// `None`: the store is closed.
    publisher: Mutex<Option<Publisher>>,
    groups: Mutex<Groups>,
    outgoing: Mutex<BTreeSet<String>>,
    /// Told when there is something to send.
    pub sends: Notify,
    /// Whether other nodes are known: else nothing needs to be sent.
    has_peers: AtomicBool,
    /// Whether this node hears what it says itself.
    hears: AtomicBool,
}

impl Hints {
    pub fn new() -> Arc<Self> {
        Arc::new(Hints { publisher: Mutex::new(Some(Publisher::default())), ..Hints::default() })
    }

    /// Wakes one of each group that these queues concern.
    pub fn ready(&self, queues: Vec<(&Name, &Name)>) {
        for (namespace, queue) in queues {
            self.wake(namespace, queue);
            self.send(|| format!("{READY} {namespace} {queue}"));
        }
    }

    /// Wakes one of each group of a namespace: queues or tasks may have room that had none.
    pub fn ready_all(&self, namespace: &Name) {
        self.wake_all(namespace);
        self.send(|| format!("{ROOM} {namespace}"));
    }

    fn wake_all(&self, namespace: &Name) {
        for ((of, _), (group, _)) in self.groups().iter() {
            if of == namespace {
                group.notify_one();
            }
        }
    }

    fn wake(&self, namespace: &Name, queue: &Name) {
        for ((of, profile), (group, _)) in self.groups().iter() {
            if of == namespace && profile.queues.contains(queue) {
                group.notify_one();
            }
        }
    }

    /// Whether anybody listens to events.
    pub fn is_heard(&self) -> bool {
        self.has_peers.load(Ordering::Relaxed)
            || self.publisher().as_ref().is_some_and(Publisher::is_heard)
    }

    /// Announces changes, and to other nodes the ends among them.
    pub fn publish(&self, events: Vec<Event>) {
        for event in events.iter().filter(|event| event.state.is_final()) {
            self.send(|| {
                let Event { namespace, queue, task, id, state, attempt } = event;
                format!("{ENDED} {namespace} {queue} {task} {id} {state} {attempt}")
            });
        }
        if let Some(publisher) = &*self.publisher() {
            publisher.publish(events);
        }
    }

    /// Asks workers, here and elsewhere, to send a heartbeat.
    pub fn nudge(&self, nudges: Vec<Nudge>) {
        for nudge in &nudges {
            self.send(|| format!("{NUDGE} {} {}", nudge.namespace, nudge.worker));
        }
        if let Some(publisher) = &*self.publisher() {
            publisher.nudge(nudges);
        }
    }

    pub fn subscribe(&self) -> Events {
        let publisher = self.publisher();
        // A stream of a publisher that is just dropped has ended, as that of a closed store.
        publisher.as_ref().map_or_else(|| Publisher::default().subscribe(), Publisher::subscribe)
    }

    pub fn subscribe_to_nudges(&self) -> Nudges {
        self.publisher().as_ref().map_or_else(Nudges::none, Publisher::subscribe_to_nudges)
    }

    /// Ends all streams and wakes all who wait.
    pub fn close(&self) {
        *self.publisher() = None;
        for (group, _) in self.groups().values() {
            group.notify_waiters();
            group.notify_one();
        }
    }

    /// Whether hints of other nodes arrive, as far as is known.
    pub fn are_heard(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    pub fn set_heard(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
    }

    pub fn set_peers(&self, has_peers: bool) {
        self.has_peers.store(has_peers, Ordering::Relaxed);
    }

    fn send(&self, payload: impl FnOnce() -> String) {
        if !self.has_peers.load(Ordering::Relaxed) {
            return;
        }
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        if outgoing.len() < OUTGOING_MAX {
            outgoing.insert(payload());
            drop(outgoing);
            self.sends.notify_one();
        }
    }

    /// What is to be sent now.
    pub fn take_outgoing(&self) -> Vec<String> {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *outgoing).into_iter().collect()
    }

    /// A hint of another node. What cannot be read is of a newer version, and only a hint.
    pub fn hear(&self, payload: &str) {
        let mut words = payload.split(' ');
        let kind = words.next();
        let mut word = || words.next();
        match kind {
            Some(READY) => {
                if let (Some(Ok(namespace)), Some(Ok(queue))) =
                    (word().map(Name::new), word().map(Name::new))
                {
                    self.wake(&namespace, &queue);
                }
            }
            Some(ROOM) => {
                if let Some(Ok(namespace)) = word().map(Name::new) {
                    self.wake_all(&namespace);
                }
            }
            Some(NUDGE) => {
                let namespace = word().and_then(|text| Name::new(text).ok());
                let worker = word().and_then(|text| text.parse::<WorkerId>().ok());
                if let (Some(namespace), Some(worker), Some(publisher)) =
                    (namespace, worker, &*self.publisher())
                {
                    publisher.nudge(vec![Nudge { namespace, worker }]);
                }
            }
            Some(ENDED) => {
                if let (Some(event), Some(publisher)) = (event_in(words), &*self.publisher()) {
                    publisher.publish(vec![event]);
                }
            }
            _ => {}
        }
    }

    /// Hints may have been lost: everybody looks.
    pub fn missed(&self) {
        for (group, _) in self.groups().values() {
            group.notify_one();
        }
    }

    /// A place among those who wait for what the claim asks for.
    pub fn wait_for(self: &Arc<Self>, claim: &Claim) -> Waiter {
        let key = (claim.namespace.clone(), Arc::clone(&claim.profile));
        let mut groups = self.groups();
        let (group, waiting) = groups.entry(key.clone()).or_default();
        *waiting += 1;
        let group = Arc::clone(group);
        drop(groups);
        Waiter { hints: Arc::clone(self), key, group, was_woken: false }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publisher(&self) -> MutexGuard<'_, Option<Publisher>> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event_in<'t>(mut words: impl Iterator<Item = &'t str>) -> Option<Event> {
    let mut name = || Name::new(words.next()?).ok();
    let (namespace, queue, task) = (name()?, name()?, name()?);
    Some(Event {
        namespace,
        queue,
        task,
        id: words.next()?.parse().ok()?,
        state: words.next()?.parse().ok()?,
        attempt: words.next()?.parse().ok()?,
    })
}

/// A claim that waits. Of a group one is woken at a time, and the one that finds jobs wakes the
/// next: so a job does not wake a crowd.
pub(crate) struct Waiter {
    hints: Arc<Hints>,
    key: Wish,
    group: Group,
    was_woken: bool,
}

impl Waiter {
    /// Waits until there may be jobs, or until the deadline.
    pub async fn wait(&mut self, deadline: Instant) {
        self.was_woken = tokio::time::timeout_at(deadline, self.group.notified()).await.is_ok();
    }

    /// The claim has looked, and found jobs or not: where it did, there may be more for the next.
    pub fn has_looked(&mut self, found: bool) {
        self.was_woken = false;
        if found {
            self.group.notify_one();
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.was_woken {
            self.group.notify_one();
        }
        let mut groups = self.hints.groups();
        if let Some((_, waiting)) = groups.get_mut(&self.key) {
            *waiting -= 1;
            if *waiting == 0 {
                groups.remove(&self.key);
            }
        }
    }
}
