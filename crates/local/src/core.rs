//! One group after another: ask the ledger, make what it decided durable, answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use taskwright_core::Timestamp;
use taskwright_store::{Claim, ClaimedJob, Clock, Error, ErrorKind, Publisher, Result};

use crate::change::{Change, Position};
use crate::journal::{Durability, Group, Journal};
use crate::ledger::{Archive, Ledger, Shown};
use crate::request::{Reply, Request, Settled};

/// A group is closed when it may have grown to this many bytes of journal.
const GROUP_BYTES: u64 = 3 * 1024 * 1024;
/// Ended jobs let go at once while nobody asks for anything.
const TIDIED_AT_ONCE: usize = 8_192;
/// Room in the journal that new work leaves to claims and reports.
const RESERVE_BYTES: u64 = 2 * 1024 * 1024;

/// What takes the changes of durable groups: the table.
pub trait Feed: Send {
    /// Takes a group. Blocks while too much waits to be applied.
    fn push(&mut self, position: Position, now: Timestamp, changes: Vec<Change>);
    /// An empty list for the changes of the next group, if possible one with room.
    fn blank(&mut self) -> Vec<Change> {
        Vec::new()
    }
    /// The position up to which the table shows everything but jobs that have not ended.
    fn applied(&self) -> Position;
    /// The position up to which the table shows everything.
    fn whole(&self) -> Position;
    /// The position up to which the table has everything durably.
    fn durable(&self) -> Position;
    /// Is told how many segments the journal uses until the table has their groups durably.
    fn segments(&self, count: usize);
}

/// Where groups become durable.
pub enum Log {
    /// On disk.
    Journal(Box<Journal>, Group),
    /// Nowhere: the store is gone with its process.
    Memory(Position),
}

/// The state of a store and everything that a group passes through. It has no thread of its own.
pub struct Core {
    clock: Arc<dyn Clock>,
    ledger: Ledger,
    log: Log,
    feed: Box<dyn Feed>,
    archive: Box<dyn Archive + Send>,
    publisher: Publisher,
    waiting: VecDeque<(Claim, Instant, Reply<Vec<ClaimedJob>>)>,
    next_deadline: Option<Instant>,
    answers: Vec<Answer>,
    /// Groups that are written and not yet synced: the table must not know them.
    unsynced: VecDeque<(Position, Timestamp, Vec<Change>)>,
    stopped: Option<Error>,
}

/// An answer that waits for its group to be durable.
type Answer = Box<dyn FnOnce(Option<&Error>) + Send>;

fn answer<T: Send + 'static>(reply: Reply<T>, result: Result<T>) -> Answer {
    Box::new(move |failure| {
        // A caller that no longer waits is no error.
        let _ = reply.send(match failure {
            Some(error) => Err(error.clone()),
            None => result,
        });
    })
}

impl Core {
    /// A core around what recovery made.
    pub fn new(
        clock: Arc<dyn Clock>,
        ledger: Ledger,
        log: Log,
        feed: Box<dyn Feed>,
        archive: Box<dyn Archive + Send>,
        publisher: Publisher,
    ) -> Self {
        Core {
            clock,
            ledger,
            log,
            feed,
            archive,
            publisher,
            waiting: VecDeque::new(),
            next_deadline: None,
            answers: Vec::new(),
            unsynced: VecDeque::new(),
            stopped: None,
        }
    }

    /// Serves requests, in as many groups as they need, and answers each once its group is durable.
    pub fn serve(&mut self, mut requests: Vec<Request>) {
        // Stable: what one caller asked first stays first among its kind.
        requests.sort_by_key(|request| !request.is_urgent());
        let mut requests = VecDeque::from(requests);
        self.begin();
        let mut bytes = 0;
        while let Some(request) = requests.pop_front() {
            let more = request.journal_bytes() + self.ledger.settling_bytes();
            if bytes > 0 && bytes + more > GROUP_BYTES {
                self.finish();
                self.begin();
                bytes = 0;
            }
            bytes += more;
            match self.make_room(&request, bytes) {
                Ok(()) => self.decide(request),
                Err(error) => {
                    bytes -= more;
                    request.refuse(error);
                }
            }
        }
        self.finish();
    }

