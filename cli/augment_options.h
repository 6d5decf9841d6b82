/* augment_options.h - the options of `senet train` that say what happens to a picture. */
#ifndef SENET_CLI_AUGMENT_OPTIONS_H
#define SENET_CLI_AUGMENT_OPTIONS_H

#include "data/data.h"
#include "options.h"

/* The words of --augment: what they can say gives way to what they do say; "none" ends everything. */
senet_status cli_augment_parse(const char *text, sn_augment *augment);

/* --augment, then --randaugment, --random-erasing, --erase-fill, --mixup and --cutmix over what `augment` is. */
senet_status cli_augment_apply(const cli_arguments *arguments, sn_augment *augment);

#endif
