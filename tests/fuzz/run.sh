#!/bin/sh
# run.sh [SECONDS [PARSER...]] - builds the libFuzzer targets and runs each for SECONDS (30).
# The corpus stays in build-fuzz/corpus; a finding is an input in build-fuzz/findings, and exit code 1.
set -eu
seconds=${1:-30}
[ $# -gt 0 ] && shift
cd "$(dirname "$0")/../.."
build=${SENET_FUZZ_BUILD:-build-fuzz}

if ! command -v clang > /dev/null; then
    echo "fuzzing needs clang" >&2
    exit 77
fi
CC=clang cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g1" -DSENET_FUZZ=ON \
    -DCMAKE_C_FLAGS=-fsanitize=fuzzer-no-link -DSENET_SANITIZE=address,undefined -DSENET_BENCH=OFF > /dev/null

parsers=${*:-$(for harness in tests/fuzz/fuzz_*.c; do basename "$harness" .c | sed 's/^fuzz_//'; done)}
targets=$(for parser in $parsers; do echo "fuzz_$parser replay_$parser"; done)
# shellcheck disable=SC2086 # names of targets, one word each
cmake --build "$build" --target $targets

found=0
for parser in $parsers; do
    seeds=$build/seeds/$parser corpus=$build/corpus/$parser
    mkdir -p "$seeds" "$corpus" "$build/findings"
    "$(find "$build" -name "replay_$parser" -type f | head -n 1)" --seeds "$seeds"
    echo "fuzz_$parser: $seconds seconds"
    "$(find "$build" -name "fuzz_$parser" -type f | head -n 1)" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
        -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 -artifact_prefix="$build/findings/$parser-" "$corpus" "$seeds" || found=1
done
exit $found
