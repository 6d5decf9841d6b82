# Tensors in, tensors out.
. "$(dirname "$0")/common.sh"
"$HELPER" tensors input.safetensors 5 32 32

expect 0 run --model se_cifar_resnet20 --fill 1 --input input.safetensors --output all.safetensors \
    --tap layer1.0 --tap layer3.2.se.gate --tap layer1.0 --json
has se_cifar_resnet20 model
has 3 outputs '#'
has logits outputs 0 name
has 10 outputs 0 shape 1
has layer1.0 outputs 1 name
has 16 outputs 1 shape 1
has 32 outputs 1 shape 3
has 64 outputs 2 shape 1
has 1 outputs 2 shape 2
# Neither the batches nor the threads change a bit.
expect 0 run --model se_cifar_resnet20 --fill 1 --input input.safetensors --output again.safetensors --threads 1 \
    --tap layer1.0 --tap layer3.2.se.gate --batch-size 5
says "logits"
"$HELPER" same all.safetensors again.safetensors || complain "one thread came to other numbers than two"
expect 0 run --model se_cifar_resnet20 --fill 2 --input input.safetensors --output other.safetensors
"$HELPER" same all.safetensors other.safetensors > /dev/null && complain "another seed came to the same numbers"
expect 0 run --model se_cifar_resnet20 --fill 1 --input input.safetensors --output small.safetensors --batch-size 2 --json
has 5 outputs 0 shape 0

# Test weights by their rule: the logits of an independent program, where its numbers are.
"$HELPER" tensors one.safetensors 1 32 32
for model in se_cifar_resnet20 cifar_resnet20 se_cifar_preresnet20; do
    [ -e "$shared/golden/$model.txt" ] || { echo "left out: no golden vector of $model"; continue; }
    expect 0 run --model $model --fill 1 --input one.safetensors --output one_$model.safetensors
    "$HELPER" golden one_$model.safetensors "$shared/golden/$model.txt" > out || complain "$(cat out)"
done

refuse 64 "--tap layer1.O: no such node; did you mean layer1.0?" run --model se_cifar_resnet20 --fill 1 \
    --input input.safetensors --output new.safetensors --tap layer1.O
refuse 64 "name the weights" run --model se_cifar_resnet20 --input input.safetensors --output new.safetensors
refuse 64 "choose one" run --weights w --fill 1 --input input.safetensors --output new.safetensors
refuse 64 "name a network" run --fill 1 --input input.safetensors --output new.safetensors
refuse 66 "nowhere.safetensors" run --model se_cifar_resnet20 --fill 1 --input nowhere.safetensors --output new.safetensors
refuse 65 "no tensor 'input'" run --model se_cifar_resnet20 --fill 1 --input all.safetensors --output new.safetensors
[ -e new.safetensors ] && complain "a refused run wrote its output"

# An output that cannot be written leaves what was there.
cp all.safetensors kept.safetensors
mkdir folder
refuse 73 "folder" run --model se_cifar_resnet20 --fill 1 --input input.safetensors --output folder
refuse 73 "nowhere" run --model se_cifar_resnet20 --fill 1 --input input.safetensors --output nowhere/new.safetensors
unchanged all.safetensors kept.safetensors
finish
