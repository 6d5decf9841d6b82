# Trained networks on 200 photographs of 200 of their classes: the known number of errors, by a folder and by a list.
. "$(dirname "$0")/common.sh"
photographs=$shared/data/imagenet200 map=$shared/data/imagenet_classes.tsv
[ -e "$photographs" ] || { echo "skipped: the photographs are not here"; exit 77; }

# counted ERRORS1 ERRORS5 ARGUMENTS...
counted() {
    first=$1 fifth=$2
    shift 2
    expect 0 eval --json "$@"
    has 200 images
    has "$first" top1_errors
    has "$fifth" top5_errors
}

small=$shared/data/weights/mobilenetv1_025_128.safetensors large=$shared/data/weights/mobilenetv1_075_192.safetensors
counted 101 51 --weights "$small" --data "folder:$photographs" --label-map "$map"
counted 37 5 --weights "$large" --data "folder:$photographs" --label-map "$map" --output folder.csv
awk -F, 'NR > 1 { print $1 "," $2 }' folder.csv > list.csv
counted 37 5 --weights "$large" --data list:list.csv
refuse 64 "has 200 classes" eval --weights "$small" --data "folder:$photographs"
finish
