//! Claims where something is limited, or takes more of a worker than slots: under the lock of the namespace, candidates are looked at one
//! after another, those without room go in line, and lines are served with what that changes.

use taskwright_core::limits::{CLAIM_LOOKS_MAX, HEARTBEAT_EVERY, LEASE, PROMOTIONS_MAX};
use taskwright_core::{Name, Policy, Subject, Usage};
use taskwright_store::{Claim, Result};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::desk::{Number, Served, Stand};
use super::policies::{is_of_lane, lane_number};
use super::settle::{NOTES, Settling};
use super::turns::{Best, Part};
use crate::change::{ATTEMPTS_MAX, Lacking};
use crate::claim::{Wish, max_of, too_low};
use crate::codec::profile_text;
use crate::connect::Fault;
use crate::floors::Begin;
use crate::link::{Transaction, micros, no_answer};
use crate::row::{get, name};
use crate::store::PostgresStore;

/// What `begin_claim` says of the number of a claim.
const TOO_LOW: i16 = 1;
const REPEATED: i16 = 2;

/// How a claim came out.
struct Given {
    rows: Vec<Row>,
    /// The queues of jobs that it made ready and did not take.
    readied: Vec<Name>,
    /// It has looked at as many jobs without room as it may: there may be others behind them.
    is_cut: bool,
    /// The next job takes more than is left.
    is_over: bool,
}

/// What a claim chose.
#[derive(Default)]
struct Choice {
    jobs: Vec<i64>,
    is_cut: bool,
    is_over: bool,
}

enum Answer {
    Given(Given),
    TooLow(i64),
}

impl PostgresStore {
    /// Takes jobs where something is limited, or some of them take more of the worker than slots.
    pub(crate) async fn claim_limited(
        &self,
        namespace: i32,
        claim: &Claim,
    ) -> Result<crate::claim::Given> {
        let begin = self.floors.begin();
        let lacking = Lacking::default();
        let (mut reason, mut crowd) = (no_answer("the jobs of a claim"), 0);
        for _ in 0..ATTEMPTS_MAX {
            let (begin_at, lacks) = (&begin, &lacking);
            let work = |connection| {
                Box::pin(async move {
                    let tx = Transaction { connection, link: &self.link };
                    self.give_limited(&tx, namespace, claim, begin_at, lacks).await
                })
            };
            let done = Box::pin(self.link.pool.transact(self.link.deadline(), work)).await;
            let lanes = lacking.take();
            let is_crowded = lacking.busy().len() > crowd;
            crowd = lacking.busy().len();
            match done {
                Ok(Answer::TooLow(last)) => return Err(too_low(claim, last)),
                Ok(Answer::Given(given)) => return self.answer(claim, &begin, given).await,
                Err(_) if !lanes.is_empty() => {
                    self.lanes.numbers(&self.link, &lanes, self.tally.from()).await?;
                }
                Err(error) if is_crowded => reason = error,
                Err(error) => return Err(error),
            }
        }
        Err(reason)
    }

    async fn answer(
        &self,
        claim: &Claim,
        begin: &Begin,
        given: Given,
    ) -> Result<crate::claim::Given> {
        let Given { rows, mut readied, is_cut, is_over } = given;
        let lanes = self.lanes_of(begin, &rows).await?;
        let jobs = crate::claim::in_order(&rows, &lanes)?;
        self.announce_claimed(claim, &jobs);
        if is_cut {
            readied.extend(claim.profile.queues.iter().cloned());
        }
        self.hints.ready(readied.iter().map(|queue| (&claim.namespace, queue)).collect());
        Ok((!jobs.is_empty() || !is_over).then_some(jobs))
    }

