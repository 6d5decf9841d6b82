/* eval_output.h - what `senet eval` writes: a line a picture, the matrix of confusions, the result. */
#ifndef SENET_CLI_EVAL_OUTPUT_H
#define SENET_CLI_EVAL_OUTPUT_H

#include "base/file.h"
#include "eval_setup.h"
#include "train/confusion.h"

typedef struct eval_output {
    const eval_setup *setup;
    sn_file_writer *pictures;   /* --output, or NULL */
    const char *confusion_path; /* --confusion, or NULL */
    bool per_class, as_json;
    sn_confusion confusion; /* counts for --per-class and --confusion, else empty */
} eval_output;

/* Opens the files, so that one that cannot be written is told before the work.  On failure too: close. */
senet_status eval_output_open(const cli_arguments *arguments, const eval_setup *setup, eval_output *output);
/* One picture; has the type of sn_ensemble_options.picture's work. */
senet_status eval_output_picture(eval_output *output, const sn_eval_picture *picture);
/* Everything onto the disk, and the result onto standard output. */
senet_status eval_output_finish(eval_output *output, const char *data, const sn_eval_result *result);
void eval_output_close(eval_output *output);

#endif
