#!/bin/sh
# Install the packages of apt.txt that are missing. Needs root or sudo only when one is.
set -eu
cd "$(dirname "$0")"

command -v dpkg-query >/dev/null || { echo "apt: not Debian or Ubuntu; install by hand: $(sed 's/ *#.*//' apt.txt | xargs)"; exit 0; }

missing=""
for package in $(sed 's/ *#.*//' apt.txt); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || { echo "apt: all packages are there"; exit 0; }

sudo=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "error: packages missing:$missing; ask an administrator for: apt-get install$missing" >&2; exit 1; }
    sudo="sudo"
fi
echo "apt: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq || { echo "error: apt-get update failed; is the network up?" >&2; exit 1; }
# Unquoted on purpose: one argument a package.
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
    echo "error: apt-get install$missing failed; see the lines above" >&2; exit 1; }
