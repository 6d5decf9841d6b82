# Evaluation: the errors of a weights file, the same in all ways to ask for them.
. "$(dirname "$0")/common.sh"
make_weights

expect 0 eval --weights weights.safetensors --data synthetic:train=40,val=30 --batch-size 7 --json
has 30 images
has 10 classes
has se_cifar_resnet8 model
for key in loss top1_error top5_error images_per_second; do number $key; done
member top1_errors > first
member loss > first_loss
expect 0 eval --weights weights.safetensors --data synthetic:train=40,val=30 --batch-size 7 --threads 1 --workers 0 --json
member top1_errors > second
member loss > second_loss
unchanged first second
unchanged first_loss second_loss
expect 0 eval --weights weights.safetensors --data synthetic:train=40,val=30 --split train --json
has 40 images
expect 0 eval --weights weights.safetensors --data synthetic:train=40,val=30
says "top-1 error"
"$HELPER" tensors set.safetensors 6 32 32
expect 0 eval --weights weights.safetensors --data tensors:set.safetensors --json
has 6 images

# Views: of every picture, averaged; a protocol is its flags.
data=synthetic:train=40,val=30
expect 0 eval --weights weights.safetensors --data $data --crops 10 --scales 36 --json
has 30 images
has 10 views
has 3x32x32 inputs 0
member loss > ten
expect 0 eval --weights weights.safetensors --data $data --protocol ten-crop --scales 36 --batch-size 3 --workers 0 --json
has 10 views
member loss > flags
# Kernels may differ between batch sizes: compared to five digits.
[ "$(cut -c 1-7 ten)" = "$(cut -c 1-7 flags)" ] || complain "ten crops by flags and by name: $(cat ten), $(cat flags)"
expect 0 eval --weights weights.safetensors --data $data --crops 12 --no-mirror --scales 40,48 --crop-size 32,40 --json
has 24 views
has 2 inputs '#'
expect 0 eval --weights weights.safetensors --data $data --protocol 144-crop --scales 36 --crop-size 24 --no-mirror
says "18 views each"

# Ensembles: of itself it is itself; of two the mean, which is neither.
expect 0 eval --weights weights.safetensors --data $data --json
member loss > single
"$SENET" train --model cifar_resnet8 --data $data --batch-size 20 --epochs 1 --no-eval --workers 0 --output second_run \
    --seed 4 > out 2> err || complain "senet train, for the second weights"
mv second_run/last.safetensors second.safetensors
expect 0 eval --weights weights.safetensors weights.safetensors --data $data --json
member loss > twice
has 2 models '#'
has 2 views
[ "$(cut -c 1-9 single)" = "$(cut -c 1-9 twice)" ] || complain "an ensemble of itself: $(cat single), $(cat twice)"
expect 0 eval --weights weights.safetensors --weights second.safetensors --data $data --json
has "se_cifar_resnet8 + cifar_resnet8" model
member loss > both
cmp -s single both && complain "the second network changes nothing"
refuse 64 "--model is given 2 times for 3 weights files" eval --weights second.safetensors weights.safetensors \
    weights.safetensors --model a --model b --data $data

# What is written: a line a picture that adds up to the totals, the classes, the confusions.
expect 0 eval --weights weights.safetensors --data $data --output all.csv --per-class --confusion matrix.csv --json
[ "$(wc -l < all.csv)" -eq 31 ] || complain "30 pictures in $(wc -l < all.csv) lines"
[ "$(head -1 all.csv | cut -d, -f1-7)" = picture,label,correct,rank,loss,class1,probability1 ] || complain "header: $(head -1 all.csv)"
wrong=$(awk -F, 'NR > 1 && $3 == 0' all.csv | wc -l)
has "$wrong" top1_errors
has "$(awk -F, 'NR > 1 && $4 > 5' all.csv | wc -l)" top5_errors
awk -F, 'NR > 1 && ($3 == 1) != ($2 == $6)' all.csv | grep -q . && complain "correct does not mean that the best class is the label"
images=0 errors=0 k=0
while [ $k -lt "$(member per_class '#')" ]; do
    images=$((images + $(member per_class $k images))) errors=$((errors + $(member per_class $k top1_errors)))
    k=$((k + 1))
