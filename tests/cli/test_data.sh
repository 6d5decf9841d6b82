# Data sets: made, described, and refused when a file is not what it should be.
. "$(dirname "$0")/common.sh"

expect 0 data synth synthetic:train=60,val=20 --output set --json
has set output
expect 0 data stat cifar10:set --json
has 60 splits 0 images
has 20 splits 1 images
has 0 splits 0 unreadable
has 10 splits 0 images_by_class '#'
has 6 splits 0 images_by_class 0 images
number splits 0 mean 0
expect 0 data stat cifar10:set
says "mean"
expect 0 data verify cifar10:set
says "every picture can be read"
expect 0 data verify synthetic:train=10,val=10 --json
has 10 splits 0 images

# Pictures of a data set as files, which predict can read.
expect 0 data extract cifar10:set --count 3 --output pictures
[ "$(find pictures -name '*.png' | wc -l)" -eq 3 ] || complain "data extract: $(find pictures -type f | wc -l) files, not 3"

file=$(find set -name test_batch.bin)
cp "$file" good.bin
# Short, oversized, a label out of range, empty, missing: the file is named, and eval and train refuse it too.
head -c 1000 good.bin > "$file"
refuse 65 "test_batch.bin" data verify cifar10:set
refuse 65 "test_batch.bin" train --model se_cifar_resnet8 --data cifar10:set --output run
{ cat good.bin; printf x; } > "$file"
refuse 65 "test_batch.bin" data verify cifar10:set
cp good.bin "$file"
put_byte "$file" 3073 310
refuse 65 "200" data verify cifar10:set
tells "test_batch.bin"
: > "$file"
refuse 65 "test_batch.bin" data verify cifar10:set
rm "$file"
refuse 66 "test_batch.bin" data verify cifar10:set
[ -e run ] && [ -e run/last.safetensors ] && complain "a refused run left weights"

