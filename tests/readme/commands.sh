#!/usr/bin/env bash
# commands.sh ROOT SPILLWAY DOCUMENT...: in the shell blocks (```sh, ```bash, ```console) of the
# documents, what is run from this checkout exists: scripts and other files by their path from ROOT,
# presets of CMake, and subcommands and long options of the command SPILLWAY, according to --help.
# A block with prompts ("$ ") has commands in these lines alone; the rest is output.
set -euo pipefail

root=$1 spillway=$2
shift 2
failures=0 commands=0

complain() {
  printf '%s: %s\n' "$place" "$1" >&2
  failures=$((failures + 1))
}

has_word() { grep -Eq -- "(^|[^[:alnum:]-])$1([^[:alnum:]-]|$)" <<<"$2"; }

check_spillway() {
  local subcommand='' help word
  help=$("$spillway" --help)
  if [[ ${1:-} == [a-z]* ]]; then
    subcommand=$1
    shift
    if ! has_word "$subcommand" "$help" || ! help=$("$spillway" "$subcommand" --help 2>&1); then
      complain "there is no command 'spillway $subcommand'"
      return 0
    fi
  fi
  for word in "$@"; do
    if [[ $word == --?* ]] && ! has_word "${word%%=*}" "$help"; then
      complain "'spillway${subcommand:+ $subcommand}' has no option ${word%%=*}"
    fi
  done
}

check_command() {
  local words word
  read -ra words <<<"$1"
  # Settings of the environment, and commands that run others.
  while [[ ${words[0]:-} == *=* || ${words[0]:-} =~ ^(sudo|time|exec)$ ]]; do
    words=("${words[@]:1}")
  done
  ((${#words[@]})) || return 0
  commands=$((commands + 1))
  case ${words[0]} in
    spillway | */apps/spillway) check_spillway "${words[@]:1}" ;;
    scripts/* | ./* | .ci/* | examples/*)
      [[ -x $root/${words[0]} ]] || complain "there is no program ${words[0]}"
      ;;
    cmake)
      if [[ $1 =~ --preset[\ =]([a-z]+) ]] &&
        ! grep -q "\"configurePreset\": \"${BASH_REMATCH[1]}\"" "$root/CMakePresets.json"; then
        complain "there is no preset ${BASH_REMATCH[1]}"
      fi
      ;;
  esac
  # Files of this checkout that are given to commands.
  for word in "${words[@]:1}"; do
    if [[ $word =~ ^(scripts|examples|docs)/[^*\<]+$ && ! -e $root/$word ]]; then
      complain "there is no file $word"
    fi
  done
}

check_block() {
  local line part parts prompts=false
  if [[ $'\n'$1 == *$'\n$ '* ]]; then prompts=true; fi
  while read -r line; do
    if $prompts; then
      [[ $line == '$ '* ]] || continue
      line=${line#'$ '}
    fi
    line=${line%% #*}
    [[ -n $line && $line != '#'* ]] || continue
    # The commands of a list or a pipeline, one by one.
    line=${line//'&&'/$'\n'} line=${line//'||'/$'\n'}
    mapfile -t parts <<<"${line//[|;]/$'\n'}"
    for part in "${parts[@]}"; do check_command "$part"; done
  done <<<"$1"
}

for document in "$@"; do
  block='' inside=false number=0 place=$document
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    if $inside && [[ $line == '```'* ]]; then
      check_block "${block//$'\\\n'/ }"
      inside=false
    elif $inside; then
      block+=$line$'\n'
    elif [[ $line =~ ^'```'(sh|bash|console)$ ]]; then
      inside=true block='' place=${document#"$root/"}:$number
    fi
  done <"$document"
done

printf '%d commands\n' "$commands"
((failures == 0))
