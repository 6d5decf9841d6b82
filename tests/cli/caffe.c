/* caffe.c - a published network with made-up weights, for the shell tests of what reads Caffe's files:
 *
 *     caffe MODEL FILE     writes FILE.caffemodel as Caffe would and FILE.safetensors, which holds the same
 *
 * Exit code 77 where the library reads no Caffe files. */
#include <stdio.h>

#include "api/model.h"
#include "base/file.h"
#include "base/rng.h"
#include "caffe_network.h"
#include "io/caffe.h"

typedef struct tensors {
    const sn_graph *graph;
    float **values; /* by parameter */
} tensors;

static caffe_blob find(void *context, const char *tensor)
{
    const tensors *t = context;
    int index = sn_graph_find_param(t->graph, tensor);
    if (index < 0) return (caffe_blob){0};
    const sn_param *param = &t->graph->params[index];
    caffe_blob blob = {.rank = param->rank, .values = t->values[index]};
    memcpy(blob.dims, param->dims, sizeof blob.dims);
    return blob;
}

/* In 0.01 .. 0.03: fit for a variance, and a deep network does not overflow. */
static float *make_values(const sn_param *param)
{
    int64_t count = sn_shape_elements(param->shape);
    float *values = malloc((size_t)count * sizeof *values);
    uint64_t key = sn_fnv1a64_text(param->name);
    for (int64_t i = 0; values && i < count; i++) values[i] = (float)(0.01 + 0.02 * sn_rng_uniform(key, (uint64_t)i));
    return values;
}

static senet_status write_both(const char *name, const char *file)
{
    char path[4096];
    senet_model *model = NULL;
    caffe_bytes net = {0};
    senet_status status;
    SN_RETURN_IF_FAILED(sn_model_create(name, &model));
    size_t count = model->layout->params_count;
    tensors t = {model->layout, calloc(count, sizeof *t.values)};
    if (!t.values) return sn_fail_memory(count, "the tensors");
    for (size_t i = 0; i < count; i++) {
        t.values[i] = make_values(&model->layout->params[i]);
        if (!t.values[i]) return sn_fail_memory(count, "a tensor");
        sn_params_set(model->params, model->layout, (int)i, t.values[i]);
    }
    char base[64]; /* what the writer goes by: no options */
    snprintf(base, sizeof base, "%.*s", (int)strcspn(name, ":"), name);
    if (!caffe_write_network(&net, base, &(caffe_source){find, &t, 1}))
        status = sn_fail(SENET_USAGE, "%s: nobody published it in Caffe", name);
    else {
        snprintf(path, sizeof path, "%s.caffemodel", file);
        status = sn_file_write(path, net.bytes, net.size);
    }
    snprintf(path, sizeof path, "%s.safetensors", file);
    if (status == SENET_OK) status = sn_weights_save(path, model->layout, model->params, NULL, NULL, 0);
    for (size_t i = 0; i < count; i++) free(t.values[i]);
    free(t.values);
    free(net.bytes);
    senet_model_destroy(model);
    return status;
}

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: caffe MODEL FILE\n");
        return 64;
    }
    if (!sn_caffe_is_supported()) return 77;
    senet_status status = write_both(words[1], words[2]);
    if (status != SENET_OK) fprintf(stderr, "caffe: %s\n", senet_last_error());
    return (int)status;
}
