/* caffe.c - see caffe.h: walks the layers, lets protobuf-c unpack each within a limit of memory, adds the metadata. */
#include "io/caffe.h"

#ifdef SENET_WITH_PROTOBUF

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "io/caffe_layer.h"
#include "io/caffe_wire.h"
#include "io/origin.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw numbers are little-endian and used in place");

/* ---- memory ---- */

/* protobuf-c's memory: at most this for a file of `size` bytes.  Numbers take as much as in the file, and gradients
 * that a snapshot may hold beside them the same again; what is around them is small.  A hostile file of tiny messages
 * would take a hundred times its size. */
static size_t memory_limit(size_t size)
{
    return size <= (SIZE_MAX - (1 << 20)) / 2 ? 2 * size + (1 << 20) : SIZE_MAX;
}

typedef struct budget {
    size_t left;
    bool exceeded;
} budget;

/* In front of every block: its size. */
typedef union header {
    size_t bytes;
    max_align_t alignment;
} header;

static void *take(void *context, size_t bytes)
{
    budget *b = context;
    if (bytes > b->left) {
        b->exceeded = true;
        return NULL;
    }
    header *block = malloc(sizeof *block + bytes);
    if (!block) return NULL;
    block->bytes = bytes;
    b->left -= bytes;
    return block + 1;
}

static void give_back(void *context, void *memory)
{
    budget *b = context;
    if (!memory) return;
    header *block = (header *)memory - 1;
    b->left += block->bytes;
    free(block);
}

/* ---- the layers ---- */

/* What a handle stands on. */
typedef struct content {
    sn_caffe_store store;
    budget memory;
    ProtobufCAllocator allocator;
    ProtobufCMessage **layers; /* those with blobs */
    size_t layers_count, layers_capacity;
} content;

static void release(void *kept)
{
    content *c = kept;
    for (size_t i = 0; i < c->layers_count; i++) protobuf_c_message_free_unpacked(c->layers[i], &c->allocator);
    free(c->layers);
    sn_arena_free(&c->store.arena);
    free(c);
}

static sn_caffe_layer view_of(ProtobufCMessage *message, bool old)
{
    if (old) {
        const SnCaffe__OldLayer *layer = (const SnCaffe__OldLayer *)message;
        return (sn_caffe_layer){.name = layer->name ? layer->name : "",
                                .old_type = layer->type,
                                .blobs = layer->blobs,
                                .blobs_count = layer->n_blobs};
    }
    const SnCaffe__Layer *layer = (const SnCaffe__Layer *)message;
    const SnCaffe__BatchNormParameter plain = SN_CAFFE__BATCH_NORM_PARAMETER__INIT;
    return (sn_caffe_layer){.name = layer->name ? layer->name : "",
                            .type = layer->type ? layer->type : "",
                            .blobs = layer->blobs,
                            .blobs_count = layer->n_blobs,
                            .epsilon = layer->batch_norm_param ? layer->batch_norm_param->eps : plain.eps};
}

static senet_status add_layer(sn_tensors *file, const sn_caffe_walk *walk, const sn_caffe_message *from)
{
    content *c = file->content;
    const ProtobufCMessageDescriptor *kind =
        from->old ? &sn_caffe__old_layer__descriptor : &sn_caffe__layer__descriptor;
    if (!sn_grow(&c->layers, sizeof *c->layers, &c->layers_capacity, c->layers_count + 1))
        return sn_fail_memory(c->layers_count * sizeof *c->layers, file->path);
    ProtobufCMessage *message = protobuf_c_message_unpack(kind, &c->allocator, from->size, from->bytes);
    if (!message && c->memory.exceeded)
        return sn_fail(SENET_BAD_DATA,
                       "%s: byte %zu: %s, %zu bytes long, would take more memory than the %zu bytes "
                       "that a file of %zu bytes can need",
                       file->path, from->at, walk->what, from->size, memory_limit(walk->size), walk->size);
    if (!message)
        return sn_fail(SENET_BAD_DATA, "%s: byte %zu: %s, %zu bytes long, is damaged or no layer of Caffe's",
                       file->path, from->at, walk->what, from->size);
    sn_caffe_layer layer = view_of(message, from->old);
    if (layer.blobs_count == 0) {
        protobuf_c_message_free_unpacked(message, &c->allocator);
        return SENET_OK;
    }
    c->layers[c->layers_count++] = message;
    return sn_caffe_add_layer(file, &c->store, &layer);
}

