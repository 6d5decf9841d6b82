/* train_settings.h - what `senet train --dry-run` prints: every setting, its value, and where that is from. */
#ifndef SENET_CLI_TRAIN_SETTINGS_H
#define SENET_CLI_TRAIN_SETTINGS_H

#include "options.h"
#include "train/train.h"

/* Checks the settings and the model's name without building anything; data may be left out. */
senet_status cli_train_check(const sn_train_config *config);

/* Prints the settings as a table or as JSON, once the data, where they are named, are found to be there. */
senet_status cli_train_print_settings(const cli_arguments *arguments, const sn_train_config *config);

#endif
