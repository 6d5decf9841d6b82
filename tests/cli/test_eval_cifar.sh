# Published weights on the real test pictures of CIFAR-10: the known number of errors, no more and no fewer.
. "$(dirname "$0")/common.sh"
weights=$shared/data/weights/cifar_resnet20.safetensors
[ -e "$weights" ] || { echo "skipped: the trained weights are not here"; exit 77; }
"$shared/data/unpack" "$work/cifar" > unpacked 2>&1 || { echo "skipped: CIFAR-10 cannot be unpacked"; exit 77; }

expect 0 eval --weights "$weights" --data cifar10:cifar --json
has 10000 images
has 827 top1_errors
has 8.27 top1_error
finish
