/* origin.h - how the published weights of other libraries want their pictures prepared. */
#ifndef SN_IO_ORIGIN_H
#define SN_IO_ORIGIN_H

#include "io/safetensors.h"

/* The origins by name, for a list of choices. */
#define SN_ORIGINS "caffe|torchvision|timm|cadene|akamaster"

/* The preprocessing of weights of this origin for the network `base` ("resnet50"), in the words of a weights file's
 * metadata: channels, mean, std, crop_pct, interpolation; ends with a NULL key.  NULL for another origin. */
const sn_metadata_entry *sn_origin_metadata(const char *origin, const char *base);

#endif
