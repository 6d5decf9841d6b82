#!/bin/sh
# install.sh CMAKE BUILD CC - installs into a scratch folder, then builds and runs a program against what is there,
# with the flags of pkg-config, as a user of the library would.
set -eu
cmake=$1 build=$2 cc=$3
command -v pkg-config > /dev/null || { echo "pkg-config is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/usr" > "$work/install.log" || { cat "$work/install.log"; exit 1; }
pc=$(find "$work" -name senet.pc)
library=$(dirname "$(dirname "$pc")")
"$work/usr/bin/senet" --version > /dev/null

cat > "$work/user.c" << 'C'
#include <senet/senet.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    char built_against[32];
    snprintf(built_against, sizeof built_against, "%d.%d.%d", SENET_VERSION_MAJOR, SENET_VERSION_MINOR,
             SENET_VERSION_PATCH);
    printf("header %s, library %s\n", built_against, senet_version());
    return strcmp(built_against, senet_version()) != 0;
}
C
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
"$cc" "$work/user.c" -o "$work/user" $(pkg-config --cflags --libs senet)
LD_LIBRARY_PATH=$library "$work/user"
"$cc" "$work/user.c" -o "$work/user_static" $(pkg-config --cflags senet) "$library/libsenet.a" \
    $(pkg-config --libs --static senet | sed 's/-lsenet//')
"$work/user_static"