    /// When somebody's wait may be over next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    /// Answers claims whose wait is over at `now`.
    pub fn end_waits(&mut self, now: Instant) {
        if self.next_deadline.is_none_or(|next| now < next) && self.stopped.is_none() {
            return;
        }
        self.end_waits_where(|deadline| deadline <= now);
    }

    /// Answers all claims that wait.
    pub fn end_all_waits(&mut self) {
        self.end_waits_where(|_| true);
    }

    fn end_waits_where(&mut self, is_over: impl Fn(Instant) -> bool) {
        self.next_deadline = None;
        for (claim, deadline, reply) in std::mem::take(&mut self.waiting) {
            if is_over(deadline) || self.stopped.is_some() {
                let _ = reply.send(self.stopped.clone().map_or_else(|| Ok(Vec::new()), Err));
            } else if !reply.is_closed() {
                self.wait(claim, deadline, reply);
            }
        }
    }

    fn wait(&mut self, claim: Claim, deadline: Instant, reply: Reply<Vec<ClaimedJob>>) {
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
        self.waiting.push_back((claim, deadline, reply));
    }

    /// Makes durable what the durability setting left to be synced, and tells the table.
    pub fn sync(&mut self) -> Result<()> {
        if let Log::Journal(journal, _) = &mut self.log
            && let Err(error) = journal.sync_pending()
        {
            self.stopped.get_or_insert(error.clone());
            return Err(error);
        }
        self.feed_synced();
        Ok(())
    }

    /// The error that stopped the store, if one did.
    pub fn stopped(&self) -> Option<&Error> {
        self.stopped.as_ref()
    }

    /// Lets go of some of what the table has, where nobody waits. Answers whether there is more.
    pub fn tidy(&mut self) -> bool {
        let more = self.ledger.let_go(self.shown(), TIDIED_AT_ONCE);
        self.release();
        more
    }

    /// Segments whose groups the table has durably are free again.
    pub fn recycle(&mut self) {
        let durable = self.feed.durable();
        if let Log::Journal(journal, _) = &mut self.log {
            journal.recycle(durable);
            self.feed.segments(journal.segments());
        }
    }

