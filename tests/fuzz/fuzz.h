/* fuzz.h - what a harness (fuzz_<parser>.c) gives: the parser on arbitrary bytes, and good inputs to begin with. */
#ifndef SN_TESTS_FUZZ_H
#define SN_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Parses the bytes and aborts when an accepted input breaks a promise.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes good input number `index` and returns its size; 0 after the last. */
size_t senet_fuzz_seed(size_t index, uint8_t *bytes, size_t capacity);

#endif
