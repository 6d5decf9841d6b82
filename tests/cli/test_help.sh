# Help teaches by example, and a wrong command line is answered with what would be right.
. "$(dirname "$0")/common.sh"

expect 0 --version
says "senet 0."
expect 0 --help
for verb in models summary recipes train eval predict run bench convert paper data; do
    grep -q "^  $verb " out || complain "senet --help: no $verb"
done
says "Exit codes:"
for verb in models summary recipes train eval predict run bench convert paper data; do
    expect 0 $verb --help
    says "Usage: senet $verb"
    says "Examples:"
    says "Options:"
    expect 0 help $verb
    says "Usage: senet $verb"
    expect 0 $verb --man
    says ".TH senet-$verb 1"
    says ".SH EXAMPLES"
done
expect 0 --man
says ".TH senet 1"

# Every network that the help names can be built.
for verb in models summary train eval predict run bench; do "$SENET" $verb --help; done |
    grep -oE '(se_)?(cifar_(pre)?resnet[0-9]+|wrn[0-9]+_[0-9]+)(:[a-z0-9=,+]+)?' | sort -u > named
[ "$(wc -l < named)" -ge 5 ] || complain "the help names only $(wc -l < named) networks"
while read -r model; do expect 0 summary "$model"; done < named

refuse 64 "a verb is missing"
refuse 64 "unknown verb 'trian'; did you mean train?" trian
refuse 64 "unknown verb 'xyzzy'" xyzzy
refuse 64 "unknown option --verbose" --verbose
refuse 64 "unknown option --epoch; did you mean --epochs?" train --epoch 3
refuse 64 "unknown option --nonsense" train --nonsense
refuse 64 "unknown option -x" train -x
refuse 64 "--lr needs a value" train --lr
refuse 64 "--weights needs a value" predict --weights --json picture.jpg
refuse 64 "--json takes no value ('1' given)" models --json=1
refuse 64 "--threads 0: must be 1..256" bench se_cifar_resnet8 --threads 0
refuse 64 "--threads 257: must be 1..256" bench se_cifar_resnet8 --threads=257
refuse 64 "--threads two: must be a whole number" bench se_cifar_resnet8 --threads two
refuse 64 "--batch-size 0: must be 1..1048576" bench se_cifar_resnet8 -b0
refuse 64 "--batch-size 8.5: must be a whole number" bench se_cifar_resnet8 -b 8.5
refuse 64 "--lr -1: must be 0..1000" train --lr -1
refuse 64 "--lr nan: must be a number" train --lr nan
refuse 64 "--optimizer adam: must be sgd, sgd-caffe or nesterov" train --optimizer adam
refuse 64 "--device cuda: not available in this build" bench se_cifar_resnet8 --device cuda
refuse 64 "--milestones 10,5: the numbers must ascend" train --milestones 10,5
refuse 64 "--milestones 10,x: must be numbers" train --milestones 10,x
refuse 64 "--size 3x: must be SIDE or HEIGHTxWIDTH" summary se_cifar_resnet8 --size 3x
refuse 64 "--augment" train --augment blur --model se_cifar_resnet8 --data synthetic --output run
refuse 64 "one word too many" summary se_cifar_resnet8 cifar_resnet20
refuse 64 "named twice" summary se_cifar_resnet8 --model cifar_resnet20
refuse 64 "the value is empty" train --output=
refuse 64 "unknown action 'fetch'" data fetch
refuse 64 "--weights FILE is missing" eval --data synthetic
finish
