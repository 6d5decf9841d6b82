# Training: what it prints and writes, stopping and going on, refusing.
. "$(dirname "$0")/common.sh"
settings="--model se_cifar_resnet8 --data synthetic:train=60,val=20 --batch-size 10 --epochs 2 --lr 0.05 --workers 1 --seed 7"

expect 0 train $settings --augment cifar+cutout8 --log-every 1 --output whole --json
has 2 epochs
has 12 steps
has whole/best.safetensors best
has false stopped
for key in top1_error top5_error loss images_per_second data_wait_percent; do number $key; done
[ "$(wc -l < out)" -eq 1 ] || complain "--json: $(wc -l < out) lines on standard output"
tells "step 1/12"
tells "epoch 2/2"
for file in log.jsonl summary.csv last.safetensors best.safetensors checkpoint.safetensors; do
    [ -s whole/$file ] || complain "no whole/$file"
done
head -1 whole/log.jsonl > out
number step
number train.loss

# Stopped by --max-steps and resumed, with another number of threads: the same bits as in one go.
expect 0 train $settings --augment cifar+cutout8 --output parts --max-steps 5 --threads 1 --json
has 5 steps
expect 0 train --resume parts --max-steps 12 --threads 2 --json
has 12 steps
"$HELPER" same whole/last.safetensors parts/last.safetensors || complain "the resumed run came to other weights"

# Stopped by a signal: exit code 75, a line that says how to go on, and the run goes on.
mkfifo messages
"$SENET" train $settings --augment cifar+cutout8 --output signalled --log-every 1 --json > out 2> messages &
process=$!
while read -r line; do # as the lines come: the whole run takes a fraction of a second
    echo "$line" >> err.signalled
    case $line in *"step 2/"*) kill -TERM $process ;; esac
done < messages
wait $process
code=$?
[ $code -eq 75 ] || complain "SIGTERM: exit code $code, not 75"
has true stopped
mv err.signalled err
tells "senet train --resume signalled"
expect 0 train --resume signalled --json
has 12 steps
"$HELPER" same whole/last.safetensors signalled/last.safetensors || complain "the run stopped by a signal came to other weights"

# Mixed, erased and otherwise augmented pictures: said, kept, and the same bits for any number of workers and after a stop.
modern="--augment cifar --randaugment 2,9 --random-erasing 0.25 --erase-fill noise --mixup 0.2 --cutmix 1"
expect 0 train $settings $modern --output modern
tells "RandAugment of 2 operations of magnitude 9, random erasing of 25% by random bytes, mixup with alpha 0.2 or CutMix with alpha 1"
expect 0 train $settings $modern --workers 3 --output modern-parts --max-steps 7
expect 0 train --resume modern-parts --workers 0
unchanged modern/last.safetensors modern-parts/last.safetensors
refuse 64 "augment.mixup '0.2', it cannot go on with '0.3'" train --resume modern-parts --mixup 0.3 --max-steps 99
expect 0 train $settings $modern --dry-run --json
has 2 augment.randaugment.ops
has noise augment.erase_fill
has 0.2 augment.mixup
expect 0 train $settings $modern --augment none --dry-run --json # the options of their own come after
has 0 augment.pad
has 1 augment.cutmix
refuse 64 "--randaugment 9: must be N,M, as in 2,9" train $settings --randaugment 9 --output run
refuse 64 "--randaugment 2,30" train $settings --randaugment 2,30 --output run
refuse 64 "--random-erasing 2: must be 0..1" train $settings --random-erasing 2 --output run
refuse 64 "--mixup -1: must be 0..100" train $settings --mixup -1 --output run
refuse 64 "cutout of 8 pixels and random erasing" train $settings --augment cutout8 --random-erasing 0.1 --output run
refuse 64 "at least 2 pictures" train $settings --mixup 0.2 --output run -b 1
[ -e run ] && complain "a refused run left a folder"

expect 0 train $settings --dry-run --json --schedule step --milestones 1,1.5 --optimizer sgd-caffe --weight-decay-on weights
has sgd-caffe optimizer
has step schedule
has 0.05 lr
expect 0 train --recipe demo --dry-run
says "nesterov"

