/* sources.c - inputs and parameters: nothing to run, the program binds their memory. */
#ifndef REF

#define REF_BODY "cpu/ref/sources.c"
#include "cpu/ref/typed.h"

#else

REF_KERNEL(input);
REF_KERNEL(param);

#endif
