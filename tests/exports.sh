#!/bin/sh
# exports.sh NM LIBRARY HEADER... - the shared library's symbols are the functions that the public headers declare.
set -eu
nm=$1 library=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$nm" -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' | sort -u > "$work/exported"
# A declaration is everything from SENET_API to the semicolon; its name is the word before the first parenthesis.
cat "$@" | grep -v '^ *#' | tr '\n' ' ' | tr ';' '\n' | sed -n 's/.*SENET_API \([^(]*\)(.*/\1/p' |
    sed 's/.*[ *]//' | sort -u > "$work/declared"

failed=0
if [ ! -s "$work/declared" ]; then
    echo "no declaration with SENET_API found in: $*"
    failed=1
fi
for symbol in $(comm -23 "$work/exported" "$work/declared"); do
    echo "$library exports '$symbol', which no public header declares"
    failed=1
done
for symbol in $(comm -13 "$work/exported" "$work/declared"); do
    echo "'$symbol' is declared in a public header, but $library does not export it"
    failed=1
done
[ $failed = 0 ] && echo "$(wc -l < "$work/exported") functions, all declared"
exit $failed
