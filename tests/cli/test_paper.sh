# The paper's figures beside ours, and what a network takes in memory.
. "$(dirname "$0")/common.sh"

expect 0 paper
says "senet paper complexity"
expect 0 paper --json
has complexity 0 topic
refuse 64 "unknown topic 'speed'; topics: complexity" paper speed
refuse 64 "one word too many" paper complexity speed
refuse 73 "nowhere/rows.csv" paper complexity --csv nowhere/rows.csv

expect 0 paper complexity
says "Table 13"
says "3.87 G"
says "28x28: [1x1 128, 3x3 128, 1x1 512, fc [32, 512]] x4"
says "2,514,944"
says "69 of 87 rows are equal."
grep -q 'ResNet-101 .* 7.57 G *7.58 G *no (1)' out || complain "ResNet-101 is not said to differ"
says "(1) The paper is 0.1 to 0.3% above."

expect 0 paper complexity --json --csv rows.csv
has 87 '#'
for key in table row model quantity ours paper unit equal exact note; do
    member 30 $key > /dev/null || complain "senet paper complexity --json: no $key"
done
# The second row of Table 2, behind the 21 of Table 1.
has 2 22 table
has se_resnet50 22 model
has 3.87 22 ours
has 3866007552 22 exact
has true 22 equal
[ "$(wc -l < rows.csv)" -eq 88 ] || complain "the CSV file has $(wc -l < rows.csv) lines"
grep -qx '2,SE-ResNet-50,se_resnet50,multiply-adds,3.87,3.87,G,yes,3866007552,' rows.csv ||
    complain "the CSV file does not have the row of SE-ResNet-50"

# Layers and memory of a network; the outputs of one image do not depend on the batch, the arenas do.
expect 0 summary se_cifar_resnet20 --json --threads 1
has 12288 layers 0 activation_bytes
has 65536 layers 1 activation_bytes
for key in activations weights gradients inference_arena inference training_arena training; do number memory $key; done
activations=$(member memory activations) arena=$(member memory training_arena)
expect 0 summary se_cifar_resnet20 --json --threads 1 -b 4
has "$activations" memory activations
has 65536 layers 1 activation_bytes
has 4 memory batch
[ "$(member memory training_arena)" -gt $((3 * arena)) ] || complain "four images take no more memory than one"

# Odd sizes that are no squares.
expect 0 summary se_resnet50 --json --input 97x131
has 3x97x131 input
has 49 layers 1 output 2
has 66 layers 1 output 3
expect 0 summary se_mobilenet --input 33x47
says "training"
expect 0 summary se_cifar_resnet20 --size 9x7
refuse 64 "--size and --input are the same" summary cifar_resnet20 --size 32 --input 32
finish