# Every setting with its source: the user's flag, the recipe and whom it cites, or the default.
expect 0 train --recipe imagenet --dry-run
says "setting "
grep -q "^lr  *0.6  *imagenet: paper, section 5.1" out || complain "--dry-run: no source of lr"
grep -q "^seed  *0  *default" out || complain "--dry-run: no source of seed"
grep -q "^interpolation  *bilinear  *imagenet: inferred" out || complain "--dry-run: what nobody published is not marked"
expect 0 train --recipe imagenet --model se_bn_inception --data synthetic -b 256 --scale-lr 1024 --epochs 10 --dry-run --json
has 0.15 lr
has 0.0002 weight_decay
has 3 step_every
has "--batch-size" sources batch
has "--model" sources model
has "--epochs" sources epochs
has "imagenet: paper, section 5.1; times 256 / 1024 by --scale-lr" sources lr
has "imagenet: paper, section 5.1; stretched to --epochs 10" sources step_every
tells "scaled to 10"
expect 0 train --recipe senet154 --warmup-steps 500 --weight-decay-on weights --augment imagenet-strong --mixup 0.2 --dry-run --json
has 500 warmup_steps
has "--weight-decay-on" sources decay_gamma
has "--augment" sources augment.rotate
has "--mixup" sources augment.mixup
has default sources augment.cutmix
has 0 decay_gamma
refuse 64 "micro-batch 32 does not divide batch size 100" train --recipe imagenet --batch-size 100 --dry-run
refuse 64 "unknown model" train --recipe imagenet --model se_lenet --dry-run
refuse 66 "--data folder:nowhere" train --recipe imagenet --data folder:nowhere --dry-run
refuse 64 "unknown kind" train --recipe imagenet --data lsun:nowhere --dry-run
refuse 64 "--scale-lr 256" train --resume whole --scale-lr 256
refuse 64 "--ema 1: must be" train $settings --ema 1 --output run
refuse 64 "--micro-batch 0: must be" train $settings --micro-batch 0 --output run

# A batch in pieces, with a moving average, stopped and resumed.
large="$settings --micro-batch 5 --ema 0.9 --bn-recompute 20"
expect 0 train $large --output pieces --json
number ema_top1_error
expect 0 train $large --output halves --max-steps 7 --threads 1
expect 0 train --resume halves
for file in last ema; do
    "$HELPER" same pieces/$file.safetensors halves/$file.safetensors || complain "resumed in pieces: another $file"
done

# In less memory: the same weights; the setting is stored, and may change.
expect 0 train $large --recompute --output lean --max-steps 7
expect 0 train --resume lean --dry-run --json
has full recompute
has "the run in lean" sources recompute
expect 0 train --resume lean --recompute=cheap --dry-run --json
has cheap recompute
has "--recompute" sources recompute
expect 0 train --resume lean
for file in last ema; do
    "$HELPER" same pieces/$file.safetensors lean/$file.safetensors || complain "with --recompute: another $file"
done
refuse 64 "--recompute much" train $settings --recompute=much --output run
expect 0 summary se_cifar_resnet20 --json
kept=$(member memory training)
expect 0 summary se_cifar_resnet20 --recompute --json
[ "$(member memory training)" -lt "$kept" ] || complain "summary --recompute: $(member memory training) bytes, without it $kept"
has 0 memory gradients

expect 0 recipes
says "ablation-270"
expect 0 recipes --json
has imagenet 0 name
has 1024 0 batch

refuse 64 "--model NAME is missing" train --data synthetic --output run
refuse 64 "--data DATA is missing" train --model se_cifar_resnet8 --output run
refuse 64 "--output DIR is missing" train --model se_cifar_resnet8 --data synthetic
refuse 64 "unknown model" train --model se_lenet --data synthetic --output run
refuse 64 "recipe" train --recipe slow --output run
refuse 64 "--recipe quick" train --resume whole --recipe quick
refuse 66 "nowhere" train --resume nowhere
refuse 66 "nowhere" train $settings --init nowhere.safetensors --output run
head -c 5000 whole/checkpoint.safetensors > broken.safetensors
mkdir broken && mv broken.safetensors broken/checkpoint.safetensors
refuse 65 "broken/checkpoint.safetensors" train --resume broken
if [ "$(id -u)" -ne 0 ]; then
    mkdir locked && chmod a-w locked
    refuse 73 "locked" train $settings --output locked/run
fi
: > plain
refuse 73 "plain" train $settings --output plain/run
finish
