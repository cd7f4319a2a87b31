//! How many alphas fit into memory, and what happens when fewer do.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use transect_common::model::Op;

use super::course::{Course, Role};
use crate::kernel::Shape;
use crate::probe::group::network::shapes;

/// What libtorch says on a CPU, on a GPU, and where cuBLAS or cuDNN have no room for themselves.
const SHORT: [&str; 3] = ["can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED"];

/// What a stack takes for each alpha: the most that is held at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Bytes for each image.
    image: usize,
    /// Bytes of parameters.
    parameters: usize,
}

impl Footprint {
    /// Of a line, where each operation may hold what it reads and gives twice: to lay it out otherwise, and to join alphas.
    pub(super) fn new(course: &Course) -> Self {
        let description = course.model().description();
        let shapes = shapes(description);
        let (mut held, mut most) = (vec![0; shapes.len()], 0);
        let mut parameters = 0;
        for (index, node) in description.nodes.iter().enumerate() {
            if course.roles()[index] == Role::Shared {
                continue;
            }
            let (result, before) = (shapes[index].len(), held.iter().sum::<usize>());
            let read: usize = node.inputs.iter().map(|&input| held[input]).sum();
            most = most.max(before + read + 2 * result + within(node.op, shapes[node.inputs[0]]));
            held[index] = result;
            for &input in node.inputs.iter().filter(|&&input| course.model().last_use()[input] == index) {
                held[input] = 0;
            }
            if let Some(layer) = node.op.layer().filter(|&layer| course.moves(layer)) {
                let own = description.layers[layer].parameters.clone();
                parameters = parameters.max(own.map(|parameter| description.parameters[parameter].len).sum());
            }
        }
        // Logits and their logarithms of probabilities in f64.
        most = most.max(held.iter().sum::<usize>() + 4 * shapes[shapes.len() - 1].len());
        Self { image: most * size_of::<f32>(), parameters: 2 * parameters * size_of::<f32>() }
    }

    /// Bytes for one alpha and that many images, at least 1.
    pub(super) fn bytes(self, images: usize) -> usize {
        (self.image * images + self.parameters).max(1)
    }
}

/// Numbers of one image that an operation holds within itself.
fn within(op: Op, input: Shape) -> usize {
    match op {
        // Queries, keys and values laid out by heads, and queries scaled; scores and their softmax.
        Op::Attention { heads } => input.len() + input.len() / 3 + 2 * heads as usize * input.h * input.h,
        _ => 0,
    }
}

/// Hands what `compute` makes of `count` places to `take`, in stacks of at most `most` places. Where libtorch is short of
/// memory `most` becomes half the stack, and the stack is computed again in smaller ones.
///
/// # Panics
/// When `compute` does, for want of memory only at a stack of one.
pub(super) fn in_stacks<T>(
    count: usize,
    most: &mut usize,
    compute: impl Fn(Range<usize>) -> T,
    mut take: impl FnMut(Range<usize>, T),
) {
    let mut start = 0;
    while start < count {
        // Stacks of nearly the same size.
        let left = count - start;
        let stack = start..start + left.div_ceil(left.div_ceil(*most));
        // What `compute` had made is dropped on the way; the rest it only reads.
        match catch_unwind(AssertUnwindSafe(|| compute(stack.clone()))) {
            Ok(made) => {
                start = stack.end;
                take(stack, made);
            }
            Err(panic) if stack.len() > 1 && is_short_of_memory(panic.as_ref()) => *most = stack.len() / 2,
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn is_short_of_memory(panic: &(dyn Any + Send)) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.is_some_and(|text| SHORT.iter().any(|short| text.contains(short)))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// Panics as libtorch does when there is not enough memory for more than `enough` places.
    fn work(places: usize, enough: usize) -> usize {
        if places > enough {
            let _ = Tensor::empty([1 << 55], (Kind::Float, Device::Cpu));
        }
        places
    }

    fn stacks(count: usize, mut most: usize, enough: usize) -> (Vec<Range<usize>>, usize) {
        let mut taken = vec![];
        in_stacks(
            count,
            &mut most,
            |stack| work(stack.len(), enough),
            |stack, places| {
                assert_eq!(places, stack.len());
                taken.push(stack);
            },
        );
        (taken, most)
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one stack is one range")]
    fn stacks_are_as_equal_as_can_be_and_no_larger_than_allowed() {
        assert_eq!(stacks(11, 20, 20), (vec![0..11], 20));
        assert_eq!(stacks(11, 10, 20), (vec![0..6, 6..11], 10));
        assert_eq!(stacks(7, 3, 20), (vec![0..3, 3..5, 5..7], 3));
        assert_eq!(stacks(0, 3, 20), (vec![], 3));
    }

    #[test]
    fn where_memory_is_short_stacks_are_halved_and_stay_so() {
        assert_eq!(stacks(11, 11, 3), (vec![0..2, 2..4, 4..6, 6..8, 8..10, 10..11], 2));
        assert_eq!(stacks(3, 3, 1), (vec![0..1, 1..2, 2..3], 1));
    }

    #[test]
    fn a_stack_of_one_that_does_not_fit_is_an_error_and_so_is_anything_else() {
        let error = catch_unwind(|| stacks(3, 3, 0)).unwrap_err();
        assert!(is_short_of_memory(error.as_ref()));
        let other = catch_unwind(|| in_stacks(2, &mut 2, |_| panic!("a bug"), |_, ()| ())).unwrap_err();
        assert_eq!(other.downcast_ref::<&str>(), Some(&"a bug"));
        assert!(is_short_of_memory(&"CUDA out of memory. Tried to allocate 20.00 MiB".to_owned()));
        assert!(is_short_of_memory(&"CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling".to_owned()));
    }
}
