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

refuse 64 "classes" eval --weights weights.safetensors --data synthetic:classes=5,train=40,val=30
refuse 64 "--data DATA is missing" eval --weights weights.safetensors
refuse 66 "nowhere.safetensors" eval --weights weights.safetensors --data tensors:nowhere.safetensors
finish
