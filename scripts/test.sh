#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'END'
usage: scripts/test.sh [--sanitizers] [--full]

Checks the format, builds everything (preset release) and runs all tests, those of the
installed package, the examples and the code in the documentation included.

  --sanitizers  also under the address and undefined-behaviour sanitizers (preset asan) and
                the thread sanitizer (preset tsan)
  --full        long counts in the randomised and stress tests
  --help        this text
END
}

sanitizers=false
for argument in "$@"; do
  case $argument in
    --sanitizers) sanitizers=true ;;
    --full) export SPILLWAY_TEST_FULL=1 ;;
    --help | -h)
      usage
      exit
      ;;
    *)
      usage >&2
      die "unknown option $argument"
      ;;
  esac
done

# Nothing is suppressed but what HDF5 itself leaks in the tests that make its file operations fail,
# and the first finding ends a test.
export ASAN_OPTIONS=halt_on_error=1:detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

run_tests() {
  local preset=$1
  shift
  printf '%s: testing\n' "$preset"
  ctest --test-dir "$root/build/$preset" -j2 --output-on-failure --no-tests=error "$@"
}

if $sanitizers; then need_packages build test sanitizers; else need_packages build test; fi
"$root/scripts/format.sh" --check

everything=(-DSPILLWAY_TESTS=ON -DSPILLWAY_EXAMPLES=ON)
configure_and_build release "${everything[@]}" -DSPILLWAY_BENCH=ON

if $sanitizers; then
  configure_and_build asan "${everything[@]}"
  run_tests asan || die "tests failed under the address and undefined-behaviour sanitizers"

  # In a subshell, so that the release tests run as usual. The address space of some kernels
  # is more random than the thread sanitizer of older compilers can take; without
  # randomisation it always works. The build runs test programs too, to list their tests.
  (
    if setarch -R true 2>/dev/null; then
      # shellcheck disable=SC2317  # called by configure_and_build
      cmake() { setarch -R cmake "$@"; }
      ctest() { setarch -R ctest "$@"; }
    fi
    configure_and_build tsan -DSPILLWAY_TESTS=ON tests/{channels,filters,storage,engine}/all
    # What a simulated disk is left with is looked at by one thread.
    run_tests tsan -L '^(channels|filters|storage|engine)$' -E '^storage_breaking: ?(power cuts|damage)'
  ) || die "build or tests failed under the thread sanitizer"
fi

# Last, so that the output ends with the verdict.
run_tests release
