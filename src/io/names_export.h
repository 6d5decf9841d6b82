/* names_export.h - our tensors under the names of other libraries, for weights trained here that are to load there. */
#ifndef SN_IO_NAMES_EXPORT_H
#define SN_IO_NAMES_EXPORT_H

#include "base/status.h"
#include "graph/graph.h"
#include "io/names.h"

/* The namings by name, for a list of choices; the first is ours. */
#define SN_NAMINGS "canonical|timm|torchvision"

/* How another library calls the tensors of one network.  NULL stands for our own names. */
typedef struct sn_naming sn_naming;

/* The naming for the network `model` (canonical, with options).  SENET_USAGE when the library has no network that
 * computes the same; the message names the options with which it would, if there are any. */
senet_status sn_naming_find(const char *library, const char *model, const sn_naming **naming);

/* What the library calls the network, "seresnet50". */
const char *sn_naming_network(const sn_naming *naming);

/* The tensor's name and shape there; the elements and their order are the same.  Returns the rank. */
int sn_naming_tensor(const sn_naming *naming, const sn_param *param, char name[SN_MAX_TENSOR_NAME], int64_t dims[4]);

#endif
