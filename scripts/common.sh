# What the scripts share. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# packages_of SECTION...: the packages of these sections of packages.txt, one a line.
packages_of() {
  local section
  for section in "$@"; do
    awk -v wanted="$section:" '
      { sub(/#.*/, "") }
      /:[ \t]*$/ { here = ($1 == wanted); found = found || here; next }
      here && NF { print $1 }
      END { exit !found }' "$root/scripts/packages.txt" || die "packages.txt has no section $section"
  done
}

is_debian_like() {
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null &&
    grep -Eqs '^ID(_LIKE)?=.*debian|^ID=.?ubuntu' /etc/os-release
}

# need_packages SECTION...: installs what is missing of these sections; silent if nothing is.
# SPILLWAY_PACKAGES=present skips the check, for systems that name their packages otherwise.
need_packages() {
  [[ ${SPILLWAY_PACKAGES:-} != present ]] || return 0
  local list needed installed package missing=()
  list=$(packages_of "$@")
  mapfile -t needed <<<"$list"

  if ! is_debian_like; then
    die "this needs what Debian calls: ${needed[*]}
Install them, then run this again with SPILLWAY_PACKAGES=present."
  fi

  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${needed[@]}" 2>/dev/null || true)
  for package in "${needed[@]}"; do
    grep -Fqx "installed $package" <<<"$installed" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  local as_root=() install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "packages are missing; as root, run: apt-get update && ${install[*]}"
    as_root=(sudo)
  fi
  printf 'installing %s\n' "${missing[*]}" >&2

  # An index that can't be refreshed need not matter; whether the packages come does.
  local log=$root/build/packages.log reason
  mkdir -p "$root/build"
  "${as_root[@]}" apt-get update >"$log" 2>&1 || true
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" >>"$log" 2>&1 </dev/null; then
    reason=$(grep -m 1 '^E: ' "$log" || tail -n 1 "$log")
    die "apt-get could not install the packages: ${reason#E: } (log: build/packages.log)"
  fi
}

# Whether build/PRESET is a configured tree of this checkout, not of one that was moved or copied.
is_configured() {
  [[ -f $root/build/$1/build.ninja ]] &&
    grep -Fqsx "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$root/build/$1/CMakeCache.txt"
}

# Runs a command, appends its output to $log, and tells a terminal how far ninja is.
logged() {
  local line
  "$@" 2>&1 | while IFS= read -r line || [[ -n $line ]]; do
    printf '%s\n' "$line" >>"$log"
    if [[ -t 2 && $line =~ ^\[([0-9]+/[0-9]+)\] ]]; then
      printf '\r\033[K%s: building, %s' "$preset" "${BASH_REMATCH[1]}" >&2
    fi
  done
}

# configure_and_build PRESET [TARGET...] [-DNAME=VALUE...]: configures build/PRESET, if it isn't yet
# or options are given, and builds the targets (default: all). Says so in one line on stderr; shows
# the log if it fails.
configure_and_build() {
  local preset=$1 targets=() options=() argument
  shift
  for argument in "$@"; do
    if [[ $argument == -D* ]]; then options+=("$argument"); else targets+=("$argument"); fi
  done
  is_configured "$preset" || options+=(--fresh)

  local directory=$root/build/$preset start=$SECONDS clear='' good=true
  local log=$directory/build.log
  mkdir -p "$directory"
  : >"$log"
  if [[ -t 2 ]]; then clear='\r\033[K'; fi
  printf '%s: building' "$preset" >&2
  if ((${#options[@]})); then
    logged cmake -S "$root" --preset "$preset" "${options[@]}" || good=false
  fi
  if $good; then
    logged cmake --build "$directory" ${targets[@]:+--target "${targets[@]}"} || good=false
  fi
  if $good; then
    printf "${clear:-, }%s\n" "${clear:+$preset: }built in $((SECONDS - start)) s" >&2
    return
  fi
  printf '\n' >&2
  # Without the progress lines of ninja and cmake.
  sed -E '/^\[[0-9]+\/[0-9]+\] |^-- /d' "$log" >&2
  die "the build of preset $preset failed (log: build/$preset/build.log)"
}
