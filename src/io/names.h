/* names.h - what other libraries call our tensors. */
#ifndef SN_IO_NAMES_H
#define SN_IO_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { SN_MAX_TENSOR_NAME = 512 };

/* Rewrites a tensor's name from a file to the canonical one of the model `base` ("cifar_resnet20"): strips what
 * wrappers put in front, applies the renaming rules of names.c.  false when the result would be longer than
 * SN_MAX_TENSOR_NAME - 1 bytes: then it is no name of ours. */
bool sn_canonical_name(const char *base, const char *name, char canonical[SN_MAX_TENSOR_NAME]);

/* Bookkeeping of training frameworks that no network reads ("bn1.num_batches_tracked"). */
bool sn_is_ignored_name(const char *name);

#endif