static senet_status read_layers(sn_tensors *file, const void *bytes, size_t size)
{
    sn_caffe_walk walk = {.path = file->path, .bytes = bytes, .size = size};
    for (;;) {
        sn_caffe_message layer;
        SN_RETURN_IF_FAILED(sn_caffe_next_layer(&walk, &layer));
        if (!layer.bytes) break;
        SN_RETURN_IF_FAILED(add_layer(file, &walk, &layer));
    }
    if (file->count == 0)
        return sn_fail(SENET_BAD_DATA, "%s: %zu bytes with %d layers of Caffe's, none of which has weights", file->path,
                       size, walk.layers);
    SN_RETURN_IF_FAILED(sn_tensors_index(file));
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return sn_fail(SENET_BAD_DATA, "%s: two layers have weights called '%s'", file->path,
                           file->by_name[i]->name);
    return SENET_OK;
}

/* ---- metadata ---- */

static senet_status add_entry(sn_tensors *file, size_t *capacity, const char *key, const char *value)
{
    content *c = file->content;
    if (!sn_grow(&file->metadata, sizeof *file->metadata, capacity, file->metadata_count + 1))
        return sn_fail_memory(sizeof *file->metadata, file->path);
    sn_metadata_entry entry = {key, sn_arena_strdup(&c->store.arena, value)};
    if (!entry.value) return sn_fail_memory(strlen(value), file->path);
    file->metadata[file->metadata_count++] = entry;
    return SENET_OK;
}

/* How all published files want their pictures, the network, and the epsilon of its batch norms. */
static senet_status add_metadata(sn_tensors *file)
{
    content *c = file->content;
    size_t capacity = 0;
    char network[128];
    for (const sn_metadata_entry *entry = sn_origin_metadata("caffe", ""); entry->key; entry++)
        SN_RETURN_IF_FAILED(add_entry(file, &capacity, entry->key, entry->value));
    SN_RETURN_IF_FAILED(add_entry(file, &capacity, "input", "3x224x224"));
    if (sn_caffe_deduce_network(file, network, sizeof network))
        SN_RETURN_IF_FAILED(add_entry(file, &capacity, "model", network));
    if (c->store.epsilon == 0) return SENET_OK;
    sn_text epsilon = {0};
    sn_text_add_float(&epsilon, c->store.epsilon);
    senet_status status = sn_text_check(&epsilon, file->path);
    if (status == SENET_OK) status = add_entry(file, &capacity, "bn_eps", sn_text_string(&epsilon));
    sn_text_free(&epsilon);
    return status;
}

/* ---- the handle ---- */

bool sn_caffe_is_supported(void)
{
    return true;
}

senet_status sn_caffe_parse(const void *bytes, size_t size, const char *name, sn_tensors **tensors)
{
    senet_status status;
    sn_tensors *file = NULL;
    SN_RETURN_IF_FAILED(sn_tensors_new(name, &file));
    content *c = calloc(1, sizeof *c);
    if (!c) {
        status = sn_fail_memory(sizeof *c, name);
        goto cleanup;
    }
    c->memory.left = memory_limit(size);
    c->allocator = (ProtobufCAllocator){.alloc = take, .free = give_back, .allocator_data = &c->memory};
    file->content = c;
    file->release = release;
    SN_TRY(read_layers(file, bytes, size), cleanup);
    SN_TRY(add_metadata(file), cleanup);
    *tensors = file;
    return SENET_OK;

cleanup:
    sn_tensors_close(file);
    return status;
}

senet_status sn_caffe_open(const char *path, sn_tensors **tensors)
{
    sn_mapping mapping = {0};
    SN_RETURN_IF_FAILED(sn_file_map(path, &mapping));
    senet_status status = sn_caffe_parse(mapping.bytes, mapping.size, path, tensors);
    sn_file_unmap(&mapping);
    return status;
}

#else

bool sn_caffe_is_supported(void)
{
    return false;
}

senet_status sn_caffe_parse(const void *bytes, size_t size, const char *name, sn_tensors **tensors)
{
    (void)bytes, (void)size, (void)tensors;
    return sn_fail(SENET_USAGE, "%s: this build reads no Caffe files; it was made without protobuf-c", name);
}

senet_status sn_caffe_open(const char *path, sn_tensors **tensors)
{
    return sn_caffe_parse(NULL, 0, path, tensors);
}

#endif
