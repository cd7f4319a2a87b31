#!/usr/bin/env python3
"""Converts a PyTorch file of weights (a state dict in a .pth, old or new format) to safetensors.

    python3 scripts/weights.py IN.pth OUT.safetensors

Needs nothing but Python. Of the pickle inside only what a state dict is made of is run; anything else is refused.
Formats: torch/serialization.py (`_legacy_load`, `_load`); https://github.com/huggingface/safetensors#format.
"""

import collections
import json
import math
import pickle
import struct
import sys
import zipfile

# Storage class: safetensors' name of its type, and bytes of a number.
TYPES = {
    "FloatStorage": ("F32", 4),
    "DoubleStorage": ("F64", 8),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "BoolStorage": ("BOOL", 1),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

Storage = collections.namedtuple("Storage", "key dtype size")
Tensor = collections.namedtuple("Tensor", "storage offset shape stride")


class StateDict(pickle.Unpickler):
    """Reads tensors as places in their storages."""

    def find_class(self, module, name):
        if module == "torch" and name in TYPES:
            return name
        found = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, stride, *_: Tensor(
                storage, offset, shape, stride
            ),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a state dict")
        return found

    def persistent_load(self, saved):
        _, storage, key, *_ = saved
        return Storage(key, *TYPES[storage])


def in_order(storage, tensor):
    """The tensor's bytes, the last dimension fastest, whatever its strides are."""
    unit = {1: "B", 2: "H", 4: "I", 8: "Q"}[tensor.storage.size]
    numbers = memoryview(storage).cast(unit)
    dims = [(length, stride) for length, stride in zip(tensor.shape, tensor.stride) if length != 1]
    out = bytearray()

    def walk(at, dims):
        if not dims:
            out.extend(numbers[at : at + 1].tobytes())
        elif len(dims) == 1:
            (length, stride), end = dims[0], at + dims[0][0] * dims[0][1]
            out.extend(numbers[at:end:stride].tobytes() if length else b"")
        else:
            (length, stride), *inner = dims
            for i in range(length):
                walk(at + i * stride, inner)

    walk(tensor.offset, dims)
    return bytes(out)


def read(path):
    """The state dict, and the bytes of each of its storages."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (index,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(index) as file:
                state = StateDict(file).load()
            folder = index.removesuffix("data.pkl") + "data/"
            keys = {tensor.storage.key for tensor in state.values()}
            return state, {key: archive.read(folder + key) for key in keys}
    with open(path, "rb") as file:
        if pickle.load(file) != LEGACY_MAGIC:
            raise ValueError("not a PyTorch file")
        pickle.load(file)  # version of the format
        pickle.load(file)  # sizes and byte order of the machine that wrote it
        state = StateDict(file).load()
        size = {tensor.storage.key: tensor.storage.size for tensor in state.values()}
        storages = {}
        for key in pickle.load(file):
            (count,) = struct.unpack("<q", file.read(8))
            storages[key] = file.read(count * size[key])
        return state, storages


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: python3 scripts/weights.py IN.pth OUT.safetensors")
    state, storages = read(sys.argv[1])
    header, parts, end = {}, [], 0
    for name, tensor in state.items():
        part = in_order(storages[tensor.storage.key], tensor)
        if len(part) != math.prod(tensor.shape) * tensor.storage.size:
            sys.exit(f"weights: {name} is cut off")
        shape = list(tensor.shape)
        header[name] = {"dtype": tensor.storage.dtype, "shape": shape, "data_offsets": [end, end + len(part)]}
        parts.append(part)
        end += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[2], "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.writelines(parts)


if __name__ == "__main__":
    main()
