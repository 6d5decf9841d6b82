/* tuning.h - kernels chosen by measuring them on this machine, and remembered in a file.
 *
 * Kernels are otherwise chosen by models that know shapes alone, so that the same bits come out everywhere.  Where several could
 * run a convolution, a tuning runs each a few times when a program is planned and takes the fastest; the file keeps the answers, so
 * that later programs start at once and compute the same bits as the first did. */
#ifndef SN_EXEC_TUNING_H
#define SN_EXEC_TUNING_H

#include "exec/exec.h" /* sn_tuning */

/* Reads the choices of an earlier tuning; a file that does not exist yet is an empty one.  SENET_BAD_DATA: it is something else. */
senet_status sn_tuning_open(const char *path, sn_tuning **tuning);
/* The fastest kernel for these calls of one node (sn_cpu_choose); `usual` where there is no choice or no memory to measure it. */
const sn_kernel *sn_tuning_choose(sn_tuning *tuning, const sn_kernel_call *calls, int count, const sn_kernel *usual);
/* Writes the file, if anything was measured since. */
senet_status sn_tuning_save(sn_tuning *tuning);
void sn_tuning_close(sn_tuning *tuning);

#endif
