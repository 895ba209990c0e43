//! Writes what was decided at the desk.

use taskwright_core::Timestamp;
use taskwright_store::Result;
use tokio_postgres::types::Type;

use super::desk::{Number, Stand, Waiting};
use super::read::signed;
use super::settle::Settling;
use crate::connect::Fault;
use crate::lanes::{GIVEN_BACK, Lane};
use crate::link::{Argument, raised};
use crate::row::{LINE, READY, RUNNING, get};

impl Settling<'_> {
    /// Locks the jobs that were put elsewhere. `None`: all of them are as they were read; else those
    /// that others hold or have changed, and nothing may be written.
    pub async fn hold(&self) -> Result<Option<Vec<i64>>, Fault> {
        let moved: Vec<(i64, &Waiting)> = self.desk.moved().collect();
        if moved.is_empty() {
            return Ok(None);
        }
        let seqs: Vec<i64> = moved.iter().map(|(seq, _)| *seq).collect();
        let lanes: Vec<i32> = moved.iter().map(|(_, job)| job.was.0).collect();
        let states: Vec<i16> = moved.iter().map(|(_, job)| state_of(job.was.1)).collect();
        let ranks: Vec<i64> = moved.iter().map(|(_, job)| job.was.2).collect();
        let lines: Vec<Option<i64>> = moved.iter().map(|(_, job)| line_in(job.was.1)).collect();
        let rows = self
            .tx
            .query(
                "select seq from taskwright.hold_jobs($1, $2, $3, $4, $5)",
                &[
                    (&seqs, Type::INT8_ARRAY),
                    (&lanes, Type::INT4_ARRAY),
                    (&states, Type::INT2_ARRAY),
                    (&ranks, Type::INT8_ARRAY),
                    (&lines, Type::INT8_ARRAY),
                ],
            )
            .await?;
        let held = rows.iter().map(|row| get(row, "seq")).collect::<Result<Vec<i64>>>()?;
        let busy: Vec<i64> = seqs.into_iter().filter(|seq| !held.contains(seq)).collect();
        Ok((!busy.is_empty()).then_some(busy))
    }

    /// Writes where jobs stand now, and what else was decided. What was given is left to the claim.
    pub async fn write(&self) -> Result<(), Fault> {
        let lanes = self.desk.new_lanes();
        if !lanes.is_empty() {
            return Err(self.lacking.note(lanes));
        }
        let put: Vec<(i64, &Waiting)> =
            self.desk.moved().filter(|(_, job)| job.stand != Stand::Given).collect();
        if !put.is_empty() {
            let seqs: Vec<i64> = put.iter().map(|(seq, _)| *seq).collect();
            let lanes: Vec<i32> = put.iter().map(|(_, job)| job.lane).collect();
            let states: Vec<i16> = put.iter().map(|(_, job)| state_of(job.stand)).collect();
            let lines: Vec<Option<i64>> = put.iter().map(|(_, job)| line_in(job.stand)).collect();
            let ranks: Vec<i64> = put.iter().map(|(_, job)| job.rank).collect();
            let arguments: [Argument<'_>; 5] = [
                (&seqs, Type::INT8_ARRAY),
                (&lanes, Type::INT4_ARRAY),
                (&states, Type::INT2_ARRAY),
                (&lines, Type::INT8_ARRAY),
                (&ranks, Type::INT8_ARRAY),
            ];
            let statement = "select count(taskwright.put_jobs($1, $2, $3, $4, $5)::text)";
            match self.tx.query(statement, &arguments).await {
                Err(fault) if raised(&fault).is_some_and(|code| code == GIVEN_BACK) => {
                    let named = lanes.iter().filter_map(|lane| self.desk.lanes.get(lane));
                    let named: Vec<_> = named.map(|lane| Lane::clone(lane)).collect();
                    self.store.lanes.forget(&named);
                    return Err(self.lacking.note(named));
                }
                done => done.map(drop)?,
            }
        }
        self.close().await
    }

    async fn close(&self) -> Result<(), Fault> {
        let desk = &self.desk;
        let nothing_to_note =
            desk.arrivals.is_empty() && desk.retimed.is_empty() && desk.touched.is_empty();
        if nothing_to_note && desk.turned.is_empty() {
            return Ok(());
        }
        let used: Vec<Number> = desk.arrivals.keys().copied().collect();
        let arrivals: Vec<i64> = desk.arrivals.values().map(|at| at.as_micros()).collect();
        let timed: Vec<Number> = desk.retimed.iter().copied().collect();
        let timer = |key: &Number| desk.timers.get(key).copied().flatten();
        let at: Vec<Option<i64>> =
            timed.iter().map(|key| timer(key).map(Timestamp::as_micros)).collect();
        let later: Vec<Number> = desk.touched.iter().copied().collect();
        let (turned, clocks, turns) = desk.moved_turns();
        self.tx
            .query(
                "select count(taskwright.close_desk($1, $2, $3, $4, $5, $6, $7, $8, $9)::text)",
                &[
                    (&desk.namespace, Type::INT4),
                    (&signed(&used), Type::INT8_ARRAY),
                    (&arrivals, Type::INT8_ARRAY),
                    (&signed(&timed), Type::INT8_ARRAY),
                    (&at, Type::INT8_ARRAY),
                    (&signed(&later), Type::INT8_ARRAY),
                    (&turned, Type::INT8_ARRAY),
                    (&clocks, Type::INT8_ARRAY),
                    (&turns, Type::INT8_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }
}

fn state_of(stand: Stand) -> i16 {
    match stand {
        Stand::Ready => READY,
        Stand::Line(_) => LINE,
        Stand::Given => RUNNING,
    }
}

fn line_in(stand: Stand) -> Option<i64> {
    match stand {
        Stand::Line(key) => Some(key.cast_signed()),
        Stand::Ready | Stand::Given => None,
    }
}
