# Classification of pictures of every kind, as text, CSV and JSON; a bad picture does not cost the others.
. "$(dirname "$0")/common.sh"
make_weights
mkdir photos
"$HELPER" pictures photos || complain "helper pictures"

expect 0 predict --weights weights.safetensors photos --json
has 8 '#'
has photos/alpha.png 0 file
has 5 0 top '#'
number 0 top 0 class
number 0 top 0 probability
[ "$(member 0 top 0 label)" != null ] || complain "no label"
expect 0 predict --weights weights.safetensors --topk 3 photos/rgb.jpg photos/grey.jpg photos/cmyk.jpg
says photos/cmyk.jpg
[ "$(wc -l < out)" -eq 12 ] || complain "three pictures, three classes each: $(wc -l < out) lines"
cp photos/rgb.png 'photos/a, "b".png'
expect 0 predict --weights weights.safetensors --csv -k 1 'photos/a, "b".png' photos/rgb.png
says 'file,rank,class,label,probability'
says '"photos/a, ""b"".png",1,'
[ "$(sed -n 2p out | sed 's/.*png",//')" = "$(sed -n 3p out | sed 's/.*png,//')" ] || complain "the same picture, another class"

# 8 and 16 bits, alone and in company, one thread and two: the same classes.
expect 0 predict --weights weights.safetensors --json photos/rgb.png
member 0 top 0 probability > alone
expect 0 predict --weights weights.safetensors --json --threads 1 --batch-size 3 photos/grey.jpg photos/rgb.png
member 1 top 0 probability > together
unchanged alone together
"$SENET" predict --weights weights.safetensors --json - < photos/rgb.png > out 2> err || complain "from standard input"
member 0 top 0 probability > piped
unchanged alone piped

# Patterns that the shell was kept from expanding, lists in files and on standard input; a file of that very name comes first.
expect 0 predict --weights weights.safetensors --json 'photos/rgb*.png' 'photos/gr[e]y.jpg'
has 3 '#'
has photos/rgb.png 0 file
has photos/rgb16.png 1 file
has photos/grey.jpg 2 file
cp photos/rgb.png 'photos/x[1].png'
expect 0 predict --weights weights.safetensors --json 'photos/x[1].png'
has 'photos/x[1].png' 0 file
rm 'photos/x[1].png'
refuse 66 "photos/*.gif: no file matches" predict --weights weights.safetensors 'photos/*.gif'
printf 'photos/grey.jpg\r\n\nphotos/rgb.png\n' > list.txt
for way in "--list list.txt" @list.txt; do
    expect 0 predict --weights weights.safetensors --json $way
    has 2 '#'
    has photos/grey.jpg 0 file
    has photos/rgb.png 1 file
done
printf 'photos/rgb.png' | "$SENET" predict --weights weights.safetensors --csv -k 1 --list - > out 2> err || complain "list on standard input"
says 'photos/rgb.png,1,'
: > nothing.txt
refuse 66 "nothing.txt: names no picture" predict --weights weights.safetensors --list nothing.txt
refuse 66 "nowhere.txt" predict --weights weights.safetensors @nowhere.txt

# A folder of class folders is a folder of pictures.
mkdir -p classes/cat classes/dog
cp photos/rgb.png classes/dog/b.PNG
cp photos/rgb.jpg classes/cat/a.JPEG
expect 0 predict --weights weights.safetensors --json classes
has 2 '#'
has classes/cat/a.JPEG 0 file

# A picture with an EXIF orientation counts as people see it, or as it is stored.
"$HELPER" turned . || complain "helper turned"
probabilities() {
    expect 0 predict --weights weights.safetensors --csv -k 10 "$@"
    sed 1d out | cut -d, -f2-
}
probabilities turned.jpg > turned
probabilities upright.png > upright
unchanged turned upright
probabilities --no-exif turned.jpg > stored
probabilities photos/rgb.jpg > flat
unchanged stored flat
cmp -s turned stored && complain "--no-exif changes nothing"

# No picture, truncated, empty, missing: a line each, the good one is done, exit code 65.
echo "this is a text" > text.jpg
size=$(wc -c < photos/rgb.jpg)
head -c $((size / 2)) photos/rgb.jpg > short.jpg
head -c 60 photos/rgb.png > short.png
: > empty.png
for bad in text.jpg short.jpg short.png empty.png; do
    refuse 65 "$bad" predict --weights weights.safetensors $bad
done
refuse 66 "nowhere.jpg" predict --weights weights.safetensors nowhere.jpg
expect 65 predict --weights weights.safetensors --json text.jpg photos/rgb.png short.jpg nowhere.jpg
has 1 '#'
has photos/rgb.png 0 file
[ "$(wc -l < err)" -eq 3 ] || complain "three bad pictures: $(wc -l < err) lines"
tells short.jpg
mkdir empty
refuse 66 "empty" predict --weights weights.safetensors empty

refuse 64 "PICTURE" predict --weights weights.safetensors
refuse 64 "choose one" predict --weights weights.safetensors --csv --json photos/rgb.png
refuse 64 "--topk 11" predict --weights weights.safetensors --topk 11 photos/rgb.png
finish
