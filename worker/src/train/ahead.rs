//! The batches of a training.
//!
//! Where images lie in this process's memory, and a core is idle while libtorch works, a thread of its own makes them, in their
//! order, a few ahead of the steps. Where libtorch's threads have every core they make each batch between two steps: a thread
//! beside them would wait until one of them is interrupted, and they for it. On another device batches are chosen there. In any
//! case a batch is a function of (seed, epoch, indices).

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use tch::{Device, Tensor};
use transect_common::data::{Augment, Split};
use transect_common::run::Seeds;

use super::augment::{augmented, change};
use super::order::{batches, epoch_order};
use crate::data::{By, Data, Gather, View};

/// Batches that wait to be used: one is enough to be ahead, the other evens out.
const WAITING: usize = 2;

/// Images [n, C, H, W], f32, and their classes [n], on the data's device.
type Batch = (Tensor, Tensor);

/// Which batches a training sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seeds: Seeds,
    pub(super) augment: Augment,
    /// Training images.
    pub(super) images: usize,
    /// Images a step.
    pub(super) batch_size: usize,
}

impl Plan {
    /// The indices of each batch from `epoch` on, without the first `done` of that epoch. Without end.
    fn indices(self, epoch: u32, done: usize) -> impl Iterator<Item = (u32, Vec<i64>)> {
        (epoch..).enumerate().flat_map(move |(i, epoch)| {
            let order = epoch_order(self.seeds.order, epoch, self.images);
            let skipped = if i == 0 { done } else { 0 };
            let ranges = batches(self.images, self.batch_size).skip(skipped);
            ranges.map(move |range| (epoch, order[range].to_vec())).collect::<Vec<_>>()
        })
    }

    fn gathered(self, gather: &Gather, epoch: u32, indices: &[i64], by: By) -> Batch {
        let change = |&index: &i64| match self.augment {
            // Most runs draw nothing.
            none if none == Augment::default() => View { flip: false, top: 0, left: 0 },
            augment => change(augment, self.seeds.augment, epoch, index as u32),
        };
        let views: Vec<View> = indices.iter().map(change).collect();
        gather.batch(indices, &views, self.augment.crop, by)
    }

    fn selected(self, data: &Data, epoch: u32, indices: &[i64]) -> Batch {
        let (x, labels) = data.select(Split::Train, &Tensor::from_slice(indices).to_device(data.device()));
        (augmented(x, self.augment, (self.seeds.augment, epoch), indices), labels)
    }
}

/// Batch after batch.
pub(super) enum Batches<'d> {
    /// From the thread, which ends when this is dropped, to the device.
    Ahead(Receiver<Batch>, Device),
    /// Made as it is asked for.
    Now(Box<dyn Iterator<Item = Batch> + 'd>),
}

impl<'d> Batches<'d> {
    /// Those of `data` from `epoch` on, without the first `done` of that epoch.
    pub(super) fn begin(data: &'d Data, plan: Plan, epoch: u32, done: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let is_idle = data.device() != Device::Cpu || (tch::get_num_threads().unsigned_abs() as usize) < cores;
        let indices = plan.indices(epoch, done);
        match data.gather(Split::Train) {
            Some(gather) if is_idle => Self::ahead(gather, data.device(), plan, epoch, done),
            Some(gather) => Self::Now(Box::new(
                indices.map(move |(epoch, indices)| plan.gathered(&gather, epoch, &indices, By::Threads)),
            )),
            None => Self::Now(Box::new(indices.map(move |(epoch, indices)| plan.selected(data, epoch, &indices)))),
        }
    }

    fn ahead(gather: Gather, device: Device, plan: Plan, epoch: u32, done: usize) -> Self {
        let (sender, batches) = sync_channel(WAITING);
        thread::spawn(move || {
            for (epoch, indices) in plan.indices(epoch, done) {
                if sender.send(plan.gathered(&gather, epoch, &indices, By::Caller)).is_err() {
                    return;
                }
            }
        });
        Self::Ahead(batches, device)
    }

    /// The next batch.
    pub(super) fn next(&mut self) -> Batch {
        match self {
            Self::Ahead(batches, device) => {
                let (x, labels) = batches.recv().expect("the thread makes batches for as long as they are asked for");
                (x.to_device(*device), labels.to_device(*device))
            }
            Self::Now(batches) => batches.next().expect("there is no last batch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;
    use crate::random::{Purpose, Stream};
    use proptest::prelude::*;

    fn images(count: usize, shape: [u32; 3]) -> Images {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let pixels = (0..count * shape.iter().product::<u32>() as usize).map(|_| stream.below(256) as u8).collect();
        let labels = (0..count).map(|_| stream.below(10) as u8).collect();
        Images { pixels, labels, shape }
    }

    proptest! {
        #[test]
        fn a_batch_is_the_one_that_operations_on_tensors_make(
            flip: bool, crop in 0..9_u32, seed: u64, height in 1..9_u32, width in 1..9_u32, channels in 1..4_u32,
            batch_size in 1..9_usize, done in 0..3_usize,
        ) {
            let all = images(17, [channels, height, width]);
            let (mean, std) = (&[0.3, 0.5, 0.7][..channels as usize], &[0.2, 0.3, 0.4][..channels as usize]);
            let data = Data::new(&all, &all, mean, std, Device::Cpu);
            let plan = Plan { seeds: seed.into(), augment: Augment { flip, crop }, images: 17, batch_size };
            let gather = data.gather(Split::Train).expect("the images are here");
            let mut ahead = Batches::ahead(gather, Device::Cpu, plan, 2, done);
            let gather = data.gather(Split::Train).expect("the images are here");
            for (epoch, indices) in plan.indices(2, done).take(6) {
                let expected = plan.selected(&data, epoch, &indices);
                prop_assert_eq!(&plan.gathered(&gather, epoch, &indices, By::Threads), &expected);
                prop_assert_eq!(ahead.next(), expected);
            }
        }
    }

    #[test]
    fn an_epoch_begins_where_it_was_left() {
        let plan = Plan { seeds: 3.into(), augment: Augment::default(), images: 10, batch_size: 4 };
        let all: Vec<_> = plan.indices(1, 0).take(9).collect();
        assert_eq!(
            all.iter().map(|(epoch, batch)| (*epoch, batch.len())).collect::<Vec<_>>()[..4],
            [(1, 4), (1, 4), (1, 2), (2, 4)]
        );
        assert_eq!(plan.indices(1, 2).take(7).collect::<Vec<_>>(), all[2..]);
        assert_eq!(plan.indices(2, 0).take(6).collect::<Vec<_>>(), all[3..]);
    }
}
