#!/usr/bin/env bash
# Draws the plots of docs/filters.md: an SVG beside each YAML file in docs/filters. With file names
# without suffix, such as `notch peak`, only those.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case "${1:-}" in
  --help | -h)
    echo "usage: scripts/filter_plots.sh [NAME...]"
    exit
    ;;
  -*) die "unknown option $1; usage: scripts/filter_plots.sh [NAME...]" ;;
esac

spillway=$root/build/release/apps/spillway
[[ -x $spillway ]] || die "build/release/apps/spillway is not there; scripts/demo.sh builds it"

cd "$root/docs/filters"
names=("$@")
if ((${#names[@]} == 0)); then
  names=(*.yaml)
  names=("${names[@]%.yaml}")
fi
for name in "${names[@]}"; do
  [[ -f $name.yaml ]] || die "there is no docs/filters/$name.yaml"
  "$spillway" response "$name.yaml" --rate 1000 --force -o "$name.svg"
done
