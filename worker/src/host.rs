//! Numbers of tensors in this process's own memory, as slices: what runs over them once needs no operation of libtorch.

#![expect(
    unsafe_code,
    reason = "libtorch gives a pointer to a tensor's numbers; that it may be followed is checked here"
)]

use tch::kind::Element;
use tch::{Device, Tensor};

/// The numbers of a tensor.
///
/// # Panics
/// When it is not on the CPU, not contiguous or of another kind.
pub fn numbers<T: Element>(tensor: &Tensor) -> &[T] {
    check::<T>(tensor);
    // SAFETY: `check` proved that so many numbers of this kind lie there in a row; `tensor` keeps them alive.
    unsafe { std::slice::from_raw_parts(pointer(tensor), tensor.numel()) }
}

/// The numbers of a tensor, to be changed.
///
/// # Panics
/// As [`numbers`] does.
pub fn numbers_mut<T: Element>(tensor: &mut Tensor) -> &mut [T] {
    check::<T>(tensor);
    // SAFETY: as above. Tensors that share this memory are not read while the slice lives: each caller holds all that do.
    unsafe { std::slice::from_raw_parts_mut(pointer::<T>(tensor).cast_mut(), tensor.numel()) }
}

/// True for a tensor whose numbers these functions give.
pub fn has<T: Element>(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == T::KIND && !tensor.is_mkldnn() && tensor.is_contiguous()
}

fn check<T: Element>(tensor: &Tensor) {
    assert!(has::<T>(tensor), "not a contiguous {:?} tensor on the CPU: {tensor:?}", T::KIND);
}

/// Never null, so that an empty slice may be made of it.
fn pointer<T>(tensor: &Tensor) -> *const T {
    if tensor.numel() == 0 { std::ptr::NonNull::dangling().as_ptr() } else { tensor.data_ptr().cast() }
}
