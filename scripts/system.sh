#!/usr/bin/env bash
# Makes sure that the Debian packages the project needs are there, installing what is missing when run as root.
#
# Usage: scripts/system.sh [build|demo|test]...
#   build   a C++ compiler, for the bindings of libtorch
#   demo    Fashion-MNIST, and sqlite3 for looking at the results
#   test    what demo needs, and Postgres, of which tests start a server by themselves
# Safe to run twice: packages that are there are left alone.
set -euo pipefail

has_compiler() { command -v c++ >/dev/null 2>&1; }
has_sqlite() { command -v sqlite3 >/dev/null 2>&1; }
has_postgres() { command -v initdb >/dev/null 2>&1 || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; }
has_fashion_mnist() { [ -e "${TRANSECT_DATA:-/nowhere}/fashion-mnist/train-images-idx3-ubyte.gz" ] ||
    [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; }

missing=()
want() {
    "$2" || missing+=("$1")
}
for purpose in "$@"; do
    case $purpose in
    build) want g++ has_compiler ;;
    demo | test)
        want sqlite3 has_sqlite
        want dataset-fashion-mnist has_fashion_mnist
        [ "$purpose" = demo ] || want postgresql has_postgres
        ;;
    *)
        echo "system: no such purpose: $purpose (build, demo or test)" >&2
        exit 2
        ;;
    esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

# A package may have been wanted for two purposes.
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "system: these Debian packages are missing: ${missing[*]}. Install them as root with: $install" >&2
    exit 1
fi
echo "system: installing ${missing[*]} from Debian"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # the command is made of words
$install -qq >/dev/null 2>&1 || { apt-get update -qq && $install -qq >/dev/null; } || {
    echo "system: apt-get could not install ${missing[*]}. Check that this machine reaches a Debian mirror, then run: apt-get update && $install" >&2
    exit 1
}