    async fn give_limited(
        &self,
        tx: &Transaction<'_>,
        namespace: i32,
        claim: &Claim,
        begin: &Begin,
        lacking: &Lacking,
    ) -> Result<Answer, Fault> {
        let worker = Uuid::from_u128(claim.worker.as_u128());
        let seq = claim.seq.cast_signed();
        let rows = tx
            .query(
                "select * from taskwright.begin_claim($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &[
                    (&self.clock.shown(), Type::INT8),
                    (&namespace, Type::INT4),
                    (&worker, Type::UUID),
                    (&self.epoch, Type::INT4),
                    (&claim.in_process, Type::BOOL),
                    (&seq, Type::INT8),
                    (&micros(LEASE), Type::INT8),
                    (&NOTES, Type::INT4),
                    (&profile_text(&claim.profile), Type::TEXT),
                ],
            )
            .await?;
        let row = rows.first().ok_or_else(|| no_answer("the beginning of a claim"))?;
        match get::<i16>(row, "verdict")? {
            TOO_LOW => return Ok(Answer::TooLow(get(row, "last")?)),
            REPEATED => {
                let rows = self.claim_repeated(tx, namespace, claim).await?;
                let nothing = Given { rows, readied: Vec::new(), is_cut: false, is_over: false };
                return Ok(Answer::Given(nothing));
            }
            _ => {}
        }
        let desk = self.desk(tx, namespace, row).await?;
        let mut settling = Settling { store: self, tx, lacking, busy: lacking.busy(), desk };
        let paused = get::<Vec<String>>(row, "paused")?;
        let Choice { jobs: given, is_cut, is_over } =
            settling.choose(claim, begin, &paused, get(row, "has_suspect")?).await?;
        if let Some(found) = settling.hold().await? {
            return Err(lacking.note_busy(found));
        }
        settling.write().await?;
        self.look_for_room(&mut settling.desk);
        let mut rows = Vec::new();
        if !given.is_empty() {
            let desk = &settling.desk;
            let lane = |seq: &i64| desk.jobs.get(seq).map_or(0, |job| job.lane);
            let lanes: Vec<i32> = given.iter().map(lane).collect();
            let age = |seq: &i64| desk.jobs.get(seq).map_or(0, |job| job.age);
            let ages: Vec<i64> = given.iter().map(age).collect();
            rows = tx
                .query(
                    "select * from taskwright.give_jobs($1, $2, $3, $4, $5, $6, $7, $8, \
                     $9)",
                    &[
                        (&desk.now.as_micros(), Type::INT8),
                        (&namespace, Type::INT4),
                        (&worker, Type::UUID),
                        (&self.epoch, Type::INT4),
                        (&seq, Type::INT8),
                        (&micros(HEARTBEAT_EVERY), Type::INT8),
                        (&given, Type::INT8_ARRAY),
                        (&lanes, Type::INT4_ARRAY),
                        (&ages, Type::INT8_ARRAY),
                    ],
                )
                .await?;
        }
        let readied = settling.desk.readied().into_iter().collect();
        Ok(Answer::Given(Given { rows, readied, is_cut: is_cut && given.is_empty(), is_over }))
    }

    /// What the worker's last claim gave and still runs.
    async fn claim_repeated(
        &self,
        tx: &Transaction<'_>,
        namespace: i32,
        claim: &Claim,
    ) -> Result<Vec<Row>, Fault> {
        let begin = Begin::nowhere();
        let wish = Wish::of(self, namespace, claim, &begin);
        tx.query(crate::claim::CLAIM, &wish.arguments()).await
    }
}

