#!/usr/bin/env bash
# Builds the `spillway` command and runs `spillway demo`, with the arguments given.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_packages build
# A tree that is configured already stays as it is.
options=()
if ! is_configured release; then
  options=(-DSPILLWAY_TESTS=OFF -DSPILLWAY_EXAMPLES=OFF -DSPILLWAY_BENCH=OFF)
fi
configure_and_build release spillway "${options[@]}"
exec "$root/build/release/apps/spillway" demo "$@"
