/* augment_options.h - the options of `senet train` that say what happens to a picture. */
#ifndef SENET_CLI_AUGMENT_OPTIONS_H
#define SENET_CLI_AUGMENT_OPTIONS_H

#include "data/data.h"
#include "options.h"

/* --augment, then --randaugment, --random-erasing, --erase-fill, --mixup and --cutmix over what `augment` is. */
senet_status cli_augment_apply(const cli_arguments *arguments, sn_augment *augment);

#endif
