/* survey.h - reading every picture of a data set: what is wrong with which, sizes, colours, classes; for `senet data
 * verify` and `senet data stat`. */
#ifndef SN_DATA_SURVEY_H
#define SN_DATA_SURVEY_H

#include "data/data.h"

typedef enum sn_problem_kind {
    SN_PROBLEM_UNREADABLE, /* cannot be decoded: damaged, truncated, no picture */
    SN_PROBLEM_WRONG_TYPE, /* a JPEG named .png or the other way round; it can be read */
    SN_PROBLEM_DUPLICATE,  /* the same bytes as an earlier one */
    SN_PROBLEM_EMPTY_CLASS /* a class without a picture */
} sn_problem_kind;

typedef struct sn_problem {
    sn_problem_kind kind;
    int64_t index; /* of the sample; of an empty class its number */
    char *message; /* names the file; owned */
} sn_problem;

typedef struct sn_survey {
    int64_t images, unreadable, classes;
    int64_t *by_class;                      /* classes: pictures that can be read */
    double mean[3], std[3];                 /* of the values in 0..1, every picture weighing the same */
    int smallest[2], median[2], largest[2]; /* width and height, each on its own */
    sn_problem *problems;
    size_t problems_count, problems_capacity;
    uint64_t *contents; /* images: a hash of each file, 0 where there is none; NULL unless photographs */
} sn_survey;

/* Reads every picture on `threads` threads; the result does not depend on their number.  Not for real tensors. progress
 * may be NULL. */
senet_status sn_survey_run(const sn_dataset *dataset, int threads, sn_progress progress, void *context,
                           sn_survey *survey);
/* Adds the classes that no picture of the survey belongs to. */
senet_status sn_survey_find_empty_classes(const sn_dataset *dataset, sn_survey *survey);
/* Adds what is the same in the `count` splits of a data set: each picture after the first of equal ones is a problem.
 */
senet_status sn_survey_find_duplicates(const sn_dataset *const *splits, sn_survey *surveys, int count);
const char *sn_problem_name(sn_problem_kind kind); /* "unreadable" */
void sn_survey_free(sn_survey *survey);

#endif
