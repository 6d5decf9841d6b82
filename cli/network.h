/* network.h - from --model, --weights and --threads to a network that can run. */
#ifndef SENET_CLI_NETWORK_H
#define SENET_CLI_NETWORK_H

#include "api/model.h"
#include "base/json.h"
#include "options.h"

/* Opens what --weights (if the verb has it) and --model or, where the verb takes one, its first operand name; sets
 * threads and --reference.  Without weights the parameters are zero.  SENET_USAGE when neither is given. */
senet_status cli_open_network(const cli_arguments *arguments, senet_model **model);

/* The same for one of several: weights may be NULL (parameters are zero), or name, where the file says what it is. */
senet_status cli_open_weights(const cli_arguments *arguments, const char *weights, const char *name, senet_model **model);

/* One line on standard error if the weights file has tensors that the network does without. */
void cli_warn_unused(const char *path, const senet_model *model);

/* The name given by --model or the first operand; SENET_USAGE when none or both are. */
senet_status cli_model_name(const cli_arguments *arguments, const char **name);

/* --size, or zeros. */
void cli_input_size(const cli_arguments *arguments, int64_t *height, int64_t *width);

/* "3x224x224", as in a weights file's metadata. */
const char *cli_input_text(int64_t height, int64_t width);

/* The shape (N,H,W,C) as a JSON array in file order, [N,C,H,W]; a vector (N,1,1,C) of the classifier as [N,C]. */
void cli_add_shape(sn_json_writer *json, const char *key, sn_shape shape, bool vector);

#endif
