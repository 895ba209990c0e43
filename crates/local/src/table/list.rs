//! Pages of jobs, newest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rusqlite::{CachedStatement, Connection};
use taskwright_core::{Job, StateName};
use taskwright_store::{Filter, Page, Result};

use super::failure::failed;
use super::look::{LaneName, Look};
use super::row::COLUMNS;
use super::schema::number_of;
use crate::change::{LaneNumber, Seq};

const LIST: &str = "list jobs of the table";

/// Jobs that a page may look at in vain (for a tag) before it is cut short.
const LOOKED_AT_MAX: usize = 20_000;
/// Numbers fetched at once for one lane and state: the first time, and at most.
const FETCHED_FIRST: usize = 8;
const FETCHED_MAX: usize = 256;

impl Look<'_> {
    /// One page of the jobs that match `filter`, newest first, without args, results and attempts.
    ///
    /// Each lane and state is an ordered run of an index, and a page merges those that match: so it
    /// costs the same however many jobs do not match. Only a tag is looked for job by job; a page
    /// may then be shorter than asked for (even empty) although there is a next one.
    pub fn list(&mut self, filter: &Filter) -> Result<Page> {
        // One snapshot for the whole page.
        let _snapshot = self.connection.unchecked_transaction().map_err(failed(LIST))?;
        let lanes = self.all_lanes()?;
        let lanes = lanes.into_iter().filter(|(_, lane)| matches(lane, filter));
        let states = StateName::ALL.into_iter();
        let states: Vec<_> =
            states.filter(|state| filter.state.is_none_or(|wanted| wanted == *state)).collect();
        let keys = lanes.flat_map(|(lane, _)| states.iter().map(move |state| (lane, *state)));
        let mut seqs = Merge::new(self.connection, keys, filter.before)?;

        let sql = format!(
            "SELECT {COLUMNS}, workers.id FROM jobs \
             LEFT JOIN workers ON workers.number = jobs.worker WHERE jobs.seq = ?1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed(LIST))?;
        let mut page = Page::default();
        let mut looked_at = 0;
        while let Some(seq) = seqs.next()? {
            looked_at += 1;
            let mut rows = statement.query([seq.cast_signed()]).map_err(failed(LIST))?;
            let Some(row) = rows.next().map_err(failed(LIST))? else { continue };
            let job = self.outline(row)?;
            let is_match = has_tag(&job, filter);
            if is_match && page.jobs.len() == filter.limit {
                page.next = page.jobs.last().map(|job| job.seq);
                break;
            }
            if is_match {
                page.jobs.push(job);
            }
            if looked_at == LOOKED_AT_MAX {
                page.next = Some(seq);
                break;
            }
        }
        Ok(page)
    }
}

fn matches(lane: &LaneName, filter: &Filter) -> bool {
    lane.namespace == filter.namespace
        && filter.queue.as_ref().is_none_or(|queue| *queue == lane.queue)
        && filter.task.as_ref().is_none_or(|task| *task == lane.task)
}

fn has_tag(job: &Job, filter: &Filter) -> bool {
    filter.tag.as_ref().is_none_or(|tag| job.extras.tags.contains(tag))
}

/// The numbers of the jobs of several lanes and states, merged: highest first.
struct Merge<'a> {
    statement: CachedStatement<'a>,
    /// By the highest number of each that is not yet taken.
    runs: BinaryHeap<(Seq, Reverse<usize>)>,
    parts: Vec<Part>,
}

/// One lane and state.
struct Part {
    key: (LaneNumber, StateName),
    /// Fetched and not yet taken, lowest first.
    fetched: Vec<Seq>,
    fetch_next: usize,
    is_over: bool,
}

impl<'a> Merge<'a> {
    fn new(
        connection: &'a Connection,
        keys: impl Iterator<Item = (LaneNumber, StateName)>,
        before: Option<Seq>,
    ) -> Result<Self> {
        let sql = "SELECT seq FROM jobs WHERE lane = ?1 AND state = ?2 AND seq < ?3 \
                   ORDER BY seq DESC LIMIT ?4";
        let statement = connection.prepare_cached(sql).map_err(failed(LIST))?;
        let mut merge = Merge { statement, runs: BinaryHeap::new(), parts: Vec::new() };
        for key in keys {
            let part = Part { key, fetched: Vec::new(), fetch_next: FETCHED_FIRST, is_over: false };
            merge.parts.push(part);
            let below = before.unwrap_or(i64::MAX.cast_unsigned());
            merge.offer(merge.parts.len() - 1, below)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> Result<Option<Seq>> {
        let Some((seq, Reverse(index))) = self.runs.pop() else { return Ok(None) };
        self.offer(index, seq)?;
        Ok(Some(seq))
    }

    /// Puts the highest number below `below` of a part into the heap.
    fn offer(&mut self, index: usize, below: Seq) -> Result<()> {
        let Some(part) = self.parts.get_mut(index) else { return Ok(()) };
        if part.fetched.is_empty() && !part.is_over {
            let (lane, state) = part.key;
            let bounds = [
                i64::from(lane),
                number_of(state),
                i64::try_from(below).unwrap_or(i64::MAX),
                part.fetch_next as i64,
            ];
            let rows = self.statement.query_map(bounds, |row| row.get::<_, i64>(0));
            let seqs: rusqlite::Result<Vec<_>> =
                rows.and_then(|rows| rows.map(|seq| seq.map(i64::cast_unsigned)).collect());
            part.fetched = seqs.map_err(failed(LIST))?;
            part.fetched.reverse();
            part.is_over = part.fetched.len() < part.fetch_next;
            part.fetch_next = (part.fetch_next * 4).min(FETCHED_MAX);
        }
        if let Some(seq) = part.fetched.pop() {
            self.runs.push((seq, Reverse(index)));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/list.rs"]
mod tests;
