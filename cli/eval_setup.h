/* eval_setup.h - from the command line of `senet eval` to networks, views and a data set that fit together. */
#ifndef SENET_CLI_EVAL_SETUP_H
#define SENET_CLI_EVAL_SETUP_H

#include "api/model.h"
#include "options.h"
#include "train/ensemble.h"
#include "train/protocol.h"

typedef struct eval_setup {
    senet_model **models;
    size_t models_count;
    sn_protocol protocol;
    sn_dataset *dataset;
    bool as_stored;          /* pictures of one size, taken as they are */
    sn_eval_stream *streams; /* one a network and crop size */
    size_t streams_count;
    int64_t views; /* of a picture, all streams together */
    int64_t batch;
} eval_setup;

/* SENET_USAGE and SENET_BAD_DATA with a message that says what does not fit and what to do.  On failure too: free. */
senet_status eval_setup_create(const cli_arguments *arguments, eval_setup *setup);
void eval_setup_free(eval_setup *setup);

/* The name of a class of the network: the weights file's, or the data set's; NULL when neither has names. */
const char *eval_label(const eval_setup *setup, int64_t k);

#endif
