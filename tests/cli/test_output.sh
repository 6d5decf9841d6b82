# Output that cannot be written: exit code 73 and one line; nothing that was there is harmed.
. "$(dirname "$0")/common.sh"
make_weights
"$HELPER" pictures .
"$HELPER" tensors input.safetensors 4 32 32

full() { # ARGUMENTS: the program with a full standard output
    "$SENET" "$@" > /dev/full 2> err
    code=$?
    : > out
    [ $code -eq 73 ] || complain "senet $* > /dev/full: exit code $code, not 73"
    [ "$(wc -l < err)" -eq 1 ] || complain "senet $* > /dev/full: $(wc -l < err) lines on standard error"
    tells "standard output"
}
if [ -w /dev/full ]; then
    full --help
    full models --json
    full predict --weights weights.safetensors rgb.png
    full predict --weights weights.safetensors --json rgb.png rgb.jpg
    full eval --weights weights.safetensors --data synthetic:train=10,val=10
fi
# A reader that goes away early: no death by SIGPIPE, an exit code.
code=$({ "$SENET" models --json 2> err; echo $? >&3; } 3>&1 > closed | true; wait)
: > out

# A full file system.
mkdir disk
if mount -t tmpfs -o size=64k none disk 2> /dev/null; then
    echo kept > disk/weights
    refuse 73 "disk/out.safetensors" run --model se_cifar_resnet8 --fill 1 --input input.safetensors \
        --output disk/out.safetensors --tap layer1.0
    [ "$(ls disk)" = weights ] || complain "a full disk: left $(ls disk)"
    expect 73 data synth synthetic:train=100,val=20 --output disk/set
    [ "$(wc -l < err)" -eq 1 ] || complain "data synth on a full disk: $(wc -l < err) lines"
    expect 73 train --model se_cifar_resnet8 --data synthetic:train=40,val=20 --epochs 1 --output disk/run
    tail -1 err | grep -q "disk/run" || complain "train on a full disk: the message does not name the place"
    umount disk
else
    echo "left out: no small file system can be mounted here"
fi
finish
