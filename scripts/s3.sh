#!/usr/bin/env bash
# Installs the S3 server that the tests of artifacts talk to: s3s-fs of crates.io, a program over a folder, into .deps/bin.
#
# Safe to run twice: cargo leaves the installed version alone.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.14.1
if [ -x .deps/bin/s3s-fs ] && [ "$(.deps/bin/s3s-fs --version)" = "s3s-fs $version" ]; then
    exit 0
fi
echo "s3: installing s3s-fs $version from crates.io into .deps/bin (about four minutes on two cores)"
# A server for small tests: what matters is how soon it is built.
if ! CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo install --quiet --debug --locked --root .deps \
    --target-dir .deps/build-s3 --version "$version" --features binary s3s-fs; then
    echo "s3: cargo could not install s3s-fs $version. Check that this machine reaches crates.io, then run the same command again." >&2
    exit 1
fi
rm -rf .deps/build-s3
