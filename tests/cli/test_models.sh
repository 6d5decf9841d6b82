# The networks by name, and the layers of one.
. "$(dirname "$0")/common.sh"

expect 0 models
says "se_cifar_resnet20"
expect 0 models --json
[ "$(member '#')" -ge 20 ] || complain "senet models --json: $(member '#') networks"
for key in name input classes params macs; do member 0 $key > /dev/null || complain "senet models --json: no $key"; done
number 0 params

# Counts of SE-ResNet-20 for CIFAR, from the definition of the network.
expect 0 summary se_cifar_resnet20 --json
has se_cifar_resnet20 model
has 3x32x32 input
has 10 classes
has 272095 params
has 273471 params_with_bn_stats
has 40553056 macs
has 40639072 macs_with_scale
has conv1 layers 1 name
has 432 layers 1 params
expect 0 summary --model se_cifar_resnet20
says "272,095"
# The cost of one image does not depend on the batch; that of convolutions grows with the area.
expect 0 summary se_cifar_resnet20 --json --batch-size 4
has 40553056 macs
has 4 layers 1 output 0
expect 0 summary cifar_resnet20 --json --size 64
has 3x64x64 input
has 162202240 macs

refuse 64 "unknown model 'se_cifar_resnet2O'" summary se_cifar_resnet2O
refuse 64 "colour" summary se_cifar_resnet20:colour=red
refuse 64 "'r'" summary se_cifar_resnet20:r=0
refuse 64 "name a network" summary
finish
