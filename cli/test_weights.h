/* test_weights.h - deterministic weights that need no file. */
#ifndef SENET_CLI_TEST_WEIGHTS_H
#define SENET_CLI_TEST_WEIGHTS_H

#include "exec/exec.h"

/* Fills every parameter by a rule that depends on its name and the seed only, with values as large as a trained
 * network's: two programs get the same logits from it without exchanging a file. */
senet_status cli_fill_test_weights(const sn_graph *graph, sn_params *params, uint64_t seed);

#endif
