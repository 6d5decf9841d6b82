/* train_options.h - the options of `senet train`, and how they become the settings of a run. */
#ifndef SENET_CLI_TRAIN_OPTIONS_H
#define SENET_CLI_TRAIN_OPTIONS_H

#include "options.h"
#include "train/train.h"

extern const cli_option cli_train_options[];

/* Defaults, or the settings of the run to resume; then the recipe; then every flag the user gave.  The strings belong
 * to the arguments and the arena. */
senet_status cli_train_config(const cli_arguments *arguments, sn_arena *arena, sn_train_config *config);

#endif