done
[ $images -eq 30 ] && [ $errors -eq "$wrong" ] || complain "per class: $images images, $errors errors"
[ "$(wc -l < matrix.csv)" -eq 11 ] || complain "ten classes in $(wc -l < matrix.csv) lines"
[ "$(awk -F, 'NR > 1 { for (i = 2; i <= NF; i++) n += $i } END { print n }' matrix.csv)" -eq 30 ] || complain "matrix of other than 30 pictures"
[ "$(awk -F, 'NR > 1 { n += $NR } END { print n + 0 }' matrix.csv)" -eq $((30 - wrong)) ] || complain "the diagonal is not what is right"
expect 0 eval --weights weights.safetensors --data $data --confusion matrix.png --per-class
says "top-1"
head -c 4 matrix.png | grep -q PNG || complain "matrix.png is no PNG"

# Photographs: names of classes that the weights know; else a map, or a message that says so.
mkdir photos
"$HELPER" pictures photos || complain "helper pictures"
for k in 0 1 2; do
    "$SENET" predict --weights weights.safetensors --csv -k 10 photos/rgb.png | awk -F, -v k=$k '$3 == k { print $4 }' > name
    mkdir -p "known/$(cat name)" unknown/class$k
    cp photos/rgb.png photos/grey.jpg "known/$(cat name)"
    cp photos/cmyk.jpg unknown/class$k
    printf '%d\tclass%d\n' $((2 * k)) $k >> map.tsv
done
expect 0 eval --weights weights.safetensors --data folder:known --output known.csv --json
has 6 images
[ "$(awk -F, 'NR > 1 { print $2 }' known.csv | sort -u | tr '\n' ' ')" = "0 1 2 " ] || complain "labels by name: $(cat known.csv)"
refuse 64 "--label-map" eval --weights weights.safetensors --data folder:unknown
expect 0 eval --weights weights.safetensors --data folder:unknown --label-map map.tsv --output mapped.csv --json
[ "$(awk -F, 'NR > 1 { print $2 }' mapped.csv | sort -u | tr '\n' ' ')" = "0 2 4 " ] || complain "labels by map: $(cat mapped.csv)"
printf '%s/photos/rgb.png 3\n%s/photos/grey.jpg 4\n' "$work" "$work" > set.txt
expect 0 eval --weights weights.safetensors --data list:set.txt --output list.csv --json
has 2 images
[ "$(awk -F, 'NR > 1 { print $2 }' list.csv | tr '\n' ' ')" = "3 4 " ] || complain "labels of a list: $(cat list.csv)"
printf '%s/photos/rgb.png 10\n' "$work" > beyond.txt
refuse 64 "has 11 classes" eval --weights weights.safetensors --data list:beyond.txt
refuse 65 "text.jpg" eval --weights weights.safetensors --data "list:$(echo "this is a text" > text.jpg; echo "$work/text.jpg 1" > bad.txt; echo bad.txt)"

# EXIF counts only when asked for.
"$HELPER" turned . || complain "helper turned"
losses() {
    echo "$work/$1 1" > one.txt
    shift
    "$SENET" eval --weights weights.safetensors --data list:one.txt --json "$@" > out 2> err || complain "eval $*"
    member loss
}
losses turned.jpg > stored
losses photos/rgb.jpg > flat
losses turned.jpg --exif > turned
losses upright.png > upright
unchanged stored flat
unchanged turned upright
cmp -s stored turned && complain "--exif changes nothing"

refuse 64 "unknown protocol 'eleven'" eval --weights weights.safetensors --data $data --protocol eleven
refuse 64 "scale 30 is smaller" eval --weights weights.safetensors --data $data --scales 30,40
refuse 64 "choose one" eval --weights weights.safetensors --data $data --mirror --no-mirror
refuse 64 "prepared inputs" eval --weights weights.safetensors --data tensors:set.safetensors --crops 10
refuse 64 ".csv or .png" eval --weights weights.safetensors --data $data --confusion matrix.txt
refuse 73 "nowhere/all.csv" eval --weights weights.safetensors --data $data --output nowhere/all.csv
refuse 64 "classes" eval --weights weights.safetensors --data synthetic:classes=5,train=40,val=30
refuse 64 "--data DATA is missing" eval --weights weights.safetensors
refuse 66 "nowhere.safetensors" eval --weights weights.safetensors --data tensors:nowhere.safetensors
finish
