/* memory.c - see memory.h. */
#define _GNU_SOURCE /* madvise */
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool sn_multiply(int64_t a, int64_t b, int64_t *product)
{
    if (a < 0 || b < 0) return false;
    return !__builtin_mul_overflow(a, b, product);
}

/* Weights and activations are walked through with large strides and once a run: in pages of 2 MB, where the system has them to
 * give, they cost fewer page faults at the start and fewer misses of the address cache ever after. */
enum { HUGE_PAGE = 2 * 1024 * 1024 };

void *sn_alloc_aligned(size_t bytes)
{
    if (bytes > SIZE_MAX - SN_ALIGNMENT) return NULL;
    void *block = NULL;
    bool huge = bytes >= 2 * HUGE_PAGE;
    if (posix_memalign(&block, huge ? HUGE_PAGE : SN_ALIGNMENT, sn_align(bytes ? bytes : 1, SN_ALIGNMENT)) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) madvise(block, bytes, MADV_HUGEPAGE); /* a wish: nothing depends on it */
#endif
    return block;
}

void *sn_alloc_aligned_zeroed(size_t bytes)
{
    void *block = sn_alloc_aligned(bytes);
    if (block) memset(block, 0, bytes);
    return block;
}

void sn_free_aligned(void *block) { free(block); }

/* A large block begins where a page of 2 MB can: a longer one is asked for, and both ends are cut off. */
void *sn_pages_map(size_t bytes)
{
    size_t spare = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 0;
    if (bytes > SIZE_MAX - spare - HUGE_PAGE) return NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), length = sn_align(bytes ? bytes : 1, page);
    char *all = mmap(NULL, length + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return NULL;
    if (!spare) return all;
    char *block = all + (sn_align((size_t)(uintptr_t)all, HUGE_PAGE) - (size_t)(uintptr_t)all);
    if (block > all) munmap(all, (size_t)(block - all));
    if (block < all + spare) munmap(block + length, (size_t)(all + spare - block));
#ifdef MADV_HUGEPAGE
    madvise(block, length, MADV_HUGEPAGE);
#endif
    return block;
}

void sn_pages_unmap(void *block, size_t bytes)
{
    if (block) munmap(block, sn_align(bytes ? bytes : 1, (size_t)sysconf(_SC_PAGESIZE)));
}

bool sn_grow(void *array_pointer, size_t item_bytes, size_t *capacity, size_t need)
{
    if (need <= *capacity) return true;
    size_t grown = *capacity ? *capacity : 8;
    while (grown < need) {
        if (grown > SIZE_MAX / 2) return false;
        grown *= 2;
    }
    if (grown > SIZE_MAX / item_bytes) return false;
    void *old, *moved;
    memcpy(&old, array_pointer, sizeof old);
    moved = realloc(old, grown * item_bytes);
    if (!moved) return false;
    memcpy(array_pointer, &moved, sizeof moved);
    *capacity = grown;
    return true;
}

struct sn_arena_block {
    struct sn_arena_block *previous;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

void *sn_arena_alloc(sn_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    bytes = sn_align(bytes ? bytes : 1, 16);
    struct sn_arena_block *block = arena->last;
    if (!block || block->size - block->used < bytes) {
        size_t size = bytes > 16384 ? bytes : 16384;
        block = calloc(1, sizeof *block + size);
        if (!block) return NULL;
        block->size = size;
        block->previous = arena->last;
        arena->last = block;
    }
    void *object = block->bytes + block->used;
    block->used += bytes;
    return object;
}

char *sn_arena_strdup(sn_arena *arena, const char *text)
{
    if (!text) return NULL;
    size_t bytes = strlen(text) + 1;
    char *copy = sn_arena_alloc(arena, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *sn_arena_printf(sn_arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : sn_arena_alloc(arena, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void sn_arena_free(sn_arena *arena)
{
    while (arena->last) {
        struct sn_arena_block *previous = arena->last->previous;
        free(arena->last);
        arena->last = previous;
    }
}
