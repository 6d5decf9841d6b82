# Timings: their form; no test depends on how fast the machine is.
. "$(dirname "$0")/common.sh"

expect 0 bench se_cifar_resnet8 --runs 5 --batch-size 2 --threads 1 --layers --json
has se_cifar_resnet8 model
has 2 batch
has 1 threads
has fp32 precision
for key in min p50 p90 p99; do number latency_ms $key; done
number images_per_second
number gflops
number peak_gflops
number cold_start_ms
for key in peak_rss_bytes arena_bytes weight_bytes; do number $key; done
[ "$(member layers '#')" -ge 10 ] || complain "$(member layers '#') layers"
number layers 0 peak_share
for key in name op kernel; do member layers 0 $key > /dev/null || complain "layers: no $key"; done
expect 0 bench se_cifar_resnet8 --train --runs 5 --batch-size 4 --json
has train mode
has 0 layers '#'
kept=$(member arena_bytes)
expect 0 bench se_cifar_resnet8 --train --recompute --runs 5 --batch-size 4 --json
[ "$(member arena_bytes)" -lt "$kept" ] || complain "--recompute: $(member arena_bytes) bytes, without it $kept"
refuse 64 "--recompute is for training" bench se_cifar_resnet8 --recompute
refuse 64 "--recompute some" bench se_cifar_resnet8 --train --recompute=some
expect 0 bench --model se_cifar_resnet8 --seconds 0 --size 48x40
says "images/s"
says "3x48x40"
says "first answer after"

# The loader alone.
expect 0 bench --data synthetic:train=50,val=5 --augment cifar --size 32 --batch-size 10 --seconds 0 --workers 1 --json
has data mode
has 3x32x32 input
has 10 images
number images_per_second
expect 0 bench --data synthetic:train=50,val=5 --seconds 0 --size 48x40
says "batch 64, 2 workers"
refuse 64 "--augment blur" bench --data synthetic --augment blur
refuse 66 "nowhere" bench --data folder:nowhere
refuse 64 "name no network with it" bench se_cifar_resnet8 --data synthetic

refuse 64 "name a network" bench
refuse 64 "unknown model 'nope'" bench nope
# More memory than any machine has: refused before anything is computed, with what it would take.
refuse 64 "GB of memory" bench se_wrn16_8 --batch-size 1048576
finish
