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

refuse 66 "nowhere" data verify cifar10:nowhere
refuse 64 "unknown kind 'mnist'" data verify mnist:set
refuse 64 "name a data set" data verify
refuse 64 "--output DIR is missing" data synth
refuse 64 "name what to get" data get --output set
refuse 64 "mnist" data get mnist --output set
refuse 64 "synthetic" data synth synthetic:train=0 --output set
finish
