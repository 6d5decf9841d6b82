# Weights of others become ours, ours theirs; what does not fit is refused, what is not used is said.
. "$(dirname "$0")/common.sh"
make_weights
"$HELPER" pictures .
"$HELPER" tensors input.safetensors 2 64 64

# ---- safetensors under other names ----

# Our own names: nothing to do, and no metadata lost.
expect 0 convert weights.safetensors same.safetensors --json
has se_cifar_resnet8 model
has canonical naming
for key in renamed reshaped converted folded missing; do has 0 $key; done
has 0 unused '#'
number tensors
"$HELPER" same weights.safetensors same.safetensors || complain "the numbers have changed"
expect 0 predict --weights same.safetensors rgb.png
grep -q "synthetic" same.safetensors || complain "the name of the data set is lost"

# Without SE biases: those of the file have no place, and every verb says so in one line.
expect 0 convert weights.safetensors nobias.safetensors --model se_cifar_resnet8:bias=0 --json
has 6 unused '#'
has layer1.0.se.fc1.bias unused 0
tells "6 of the file's tensors, first 'layer1.0.se.fc1.bias'"
[ "$(wc -l < err)" -eq 1 ] || complain "not one line on standard error"
expect 0 predict --weights weights.safetensors --model se_cifar_resnet8:bias=0 rgb.png
tells "6 of the file's tensors"
expect 0 eval --weights weights.safetensors --model se_cifar_resnet8:bias=0 --data synthetic:train=10,val=10
tells "6 of the file's tensors"
expect 0 train --init weights.safetensors --model se_cifar_resnet8:bias=0 --data synthetic:train=10,val=10 --batch-size 5 \
    --max-steps 1 --no-eval --workers 0 --output begun
tells "6 of the file's tensors"
expect 0 convert weights.safetensors nobias.safetensors --model se_cifar_resnet8:bias=0
says "unused 6: layer1.0.se.fc1.bias, "

# What the new file says of its pictures and classes.
printf 'zero\none, uno\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n' > labels.txt
expect 0 convert weights.safetensors other.safetensors --labels labels.txt --origin akamaster --channels BGR --size 40x48 \
    --mean 0.1,0.2,0.3 --std 1,2,4 --crop-pct 0.9 --interpolation pil_bicubic
for text in '"input":"3x40x48"' '"channels":"BGR"' '"mean":"0.1,0.2,0.3"' '"std":"1,2,4"' '"crop_pct":"0.9"' \
    '"interpolation":"pil_bicubic"' 'one, uno\n'; do
    head -c 3000 other.safetensors | grep -qF -e "$text" || complain "the metadata lacks $text"
done
expect 0 predict --weights other.safetensors rgb.png --json
grep -qE 'zero|one|two|three|four|five|six|seven|eight|nine' out || complain "no label of labels.txt"

# ---- refused ----
cp same.safetensors kept.safetensors
head -n 9 labels.txt > few.txt
refuse 65 "few.txt: 9 lines, but the network tells 10 classes apart" convert weights.safetensors same.safetensors --labels few.txt
refuse 66 "nowhere.txt" convert weights.safetensors same.safetensors --labels nowhere.txt
refuse 66 "nowhere.safetensors" convert nowhere.safetensors same.safetensors
refuse 64 "name the model" convert input.safetensors same.safetensors
refuse 65 "tensor 'conv1.weight' [16,3,3,3] is missing" convert input.safetensors same.safetensors --model cifar_resnet8
refuse 65 "layer1.0.se.fc1.weight' is [1,16,1,1], but the model's 'layer1.0.se.fc1.weight' is [4,16,1,1]" \
    convert weights.safetensors same.safetensors --model se_cifar_resnet8:r=4
refuse 64 "timm has no network that computes what 'se_cifar_resnet8' does" convert weights.safetensors same.safetensors --naming timm
refuse 64 "--naming keras: must be canonical, timm or torchvision" convert weights.safetensors same.safetensors --naming keras
refuse 64 "--mean 1,2: must be three numbers" convert weights.safetensors same.safetensors --mean 1,2
refuse 64 "--std 1,0,1: must be three numbers above 0" convert weights.safetensors same.safetensors --std 1,0,1
refuse 64 "--crop-pct 2: must be" convert weights.safetensors same.safetensors --crop-pct 2
refuse 64 "IN OUT is missing" convert weights.safetensors
mkdir folder
refuse 73 "folder" convert weights.safetensors folder
refuse 73 "nowhere" convert weights.safetensors nowhere/out.safetensors
unchanged same.safetensors kept.safetensors
[ -e same.safetensors.tmp ] && complain "a temporary file was left"

# ---- Caffe ----
"$CAFFE" se_bn_inception:classes=10 net
[ $? -eq 77 ] && { refuse 64 "without protobuf-c" convert net.caffemodel x.safetensors; finish; }
expect 0 convert net.caffemodel converted.safetensors --labels labels.txt --json
has se_bn_inception:classes=10 model
has 387 tensors
has 387 renamed
has 0 unused '#'
"$HELPER" same net.safetensors converted.safetensors || complain "other numbers than Caffe's"
for text in '"input":"3x224x224"' '"channels":"BGR"' '"mean":"0.40784314,0.45882353,0.48235294"' '"interpolation":"bilinear"'; do
    head -c 60000 converted.safetensors | grep -qF -e "$text" || complain "the metadata lacks $text"
done
# Taken wherever weights are.
expect 0 run --weights net.caffemodel --input input.safetensors --output caffe.safetensors
expect 0 run --weights converted.safetensors --input input.safetensors --output ours.safetensors
"$HELPER" same caffe.safetensors ours.safetensors || complain "the file of Caffe's comes to other numbers"
expect 0 predict --weights net.caffemodel rgb.png
expect 0 bench --weights net.caffemodel --size 64 --runs 1 --json
has se_bn_inception:classes=10 model

# The network, its options, where the file is cut or another's.
expect 0 convert net.caffemodel x.safetensors --model bn_inception:classes=10 --json
has 40 unused '#'
tells "40 of the file's tensors, first 'inception_3a_1x1_down.weight'"
refuse 65 "net.caffemodel: tensor 'layer1.0.conv1.weight' [64,64,1,1] is missing" convert net.caffemodel x.safetensors --model se_resnet50
refuse 65 "'classifier.weight' is [10,1024], but the model's 'last_linear.weight' is [1000,1024]" \
    convert net.caffemodel x.safetensors --model se_bn_inception
for part in 0 1 100 40000 1000000; do
    head -c $part net.caffemodel > cut.caffemodel
    refuse 65 "cut.caffemodel: " convert cut.caffemodel y.safetensors
done
printf '\242\006\377\377\377\377\007' > big.caffemodel
head -c 1000 net.caffemodel >> big.caffemodel
refuse 65 "big.caffemodel: byte 0: field 100 of the network claims 2147483647 bytes, of which 1000 are there" predict --weights big.caffemodel rgb.png
[ -e y.safetensors ] && complain "a refused file was written"
finish
