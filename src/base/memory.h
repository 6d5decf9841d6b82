/* memory.h - checked sizes, aligned blocks, an arena of small objects that live and die together. */
#ifndef SN_BASE_MEMORY_H
#define SN_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { SN_ALIGNMENT = 64 }; /* of every tensor: a cache line, and the widest vector */

/* *product = a * b, or false on overflow (also for negative factors). */
bool sn_multiply(int64_t a, int64_t b, int64_t *product);

static inline size_t sn_align(size_t bytes, size_t alignment) { return (bytes + alignment - 1) / alignment * alignment; }

/* A block aligned to SN_ALIGNMENT; contents undefined.  NULL when there is none; free with sn_free_aligned. */
void *sn_alloc_aligned(size_t bytes);
void *sn_alloc_aligned_zeroed(size_t bytes);
void sn_free_aligned(void *block);

/* Zeroed pages straight from the system, touched by nobody yet, so that threads which fill them share the cost of the first touch, and
 * parts can be given back by madvise.  NULL when there are none; free with sn_pages_unmap and the same size. */
void *sn_pages_map(size_t bytes);
void sn_pages_unmap(void *block, size_t bytes);

/* Grows *array so that it holds at least `need` items; amortised doubling.  false when memory is short (array unchanged). */
bool sn_grow(void *array_pointer, size_t item_bytes, size_t *capacity, size_t need);

/* An arena: objects are freed all at once.  Zero-initialised is empty and valid. */
typedef struct sn_arena {
    struct sn_arena_block *last;
} sn_arena;

/* Zeroed memory that lives until sn_arena_free; NULL when there is none. */
void *sn_arena_alloc(sn_arena *arena, size_t bytes);
/* A copy of the string in the arena; NULL when memory is short or text is NULL. */
char *sn_arena_strdup(sn_arena *arena, const char *text);
char *sn_arena_printf(sn_arena *arena, const char *format, ...) SN_PRINTF(2, 3);
void sn_arena_free(sn_arena *arena);

#endif