    /// The ledger, to look at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn position(&self) -> Position {
        match &self.log {
            Log::Journal(journal, _) => journal.position(),
            Log::Memory(position) => *position,
        }
    }

    fn begin(&mut self) {
        let wall = self.clock.now();
        let next = self.position() + 1;
        self.ledger.begin(next, wall, self.shown(), self.publisher.is_heard());
        self.release();
    }

    fn shown(&self) -> Shown {
        Shown { ended: self.feed.applied(), all: self.feed.whole() }
    }

    fn release(&mut self) {
        for seq in self.ledger.take_released() {
            self.archive.release(seq);
        }
    }

    /// Makes sure that the group still fits with this request, before anything is decided.
    fn make_room(&mut self, request: &Request, bytes: u64) -> Result<()> {
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        let Log::Journal(journal, _) = &mut self.log else { return Ok(()) };
        journal.reserve(bytes.min(journal.group_bytes_max()))?;
        let kept = RESERVE_BYTES.min(journal.group_bytes_max() / 4);
        if request.is_new_work() && journal.room() < bytes + kept {
            return Err(Error::new(
                ErrorKind::Full,
                "the disk has no room for new jobs (running ones can still be finished); free \
                 some space, then enqueue again",
            ));
        }
        Ok(())
    }

    fn decide(&mut self, request: Request) {
        let (ledger, archive) = (&mut self.ledger, self.archive.as_mut());
        let answer = match request {
            Request::Insert(insert, reply) => answer(reply, ledger.insert(insert, archive)),
            Request::Claim(claim, deadline, reply) => match ledger.claim(&claim) {
                Ok(None) => return self.wait(claim, deadline, reply),
                Ok(Some(jobs)) => answer(reply, Ok(jobs)),
                Err(error) => answer(reply, Err(error)),
            },
            Request::Report(reports, reply) => answer(reply, ledger.report(reports, archive)),
            Request::Heartbeat(beat, reply) => answer(reply, ledger.heartbeat(beat)),
            Request::Sweep(limit, reply) => {
                let swept = ledger.sweep(limit);
                answer(reply, Ok((swept, ledger.now())))
            }
            Request::Control(actor, commands, reply) => {
                answer(reply, ledger.control(&actor, commands, archive))
            }
            Request::Get(namespace, ids, reply) => {
                let found = ids.iter().map(|&id| ledger.get(&namespace, id)).collect();
                return self.answer_at_position(reply, found);
            }
            Request::Peek(namespace, queue, max, reply) => {
                answer(reply, Ok(ledger.peek(&namespace, &queue, max)))
            }
            Request::Counts(namespace, reply) => answer(reply, Ok(ledger.counts(&namespace))),
            Request::Workers(namespace, reply) => answer(reply, Ok(ledger.workers(&namespace))),
            Request::Policies(namespace, reply) => answer(reply, Ok(ledger.policies(&namespace))),
            Request::Tick(ticks, reply) => answer(reply, ledger.tick(ticks, archive)),
            Request::Documents(wanted, limit, reply) => {
                answer(reply, Ok(ledger.documents(&wanted, limit)))
            }
            Request::Import(records, reply) => answer(reply, ledger.import(records, archive)),
            Request::Settings(reply) => {
                let settings = ledger.settings();
                return self.answer_at_position(reply, settings);
            }
            Request::Settle(reply) => {
                let settled = Settled {
                    position: self.position_if_committed(),
                    now: self.ledger.now(),
                    jobs: self.ledger.jobs_in_memory(),
                    args_bytes: self.ledger.args_bytes(),
                };
                answer(reply, Ok(settled))
            }
            Request::Pruned(pruned, reply) => {
                let taken = (&pruned.counts, &pruned.holds, &pruned.dead);
                ledger.pruned(taken.0, taken.1, taken.2, pruned.remembered);
                answer(reply, Ok(()))
            }
        };
        self.answers.push(answer);
        self.ledger.settle_lines();
    }

    fn answer_at_position<T: Send + 'static>(&mut self, reply: Reply<(Position, T)>, value: T) {
        let position = self.position_if_committed();
        self.answers.push(answer(reply, Ok((position, value))));
    }

    /// The position of everything decided so far, once its group is durable.
    fn position_if_committed(&self) -> Position {
        self.position() + u64::from(self.ledger.has_changes())
    }

    fn finish(&mut self) {
        self.feed_waiting();
        let feed = &mut self.feed;
        let (changes, events) = self.ledger.take_changes(|| feed.blank());
        let outcome = if changes.is_empty() { Ok(()) } else { self.commit(changes) };
        if let Err(error) = outcome {
            self.stopped.get_or_insert(error);
        }
        self.release();
        if self.ledger.take_took_tokens() {
            self.publisher.tell_room(self.ledger.next_room_at());
        }
        for answer in self.answers.drain(..) {
            answer(self.stopped.as_ref());
        }
        if self.stopped.is_none() {
            self.publisher.publish(events);
            self.publisher.nudge(self.ledger.take_nudges());
        }
    }

    /// Gives waiting claims what became ready, in the group that made it ready.
    fn feed_waiting(&mut self) {
        if !self.ledger.take_became_ready() || self.stopped.is_some() {
            return;
        }
        for _ in 0..self.waiting.len() {
            if !self.ledger.has_ready() {
                return;
            }
            let Some((claim, deadline, reply)) = self.waiting.pop_front() else { return };
            if reply.is_closed() {
                continue;
            }
            match self.ledger.claim(&claim) {
                Ok(None) => self.waiting.push_back((claim, deadline, reply)),
                Ok(Some(jobs)) => self.answers.push(answer(reply, Ok(jobs))),
                Err(error) => self.answers.push(answer(reply, Err(error))),
            }
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        let now = self.ledger.now();
        let position = match &mut self.log {
            Log::Memory(position) => {
                *position += 1;
                *position
            }
            Log::Journal(journal, group) => {
                group.restart(now);
                for change in &changes {
                    group.push(change);
                }
                // What the ledger decided cannot be taken back: a full disk stops the store here,
                // which `make_room` prevents.
                journal.commit(group)?
            }
        };
        self.unsynced.push_back((position, now, changes));
        self.feed_synced();
        Ok(())
    }

    fn feed_synced(&mut self) {
        let synced = match &self.log {
            Log::Journal(journal, _) if journal.durability() != Durability::Fsync => {
                journal.synced()
            }
            _ => Position::MAX,
        };
        while self.unsynced.front().is_some_and(|(position, ..)| *position <= synced) {
            if let Some((position, now, changes)) = self.unsynced.pop_front() {
                self.feed.push(position, now, changes);
            }
        }
    }
}
