# common.sh - the vocabulary of the tests of the program.  Sourced first by every test; stands in a new empty folder.
set -u
: "${SENET:?the program under test}" "${HELPER:?tests/cli/helper}"
tests=$(cd "$(dirname "$0")" && pwd)
shared=${SENET_SHARED:-$tests/../../../shared}
work=$(mktemp -d)
trap 'chmod -R u+w "$work" 2> /dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

# complain TEXT: this test has failed; what follows runs all the same.
complain() {
    echo "FAILED: $*"
    echo "  standard output: $(head -c 600 out 2> /dev/null)"
    echo "  standard error:  $(head -c 600 err 2> /dev/null)"
    failures=$((failures + 1))
}

# expect CODE ARGUMENTS...: the program ends with CODE; its output is in `out` and `err`.
expect() {
    wanted=$1
    shift
    "$SENET" "$@" > out 2> err
    code=$?
    [ $code -eq "$wanted" ] || complain "senet $*: exit code $code, not $wanted"
}

# refuse CODE TEXT ARGUMENTS...: the program ends with CODE, prints nothing on standard output and one line with TEXT on
# standard error.
refuse() {
    wanted=$1 text=$2
    shift 2
    "$SENET" "$@" > out 2> err
    code=$?
    [ $code -eq "$wanted" ] || complain "senet $*: exit code $code, not $wanted"
    [ -s out ] && complain "senet $*: prints on standard output"
    [ "$(wc -l < err)" -eq 1 ] || complain "senet $*: $(wc -l < err) lines on standard error, not one"
    grep -qF -e "$text" err || complain "senet $*: the message does not say '$text'"
}

# says TEXT / tells TEXT: standard output / standard error of the last command has TEXT.
says() { grep -qF -e "$1" out || complain "standard output does not say '$1'"; }
tells() { grep -qF -e "$1" err || complain "standard error does not say '$1'"; }

# member KEY...: prints a member of the JSON value in `out`.
member() { "$HELPER" json out "$@"; }

# has VALUE KEY...: that member of the JSON value in `out` is VALUE.
has() {
    value=$1
    shift
    found=$("$HELPER" json out "$@" 2>&1)
    [ "$found" = "$value" ] || complain "member $*: $found, not $value"
}

# number KEY...: that member of the JSON value in `out` is a number.
number() {
    found=$("$HELPER" json out "$@" 2>&1)
    case $found in
    '' | *[!0-9.eE+-]*) complain "member $*: $found, not a number" ;;
    esac
}

# unchanged FILE FILE: the two are the same to the byte.
unchanged() { cmp -s "$1" "$2" || complain "$1 and $2 differ"; }

# put_byte FILE OFFSET OCTAL: replaces one byte.
put_byte() { printf "\\$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null; }

# A small network with trained-looking weights: weights.safetensors, ten classes with labels.
make_weights() {
    "$SENET" train --model se_cifar_resnet8 --data synthetic:train=40,val=20 --batch-size 20 --epochs 1 --no-eval \
        --workers 0 --output made --seed 3 > out 2> err || complain "senet train, for the weights"
    mv made/last.safetensors weights.safetensors
}

finish() {
    [ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
    exit 0
}
