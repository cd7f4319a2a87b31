#!/usr/bin/env bash
# Installs the lean libtorch that `tch` links: three PyPI wheels without their dependencies, and a link folder.
#
# .deps/python        the wheels: torch 2.11.0 and the two CUDA runtime libraries it names even on a CPU
# .deps/libtorch      what LIBTORCH points at: include/, and lib/ with only the CPU libraries
#
# Safe to run twice: a finished installation is recognised by its stamp and left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

torch=2.11.0
stamp=.deps/libtorch/.complete-$torch
[ -e "$stamp" ] && exit 0

echo "libtorch: installing torch $torch from PyPI without its dependencies into .deps/ (about 1 GB)"
python3 -m pip --version >/dev/null 2>&1 || {
    echo "libtorch: python3 has no pip. Install it with: apt-get install -y python3-pip" >&2
    exit 1
}
rm -rf .deps/python .deps/libtorch
# --ignore-installed: a torch elsewhere on this machine must not stand in for the one we link.
if ! python3 -m pip install --quiet --no-deps --ignore-installed --root-user-action=ignore --target .deps/python \
    "torch==$torch" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*'; then
    echo "libtorch: pip could not install torch $torch. Check that this machine reaches PyPI and has 3 GB free, then run the same command again." >&2
    exit 1
fi

mkdir -p .deps/libtorch/lib
cd .deps/libtorch
ln -s ../python/torch/include include
# libtorch_cpu.so asks for the last three by name; the loader finds them beside it.
for file in torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libgomp.so.1 \
    nvidia/cu13/lib/libcudart.so.13 nvidia/cu13/lib/libcupti.so.13; do
    [ -e "../python/$file" ] || {
        echo "libtorch: the wheels do not hold $file, so they are not the ones this project was written for." >&2
        exit 1
    }
    ln -s "../../python/$file" lib/
done
# The real libtorch.so would pull in CUDA; this linker script asks for the CPU library alone.
echo 'INPUT ( -ltorch_cpu )' > lib/libtorch.so
touch ".complete-$torch"
echo "libtorch: ready in .deps/libtorch"