# Photographs: a folder a class, each picture with what is wrong with it.
photographs() {
    rm -rf "$1"
    for picture in pictures/*.png; do
        class=$(basename "$picture" .png)
        for split in train val; do
            mkdir -p "$1/$split/${class#*-}" && cp "$picture" "$1/$split/${class#*-}/$split$class.png"
            printf '%s' "$split" >> "$1/$split/${class#*-}/$split$class.png" # no two files are the same
        done
    done
}
mv good.bin "$file"
expect 0 data extract cifar10:set --count 20 --output pictures
photographs photos
expect 0 data verify folder:photos
says "every picture can be read"
expect 0 data stat folder:photos --json
has 20 splits 0 images
has 10 splits 0 classes
has 32 splits 0 sizes width median
has 2 splits 1 images_by_class 0 images
picture=$(find photos/train -name '*.png' | sort | head -1)
folder=$(dirname "$picture")
head -c 200 "$picture" > "$folder/cut.png"
: > "$folder/empty.jpg"
echo "no picture" > "$folder/text.jpeg"
cp "$picture" "$folder/misnamed.jpg"
cp photos/val/*/val00000*.png "$folder/leaked.png"
mkdir photos/train/nothing
expect 65 data verify folder:photos --json --output list.txt
has 3 splits 0 unreadable
has 6 splits 0 problems '#'
has 1 splits 1 problems '#'
tells "cut.png: truncated"
tells "empty.jpg: the file is empty"
tells "text.jpeg: not a JPEG or PNG picture"
tells "misnamed.jpg: is a PNG, whatever its name says"
tells "the same as"
tells "class 4, nothing has no picture"
[ "$(wc -l < list.txt)" -eq 5 ] || complain "data verify --output: $(wc -l < list.txt) paths, not 5"
grep -q "empty.jpg" list.txt || complain "data verify --output: lacks empty.jpg"
expect 65 data stat folder:photos
says "3 unreadable"
rm -r photos/train/nothing

# Training goes on without them, or not at all.
set -- --model se_cifar_resnet8 --data folder:photos --input-size 32 -b 8 --epochs 1 --augment imagenet --workers 2
expect 65 train "$@" --output refused
tells "senet train: photos/train"
expect 0 train "$@" --output skipping --on-bad-image skip --json
number loss
tells "skipped, 3 so far"
[ "$(grep -c '"skipped"' skipping/log.jsonl)" -eq 3 ] || complain "log.jsonl: not three skipped pictures"
grep 'empty.jpg' skipping/log.jsonl > out
says "photos/train/"
has "the file is empty" reason
has 1 epoch
number step
expect 0 train "$@" --output skip-parts --on-bad-image skip --max-steps 2 # and once each where the run is cut in two
expect 0 train --resume skip-parts --max-steps 99
grep '"skipped"' skipping/log.jsonl > skipped.whole
grep '"skipped"' skip-parts/log.jsonl > skipped.parts
unchanged skipped.whole skipped.parts
[ -e skipping/quarantine.txt ] && complain "skipped pictures were put in quarantine"
expect 0 train "$@" --output quarantined --on-bad-image quarantine
unchanged skipping/last.safetensors quarantined/last.safetensors
[ "$(wc -l < quarantined/quarantine.txt)" -eq 3 ] || complain "quarantine.txt: $(wc -l < quarantined/quarantine.txt) paths, not 3"
expect 0 train "$@" --output excluding --exclude quarantined/quarantine.txt
tells "quarantine.txt: 3 training pictures left out"

# Stopped in an epoch and resumed, with other workers: the same bits.
photographs photos
set -- --model se_cifar_resnet8 --data folder:photos --input-size 32 -b 4 --epochs 2 --augment imagenet-strong --class-aware
expect 0 train "$@" --workers 3 --output whole
expect 0 train "$@" --workers 1 --output parts --max-steps 7
expect 0 train --resume parts --workers 0
unchanged whole/last.safetensors parts/last.safetensors

# A network that numbers its classes otherwise, and has more of them: by a map, which the weights then know.
(cd photos/train && ls) | awk '{print 11 - NR + 1 "\t" $0}' > map.tsv
set -- --model se_cifar_resnet8:classes=12 --data folder:photos --input-size 32 -b 5 --epochs 1 --augment imagenet
refuse 64 "has 12 classes" train "$@" --output unmapped
expect 0 train "$@" --label-map map.tsv --output mapped --max-steps 2
expect 0 train --resume mapped --max-steps 3
expect 0 eval --weights mapped/last.safetensors --data folder:photos --json
had=$(member top1_error)
expect 0 eval --weights mapped/last.safetensors --data folder:photos --label-map map.tsv --json
has "$had" top1_error
head -9 map.tsv > short.tsv
refuse 65 "short.tsv: no class for" train "$@" --label-map short.tsv --output unmapped
refuse 66 "nowhere.tsv" train "$@" --label-map nowhere.tsv --output unmapped
[ -e unmapped ] && complain "a refused run left a folder"
sed 's/^11/0/' map.tsv > other.tsv
refuse 64 "the run was made on other data" train --resume mapped --label-map other.tsv --max-steps 9

# A list says the same as the folders.
find photos/train -name '*.png' | sort | sed 's|.*/train/\([^/]*\)/.*|& \1|' > train.txt
(cd photos/train && ls) > classes.txt
expect 0 data stat list:train.txt --json
has 20 splits 0 images
has all splits 0 split
echo "photos/train/x.png 99" >> train.txt
refuse 65 "train.txt: line 21: label '99'" data verify list:train.txt

refuse 66 "nowhere" data verify folder:nowhere
refuse 66 "nowhere" data verify cifar10:nowhere
refuse 64 "unknown kind 'mnist'" data verify mnist:set
refuse 64 "name a data set" data verify
refuse 64 "--output DIR is missing" data synth
refuse 64 "name what to get" data get --output set
refuse 64 "mnist" data get mnist --output set
refuse 64 "synthetic" data synth synthetic:train=0 --output set
finish
