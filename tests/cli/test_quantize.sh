# From weights and pictures to int8 weights, which every verb then computes with; what does not fit is refused.
. "$(dirname "$0")/common.sh"
make_weights
"$HELPER" pictures .
data=synthetic:train=40,val=40

expect 0 quantize --weights weights.safetensors --data $data --images 20 --output int8.safetensors --json
has se_cifar_resnet8 model
has 20 images
number noise
number agreement
number layers 0 noise
number kept '#'
[ "$(wc -c < int8.safetensors)" -lt "$(($(wc -c < weights.safetensors) / 2))" ] || complain "the int8 file is not much smaller"
expect 0 quantize --weights weights.safetensors --data $data --images 20 --keep conv1 --keep layer1.0.conv2 --output kept.safetensors --json
says '"conv1"'
says '"layer1.0.conv2"'
expect 0 quantize --weights weights.safetensors --data $data --images 20 --noise 100 --output int8.safetensors
says "kept in floating point: 0"

# The same file in every precision.
for precision in int8 bf16 fp32; do
    expect 0 eval --weights int8.safetensors --precision $precision --data $data --json
    number top1_error
    expect 0 predict --weights int8.safetensors --precision $precision rgb.png
    expect 0 bench --weights int8.safetensors --precision $precision --runs 1 --json
    has $precision precision
done
tells "int8 weights, which are used in fp32"
expect 0 convert int8.safetensors float.safetensors
refuse 64 "senet quantize" eval --weights float.safetensors --precision int8 --data $data
expect 0 bench --model se_resnext50_32x4d --size 64 --precision int8 --runs 1 --layers # ranges are made up
says scale_add_q8

# ---- refused ----
cp int8.safetensors same.safetensors
refuse 64 "senet quantize" predict --weights weights.safetensors --precision int8 rgb.png
refuse 64 "int8" bench --model se_cifar_resnet8 --precision int8 --train
refuse 64 "no layer 'conv9'" quantize --weights weights.safetensors --data $data --keep conv9 --output same.safetensors
refuse 64 "--weights FILE is missing" quantize --data $data --output same.safetensors
refuse 66 "nowhere" quantize --weights nowhere.safetensors --data $data --output same.safetensors
refuse 66 "nowhere" quantize --weights weights.safetensors --data folder:nowhere --output same.safetensors
mkdir -p empty/train/a empty/val/a
refuse 65 "empty" quantize --weights weights.safetensors --data folder:empty --output same.safetensors
refuse 65 "conv1.weight" quantize --weights weights.safetensors --model mobilenet --data $data --output same.safetensors
refuse 64 "--images 0" quantize --weights weights.safetensors --data $data --images 0 --output same.safetensors
refuse 73 "nowhere" quantize --weights weights.safetensors --data $data --images 4 --output nowhere/out.safetensors
unchanged int8.safetensors same.safetensors
finish
