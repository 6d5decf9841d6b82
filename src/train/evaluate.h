/* evaluate.h - evaluation with a network that is already there. */
#ifndef SN_TRAIN_EVALUATE_H
#define SN_TRAIN_EVALUATE_H

#include "train/network.h"

/* Runs the whole data set through an evaluation network.  stop may be NULL; not 0: gives up with SENET_STOPPED. */
senet_status sn_evaluate_network(sn_network *network, const sn_spec *spec, const sn_dataset *dataset,
                                 const sn_eval_options *options, const volatile int *stop, sn_eval_result *result);

/* The size and input kind of a data set's pictures (of photographs, the preprocessing's size), with the mean and std of the
 * preprocessing. */
sn_build_options sn_build_options_for(const sn_dataset *dataset, const sn_preprocess *preprocess, sn_mode mode, int64_t batch);

/* SENET_USAGE unless the network has an output for each of the data set's classes. */
senet_status sn_check_classes(const sn_spec *spec, const sn_dataset *dataset);

#endif
