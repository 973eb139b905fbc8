#!/usr/bin/env bash
# Formats the C++ sources; with --check, tells what is not formatted and changes nothing.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  "") mode=(-i) ;;
  --check) mode=(--dry-run -Werror) ;;
  --help | -h)
    echo "usage: scripts/format.sh [--check]"
    exit
    ;;
  *) die "unknown option $1; usage: scripts/format.sh [--check]" ;;
esac

# Versions differ in what they make of the same style; this one's layout counts.
version=14
tool=clang-format-$version
command -v "$tool" >/dev/null || tool=clang-format
command -v "$tool" >/dev/null || die "clang-format is not installed"
if [[ ${1:-} == --check && $("$tool" --version) != *"version $version."* ]]; then
  echo "format: not checked, that takes clang-format $version" >&2
  exit
fi

cd "$root"
sources() {
  # A source archive has no git.
  git ls-files -z -co --exclude-standard '*.hpp' '*.cpp' 2>/dev/null ||
    find . -path ./build -prune -o -path ./out -prune -o \
      -type f \( -name '*.hpp' -o -name '*.cpp' \) -print0
}
mapfile -d '' -t files < <(sources)
existing=()  # git also lists what was deleted and not staged yet
for file in "${files[@]}"; do
  if [[ -f $file ]]; then existing+=("$file"); fi
done
((${#existing[@]})) || die "no sources found"
output=$(printf '%s\0' "${existing[@]}" | xargs -0 "$tool" --style=file "${mode[@]}" 2>&1) || {
  # The files alone, not every place in them.
  unformatted=$(sed -nE 's/^([^:]+):[0-9]+:[0-9]+: error: code should be .*/  \1/p' <<<"$output" | sort -u)
  [[ -n $unformatted ]] || die "$tool failed: $output"
  printf '%s\n' "$unformatted" >&2
  die "these files are not formatted; scripts/format.sh formats them"
}
if [[ ${1:-} == --check ]]; then echo "format: good" >&2; fi
