/* weights_info.h - the spelling of the metadata's words, for its reader and its writer. */
#ifndef SN_IO_WEIGHTS_INFO_H
#define SN_IO_WEIGHTS_INFO_H

#include "io/weights.h"

/* By SN_INTERPOLATION_*, ending with NULL. */
extern const char *const sn_interpolation_names[SN_INTERPOLATION_NONE + 2];

#endif