impl Settling<'_> {
    /// Chooses the jobs that a claim gives, smallest rank first, and puts those aside whose keys have
    /// no room; then those that this made ready; up to one that takes more than is left.
    async fn choose(
        &mut self,
        claim: &Claim,
        begin: &Begin,
        paused: &[String],
        mut has_suspect: bool,
    ) -> Result<Choice, Fault> {
        let paused = paused.iter().map(|queue| name(queue)).collect::<Result<Vec<_>>>()?;
        self.desk.served = Some(Served {
            queues: claim.profile.queues.to_vec(),
            tasks: claim.profile.tasks.as_ref().map(|tasks| tasks.to_vec()),
            labels: claim.profile.labels.clone(),
            paused,
        });
        self.read_subjects().await?;
        self.read_candidates(claim, begin).await?;
        let mut choice = Choice::default();
        let mut looks = CLAIM_LOOKS_MAX;
        let mut left = claim.room();
        loop {
            let mut calls_next = false;
            while left.slots > 0
                && !calls_next
                && let Some(seq) = self.next_candidate(has_suspect).await?
            {
                let Some(job) = self.desk.jobs.get(&seq) else { break };
                let (lane, limited, turn) = (job.lane, job.limited.clone(), job.turn());
                let has_no_room = |(key, policy): &&(Number, Policy)| {
                    (policy.takes_turns() && turn.is_none())
                        || !self.desk.may_be_next(*key, policy, seq)
                        || self.desk.room_of_key(*key, policy) == 0
                };
                match limited.iter().find(has_no_room) {
                    None if !self.desk.cost_of(lane).fits(&left) => {
                        choice.is_over = true;
                        break;
                    }
                    None => {
                        left = left.minus(&self.desk.cost_of(lane));
                        has_suspect |= self.desk.is_suspect(lane);
                        self.desk.give(seq);
                        choice.jobs.push(seq);
                        calls_next = self.was_last_of_group(seq).await?;
                    }
                    Some(_) if looks == 0 => break,
                    Some((key, _)) => {
                        looks -= 1;
                        self.desk.put(seq, lane, Stand::Line(*key), None);
                    }
                }
            }
            let nobody_came = self.settle(PROMOTIONS_MAX).await? == 0 && !calls_next;
            if nobody_came || choice.is_over || left.slots == 0 || looks == 0 {
                choice.is_cut = looks == 0;
                return Ok(choice);
            }
        }
    }

    /// The next ready job that the worker may take now.
    async fn next_candidate(&mut self, has_suspect: bool) -> Result<Option<i64>, Fault> {
        loop {
            match self.desk.best_candidate(has_suspect) {
                Best::Unread(lane, part) => self.read_more_candidates(lane, part).await?,
                Best::Nobody => return Ok(None),
                Best::Is(seq) => {
                    let limited = self.desk.jobs.get(&seq).map(|job| job.limited.clone());
                    let keys: Vec<Number> = limited.iter().flatten().map(|(key, _)| *key).collect();
                    self.read_heads(&keys).await?;
                    self.read_usages(&keys).await?;
                    return Ok(Some(seq));
                }
            }
        }
    }

    async fn read_candidates(&mut self, claim: &Claim, begin: &Begin) -> Result<(), Fault> {
        let wish = Wish::of(self.store, self.desk.namespace, claim, begin);
        let rows = self
            .tx
            .query(
                "select * from taskwright.first_candidates($1, $2, $3, $4, $5, $6, $7, $8, \
                 $9, $10)",
                &[
                    (&self.desk.now.as_micros(), Type::INT8),
                    (&self.desk.namespace, Type::INT4),
                    (&wish.queues, Type::TEXT_ARRAY),
                    (&wish.tasks, Type::TEXT_ARRAY),
                    (&begin.lanes, Type::INT4_ARRAY),
                    (&begin.floors, Type::INT8_ARRAY),
                    (&max_of(claim), Type::INT4),
                    (&self.busy, Type::INT8_ARRAY),
                    (&wish.matching, Type::INT4_ARRAY),
                    (&wish.known, Type::INT4),
                ],
            )
            .await?;
        self.take_candidates(&rows, None).await
    }

    async fn read_more_candidates(&mut self, lane: i32, part: Part) -> Result<(), Fault> {
        let slice = self.desk.candidates.get_mut(&(lane, part));
        let Some((rank, seq)) = slice.and_then(|slice| slice.more_after.take()) else {
            return Ok(());
        };
        let rows = self
            .tx
            .query(
                "select * from taskwright.candidates($1, $2, $3, $4, $5, $6)",
                &[
                    (&self.desk.now.as_micros(), Type::INT8),
                    (&vec![lane], Type::INT4_ARRAY),
                    (&vec![rank], Type::INT8_ARRAY),
                    (&vec![seq], Type::INT8_ARRAY),
                    (&MORE, Type::INT4),
                    (&self.busy, Type::INT8_ARRAY),
                ],
            )
            .await?;
        self.take_candidates(&rows, Some(part)).await
    }

    /// Reads what queues and tasks with a policy have used.
    pub async fn read_subjects(&mut self) -> Result<(), Fault> {
        let set = std::sync::Arc::clone(&self.desk.set);
        let of_lanes = set.policies.iter().take_while(|(subject, _)| is_of_lane(subject));
        let limited: Vec<(&Subject, &Policy)> = of_lanes
            .filter(|(_, policy)| policy.counts_running() || policy.rate.is_some())
            .collect();
        let counts_running = limited.iter().any(|(_, policy)| policy.counts_running());
        let numbered = |(subject, _)| Some((lane_number(&self.desk.name, subject)?, subject));
        let of_lanes: Vec<(Number, &Subject)> = limited.into_iter().filter_map(numbered).collect();
        if of_lanes.is_empty() {
            return Ok(());
        }
        let namespace = self.desk.namespace;
        let numbers: Vec<i64> = of_lanes.iter().map(|(number, _)| number.cast_signed()).collect();
        let rows = self
            .tx
            .query(
                "select number, at from taskwright.arrival \
                 where namespace = $1 and number = any($2)",
                &[(&namespace, Type::INT4), (&numbers, Type::INT8_ARRAY)],
            )
            .await?;
        for row in &rows {
            let arrival = taskwright_core::Timestamp::from_micros(get(row, "at")?);
            let number = get::<i64>(row, "number")?.cast_unsigned();
            self.desk.subjects.insert(number, Usage { running: 0, arrival });
        }
        if !counts_running {
            return Ok(());
        }
        let rows = self
            .tx
            .query("select * from taskwright.lanes_running($1)", &[(&namespace, Type::INT4)])
            .await?;
        self.name_lanes(&rows).await?;
        for row in &rows {
            let (queue, task, _) = self.desk.triple(get(row, "lane")?);
            let amount = u32::try_from(get::<i64>(row, "amount")?).unwrap_or(u32::MAX);
            let is_its = |subject: &Subject| match subject {
                Subject::Queue(name) => *name == queue,
                Subject::Task(name) => *name == task,
                Subject::Group { .. } | Subject::Key(_) => false,
            };
            for (number, _) in of_lanes.iter().filter(|(_, subject)| is_its(subject)) {
                let usage = self.desk.subjects.entry(*number).or_default();
                usage.running = usage.running.saturating_add(amount);
            }
        }
        Ok(())
    }
}

/// Candidates of a lane that are read at once, where the first were not enough.
const MORE: i32 = 300;
