#!/usr/bin/env bash
# Everything that can be wrong without running the project: format, clippy, unused dependencies, SQL, proto, shell.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "lint: rustfmt"
cargo fmt --all --check
echo "lint: clippy"
cargo clippy --release --locked --workspace --all-targets -- -D warnings
echo "lint: unused dependencies (cargo-machete)"
if [ ! -x .deps/bin/cargo-machete ]; then
    cargo install --quiet --locked --root .deps --version 0.9.2 cargo-machete
fi
.deps/bin/cargo-machete
echo "lint: licences, bans, duplicates and sources of dependencies (deny.toml)"
cargo test --profile tested --locked --quiet --workspace --test dependencies
if command -v cargo-deny >/dev/null; then
    echo "lint: advisories (cargo-deny fetches its database from GitHub)"
    cargo deny --all-features check advisories
else
    echo "lint: advisories are not checked: no package registry carries their database (docs/security.md); cargo-deny would"
fi
echo "lint: every SQL statement prepares, every proto element is documented"
cargo test --profile tested --locked --quiet --workspace --test proto_lint
cargo test --profile tested --locked --quiet --workspace --test store_sqlite --test store_postgres statement
echo "lint: clean"
