# example.sh CMAKE BUILD CC EXAMPLE.c - installs the library into a scratch folder, builds the example with pkg-config
# against the shared and the static library, and classifies pictures with both.
. "$(dirname "$0")/common.sh"
cmake=$1 build=$2 cc=$3 example=$4
command -v pkg-config > /dev/null || { echo "pkg-config is not installed"; exit 77; }
make_weights
"$HELPER" pictures .
"$cmake" --install "$build" --prefix "$work/usr" > install.log || { cat install.log; exit 1; }
pc=$(find "$work/usr" -name senet.pc)
library=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH

"$cc" -Wall -Wextra -Werror "$example" $(pkg-config --cflags --libs senet) -o classify || complain "build with the shared library"
"$cc" "$example" $(pkg-config --cflags senet) "$library/libsenet.a" $(pkg-config --libs --static senet | sed 's/-lsenet//') \
    -o classify_static || complain "build with the static library"
LD_LIBRARY_PATH=$library ./classify weights.safetensors rgb.png grey.jpg > shared.txt 2> err || complain "run, shared"
./classify_static weights.safetensors rgb.png grey.jpg > static.txt 2> err || complain "run, static"
unchanged shared.txt static.txt
cp static.txt out
says "rgb.png:"
[ "$(wc -l < out)" -eq 6 ] || complain "two pictures, three classes each: $(wc -l < out) lines"
./classify_static weights.safetensors nowhere.png > out 2> err
code=$?
[ $code -eq 66 ] || complain "a missing picture: exit code $code, not 66"
tells nowhere.png
finish
