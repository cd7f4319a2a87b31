//! Opening a device by name, and saying what it is.
//!
//! One binary serves CPU and GPU: it links libtorch's CPU library alone, and loads `libtorch_cuda.so` when a CUDA device
//! is asked for. libtorch looks for CUDA once, at the first question about it, so the load comes before.

use std::sync::OnceLock;

use tch::{Cuda, Device};

/// A device cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not a device's name.
    #[error("`{0}` is not a device: use `cpu`, or `cuda:N` with N from 0")]
    Name(String),
    /// libtorch's CUDA library is not to be had.
    #[error(
        "device {device} was asked for, but libtorch's CUDA library cannot be loaded ({reason}). Build with LIBTORCH \
         pointing at a full torch {} for CUDA, or put its lib folder into LD_LIBRARY_PATH; or use `cpu`",
        libtorch_version()
    )]
    Library {
        /// The device.
        device: String,
        /// What the loader said.
        reason: String,
    },
    /// There is no such device.
    #[error(
        "device {device} was asked for, but this machine shows {count} CUDA device(s). Check `nvidia-smi` and \
         CUDA_VISIBLE_DEVICES, or use `cpu`"
    )]
    Missing {
        /// The device.
        device: String,
        /// How many there are.
        count: i64,
    },
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// libtorch's version: `2.11.0`.
    pub libtorch: String,
    /// The instruction set that libtorch's CPU kernels use: `DEFAULT`, `AVX2` or `AVX512`. Results depend on it.
    pub cpu_capability: String,
    /// The processor's or the GPU's name; empty when unknown.
    pub device_name: String,
    /// Its memory in bytes; 0 when unknown.
    pub memory_bytes: u64,
}

/// Opens `cpu` or `cuda:N`.
///
/// # Errors
/// When the name is neither, or the device is missing: it is never replaced by another.
pub fn open(name: &str) -> Result<Device, DeviceError> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index: usize = name
        .strip_prefix("cuda:")
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| DeviceError::Name(name.to_owned()))?;
    load_cuda().map_err(|reason| DeviceError::Library { device: name.to_owned(), reason })?;
    let count = Cuda::device_count();
    if index as i64 >= count {
        return Err(DeviceError::Missing { device: name.to_owned(), count });
    }
    Ok(Device::Cuda(index))
}

/// Says what an opened device is.
pub fn describe(device: Device) -> DeviceInfo {
    let (device_name, memory_bytes) = match device {
        Device::Cuda(index) => (gpu_name(index).unwrap_or_default(), 0),
        _ => (cpu_info("model name").unwrap_or_default(), memory_bytes().unwrap_or(0)),
    };
    DeviceInfo { libtorch: libtorch_version().to_owned(), cpu_capability: cpu_capability(), device_name, memory_bytes }
}

/// The version of the libtorch that this was built with.
pub fn libtorch_version() -> &'static str {
    env!("TRANSECT_LIBTORCH_VERSION")
}

/// Loads libtorch's CUDA library for the life of the process.
fn load_cuda() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(load_cuda_library).clone()
}

#[expect(unsafe_code, reason = "the initialisers of a shared library run when it is loaded")]
fn load_cuda_library() -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: libtorch_cuda.so registers itself with the libtorch_cpu.so of the same build; it is never unloaded.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    })?;
    std::mem::forget(library);
    Ok(())
}

/// As libtorch chooses it (`compute_cpu_capability` in `aten/src/ATen/native/DispatchStub.cpp`), which tch does not
/// expose: `ATEN_CPU_CAPABILITY` when it names one, else what the processor's flags allow.
fn cpu_capability() -> String {
    match std::env::var("ATEN_CPU_CAPABILITY").as_deref() {
        Ok("avx512") => return "AVX512".to_owned(),
        Ok("avx2") => return "AVX2".to_owned(),
        Ok("default") => return "DEFAULT".to_owned(),
        _ => {}
    }
    capability_of(&cpu_info("flags").unwrap_or_default()).to_owned()
}

fn capability_of(flags: &str) -> &'static str {
    let has = |names: &[&str]| names.iter().all(|name| flags.split_whitespace().any(|flag| flag == *name));
    if has(&["avx512vl", "avx512bw", "avx512dq", "fma"]) {
        "AVX512"
    } else if has(&["avx2", "fma"]) {
        "AVX2"
    } else {
        "DEFAULT"
    }
}

/// A field of the first processor of `/proc/cpuinfo`.
fn cpu_info(field: &str) -> Option<String> {
    field_of(&std::fs::read_to_string("/proc/cpuinfo").ok()?, field)
}

/// The machine's memory.
fn memory_bytes() -> Option<u64> {
    let total = field_of(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")?;
    let kib: u64 = total.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The name that the NVIDIA driver gives the GPU. The driver lists GPUs in the order of their bus addresses, as CUDA does
/// with `CUDA_DEVICE_ORDER=PCI_BUS_ID`; with one kind of GPU in a machine the order does not matter.
fn gpu_name(index: usize) -> Option<String> {
    let mut folders: Vec<_> =
        std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    field_of(&std::fs::read_to_string(folders.get(index)?.join("information")).ok()?, "Model")
}

/// The value of `field` in lines of `field : value`.
fn field_of(text: &str, field: &str) -> Option<String> {
    let line = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == field).then(|| value.trim())
    })?;
    Some(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cpu_and_numbered_cuda_are_names() {
        assert_eq!(open("cpu"), Ok(Device::Cpu));
        for name in ["", "CPU", "cuda", "cuda:", "cuda:-1", "cuda:+1", "cuda:1.5", "gpu:0", "cuda:99999999999999999999"]
        {
            assert_eq!(open(name), Err(DeviceError::Name(name.to_owned())), "{name}");
        }
    }

    #[test]
    fn a_missing_gpu_is_an_error_and_never_the_cpu() {
        let name = "cuda:4096";
        let error = open(name).unwrap_err();
        assert!(matches!(error, DeviceError::Library { .. } | DeviceError::Missing { .. }), "{error:?}");
        let sentence = error.to_string();
        assert!(sentence.starts_with("device cuda:4096 was asked for, but"), "{sentence}");
        assert!(sentence.ends_with("or use `cpu`"), "{sentence}");
    }

    #[test]
    fn the_cpu_says_what_it_is() {
        let info = describe(Device::Cpu);
        assert_eq!(info.libtorch, "2.11.0");
        assert!(info.memory_bytes > 1 << 20, "{info:?}");
        assert!(["DEFAULT", "AVX2", "AVX512"].contains(&info.cpu_capability.as_str()), "{info:?}");
    }

    #[test]
    fn the_capability_follows_the_flags() {
        assert_eq!(capability_of("sse2 avx fma"), "DEFAULT");
        assert_eq!(capability_of("fma avx2"), "AVX2");
        assert_eq!(capability_of("avx2 avx512bw avx512dq avx512vl fma"), "AVX512");
        assert_eq!(capability_of("avx2 avx512bw avx512dq avx512vl"), "DEFAULT");
    }
}
