//! The load of workers, as they tell it and as it is shown.

use std::time::Duration;

use serde::Deserialize;
use taskwright_core::{Load, LoadMeasure};

use crate::read::Object;
use crate::write;

/// What a worker tells.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadFields {
    cpu_percent: Option<u32>,
    memory_percent: Option<u32>,
    lag_ms: Option<u64>,
    max: Option<Object<MaxFields>>,
    takes: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxFields {
    cpu_percent: Option<u32>,
    memory_percent: Option<u32>,
    lag_ms: Option<u64>,
}

/// What a reply shows; a newer server may say more.
#[derive(Deserialize)]
pub(crate) struct LoadView {
    cpu_percent: Option<u32>,
    memory_percent: Option<u32>,
    lag_ms: Option<u64>,
    max: Option<Object<MaxView>>,
    takes: Option<u32>,
}

#[derive(Deserialize)]
struct MaxView {
    cpu_percent: Option<u32>,
    memory_percent: Option<u32>,
    lag_ms: Option<u64>,
}

fn measure(cpu: Option<u32>, memory: Option<u32>, lag_ms: Option<u64>) -> LoadMeasure {
    let lag = lag_ms.map(Duration::from_millis);
    LoadMeasure { cpu_percent: cpu, memory_percent: memory, lag }
}

impl LoadFields {
    pub(crate) fn into_load(self) -> Load {
        let max = self.max.map(|Object(m)| measure(m.cpu_percent, m.memory_percent, m.lag_ms));
        Load {
            measured: measure(self.cpu_percent, self.memory_percent, self.lag_ms),
            max: max.unwrap_or_default(),
            takes: self.takes,
        }
    }
}

impl LoadView {
    pub(crate) fn into_load(self) -> Load {
        let max = self.max.map(|Object(m)| measure(m.cpu_percent, m.memory_percent, m.lag_ms));
        Load {
            measured: measure(self.cpu_percent, self.memory_percent, self.lag_ms),
            max: max.unwrap_or_default(),
            takes: self.takes,
        }
    }
}

/// Writes a load, unless nothing is known of it.
pub(crate) fn write(load: &Load, object: &mut write::Object<'_>) {
    if *load == Load::default() {
        return;
    }
    object.object("load", |object| {
        write_measure(&load.measured, object);
        if load.max != LoadMeasure::default() {
            object.object("max", |object| write_measure(&load.max, object));
        }
        if let Some(takes) = load.takes {
            object.number("takes", u64::from(takes));
        }
    });
}

fn write_measure(measure: &LoadMeasure, object: &mut write::Object<'_>) {
    if let Some(percent) = measure.cpu_percent {
        object.number("cpu_percent", u64::from(percent));
    }
    if let Some(percent) = measure.memory_percent {
        object.number("memory_percent", u64::from(percent));
    }
    if let Some(lag) = measure.lag {
        object.millis("lag_ms", lag);
    }
}
