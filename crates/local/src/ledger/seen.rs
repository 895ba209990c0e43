//! Which ids the table may know, so that a new id need not be looked up there.

use std::collections::VecDeque;

use taskwright_core::JobId;

use super::ids::mix;

/// Ids in one layer.
const LAYER_IDS: usize = 1 << 20;
/// Bits for one id: about 1 in 250 new ids is looked up in vain.
const BITS_PER_ID: usize = 12;
/// Bits set for one id.
const PROBES: u64 = 5;
/// Layers kept; with more ids than that, every id is looked up.
const LAYERS_MAX: usize = 32;

/// A growing Bloom filter (Bloom, 1970; layered as in Almeida et al., *Scalable Bloom Filters*,
/// 2007). It never denies an id that was added.
#[derive(Debug, Default)]
pub struct Seen {
    layers: VecDeque<Layer>,
    overflowed: bool,
}

#[derive(Debug)]
struct Layer {
    bits: Vec<u64>,
    ids: usize,
}

impl Seen {
    /// Adds an id.
    pub fn insert(&mut self, id: JobId) {
        if self.overflowed {
            return;
        }
        if self.layers.back().is_none_or(|layer| layer.ids == LAYER_IDS) {
            if self.layers.len() == LAYERS_MAX {
                self.overflowed = true;
                self.layers.clear();
                return;
            }
            self.layers.push_back(Layer { bits: vec![0; LAYER_IDS * BITS_PER_ID / 64], ids: 0 });
        }
        if let Some(layer) = self.layers.back_mut() {
            layer.ids += 1;
            for bit in probes(mix(id)) {
                layer.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// Forgets the oldest ids, where the newest `kept` are certain to stay.
    pub fn keep_newest(&mut self, kept: usize) {
        let mut newer: usize = self.layers.iter().skip(1).map(|layer| layer.ids).sum();
        while self.layers.len() > 1 && newer >= kept {
            self.layers.pop_front();
            newer -= self.layers.front().map_or(0, |layer| layer.ids);
        }
    }

    /// Whether the id may have been added.
    pub fn may_contain(&self, id: JobId) -> bool {
        let mixed = mix(id);
        let in_layer =
            |layer: &Layer| probes(mixed).all(|bit| layer.bits[bit / 64] & (1 << (bit % 64)) != 0);
        self.overflowed || self.layers.iter().any(in_layer)
    }
}

/// Double hashing (Kirsch and Mitzenmacher, 2006).
fn probes(mixed: u64) -> impl Iterator<Item = usize> {
    let (first, second) = (mixed & 0xffff_ffff, (mixed >> 32) | 1);
    let bits = (LAYER_IDS * BITS_PER_ID) as u64;
    (0..PROBES).map(move |i| (first.wrapping_add(i.wrapping_mul(second)) % bits) as usize)
}
