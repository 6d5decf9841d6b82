# Weights files that are missing, damaged, or another network's: one line that names the file and the place.
. "$(dirname "$0")/common.sh"
make_weights
"$HELPER" pictures .
predict() { # CODE TEXT FILE: every verb that loads weights says the same
    refuse "$1" "$2" predict --weights "$3" rgb.png
    tells "$3"
    refuse "$1" "$2" eval --weights "$3" --data synthetic:train=10,val=10
}

expect 0 predict --weights weights.safetensors rgb.png
predict 66 "No such file" nowhere.safetensors
: > empty.safetensors
predict 65 "" empty.safetensors
size=$(wc -c < weights.safetensors)
for part in 7 100 5000 $((size - 1)); do
    head -c $part weights.safetensors > short.safetensors
    predict 65 "" short.safetensors
done
{ cat weights.safetensors; printf x; } > long.safetensors
predict 65 "" long.safetensors

# Flipped bits in the header: the length, the first brace, a name's quote.
for place in 3 7 8 9; do
    cp weights.safetensors flipped.safetensors
    put_byte flipped.safetensors $place 377
    predict 65 "" flipped.safetensors
done
echo "this is a text" > text.safetensors
predict 65 "" text.safetensors
mkdir folder.safetensors
refuse 66 "folder.safetensors" predict --weights folder.safetensors rgb.png

# Another network: the first tensor that is missing or has another shape, with both shapes.
refuse 65 "weights.safetensors" predict --weights weights.safetensors --model se_cifar_resnet20 rgb.png
tells "layer1.1"
refuse 65 "weights.safetensors" predict --weights weights.safetensors --model se_cifar_resnet8:r=4 rgb.png
tells "se.fc1.weight"
refuse 65 "weights.safetensors" predict --weights weights.safetensors --model se_cifar_resnet8:classes=7 rgb.png
tells "fc.weight"
refuse 64 "unknown model" predict --weights weights.safetensors --model vgg12 rgb.png

# A file that does not name its network needs --model.
"$HELPER" tensors other.safetensors 1 32 32
refuse 64 "other.safetensors" predict --weights other.safetensors rgb.png
refuse 65 "other.safetensors" predict --weights other.safetensors --model se_cifar_resnet8 rgb.png
finish
