/* kernels.c - speed of single kernels on the layers of the CIFAR networks: GFLOP/s of the convolutions (two for a
 * multiply-add), GB/s of the memory-bound ones (every tensor they have to read or write counted once).
 *
 *     bench_kernels [--threads N] [--batch N] [--seconds S] [--bf16 | --int8] [word]
 *
 * --bf16 stores maps as bf16 (not weights, vectors and the pictures of a first layer), --int8 as int8, which inference alone
 * has. A word picks the rows whose kernel's name holds it; SENET_ISA caps the level. The time is the shortest of many runs, so
 * that neighbours on the machine disturb little; packing weights is timed apart.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/kernels/kernel_case.h"
#include "base/parallel.h"
#include "cpu/cpu.h"
#include "cpu/ref/narrow.h"

typedef struct options {
    int threads;
    int64_t batch;
    double seconds; /* for one row */
    sn_dtype map;   /* how maps are stored */
    const char *word;
} options;

typedef struct layer {
    int side, in, kernel, out, stride, groups;
    const char *network;
} layer;

static const layer layers[] = {
    {32, 3, 3, 16, 1, 1, "stem"},
    {32, 16, 3, 16, 1, 1, "resnet-20/110"},
    {32, 16, 3, 32, 2, 1, "resnet-20/110"},
    {16, 32, 3, 32, 1, 1, "resnet-20/110"},
    {16, 32, 3, 64, 2, 1, "resnet-20/110"},
    {8, 64, 3, 64, 1, 1, "resnet-20/110"},
    {32, 64, 1, 16, 1, 1, "preresnet-164"},
    {32, 16, 1, 64, 1, 1, "preresnet-164"},
    {32, 64, 1, 128, 2, 1, "preresnet-164"},
    {16, 128, 1, 32, 1, 1, "preresnet-164"},
    {16, 32, 1, 128, 1, 1, "preresnet-164"},
    {8, 256, 1, 64, 1, 1, "preresnet-164"},
    {8, 64, 1, 256, 1, 1, "preresnet-164"},
    {32, 128, 3, 128, 1, 1, "wrn-16-8"},
    {32, 128, 3, 256, 2, 1, "wrn-16-8"},
    {16, 256, 3, 256, 1, 1, "wrn-16-8"},
    {8, 512, 3, 512, 1, 1, "wrn-16-8"},
    {16, 128, 3, 128, 1, 4, "shake-even"},
    {56, 64, 3, 64, 1, 1, "resnet-50"},
    {28, 128, 3, 128, 1, 1, "resnet-50"},
    {14, 256, 3, 256, 1, 1, "resnet-50"},
    {7, 512, 3, 512, 1, 1, "resnet-50"},
    {112, 64, 3, 64, 1, 1, "senet-154"},
    {112, 64, 3, 128, 1, 1, "vgg-16"},
    {56, 256, 3, 256, 1, 1, "vgg-16"},
    {28, 512, 3, 512, 1, 1, "vgg-16"},
    {14, 512, 3, 512, 1, 1, "vgg-16"},
    {35, 64, 3, 96, 1, 1, "inception"},
    {14, 96, 3, 208, 1, 1, "inception"},
    {224, 3, 7, 64, 2, 1, "resnet-50"},
    {56, 64, 1, 64, 1, 1, "resnet-50"},
    {56, 64, 1, 256, 1, 1, "resnet-50"},
    {56, 256, 1, 64, 1, 1, "resnet-50"},
    {56, 256, 1, 128, 2, 1, "resnet-50"},
    {56, 256, 1, 512, 2, 1, "resnet-50"},
    {28, 512, 1, 128, 1, 1, "resnet-50"},
    {28, 128, 1, 512, 1, 1, "resnet-50"},
    {14, 1024, 1, 256, 1, 1, "resnet-50"},
    {14, 256, 1, 1024, 1, 1, "resnet-50"},
    {14, 1024, 1, 2048, 2, 1, "resnet-50"},
    {7, 2048, 1, 512, 1, 1, "resnet-50"},
    {7, 512, 1, 2048, 1, 1, "resnet-50"},
    {56, 128, 1, 256, 1, 1, "resnext-50"},
    {28, 256, 1, 256, 1, 1, "mobilenet"},
    {14, 512, 1, 512, 1, 1, "mobilenet"},
    {14, 1024, 1, 1024, 1, 1, "resnext-50"},
    {56, 128, 3, 128, 2, 1, "senet-154"},
    {28, 256, 3, 256, 2, 1, "senet-154"},
    {14, 512, 3, 512, 2, 1, "senet-154"},
    {56, 128, 3, 128, 1, 32, "resnext-50"},
    {56, 256, 3, 256, 2, 32, "resnext-50"},
    {28, 256, 3, 256, 1, 32, "resnext-50"},
    {28, 512, 3, 512, 2, 32, "resnext-50"},
    {14, 512, 3, 512, 1, 32, "resnext-50"},
    {7, 1024, 3, 1024, 1, 32, "resnext-50"},
    {56, 128, 3, 256, 1, 64, "senet-154"},
    {28, 256, 3, 512, 1, 64, "senet-154"},
    {112, 32, 3, 32, 1, 32, "mobilenet"},
    {112, 64, 3, 64, 2, 64, "mobilenet"},
    {56, 128, 3, 128, 1, 128, "mobilenet"},
    {28, 256, 3, 256, 1, 256, "mobilenet"},
    {14, 512, 3, 512, 1, 512, "mobilenet"},
    {7, 1024, 3, 1024, 1, 1024, "mobilenet"},
    {28, 240, 1, 60, 1, 3, "shufflenet"},
    {28, 60, 3, 60, 1, 60, "shufflenet"},
    {28, 60, 1, 240, 1, 3, "shufflenet"},
    {7, 240, 1, 960, 1, 3, "shufflenet"},
    {1, 4096, 1, 4096, 1, 1, "vgg-16"},
    {1, 64, 1, 4, 1, 1, "excitation"},
    {1, 64, 1, 10, 1, 1, "classifier"},
};

/* Memory-bound ops: their inputs, as M map, V one value a channel, S statistics, P one value a channel and image. */
typedef struct map_op {
    sn_op_kind op;
    int moved; /* maps that have to be read or written */
    const char *inputs, *note;
    sn_activation activation;
    char output;
} map_op;

static const map_op map_ops[] = {
    {SN_OP_bn_stats, 1, "M", "", SN_IDENTITY, 'S'},
    {SN_OP_bn_apply, 2, "MSVV", "relu", SN_RELU, 'M'},
    {SN_OP_bn_grad_sums, 2, "MMSVV", "relu", SN_RELU, 'S'},
    {SN_OP_bn_grad_input, 3, "MMSVVS", "relu", SN_RELU, 'M'},
    {SN_OP_add, 3, "MM", "relu", SN_RELU, 'M'},
    {SN_OP_activation_grad, 3, "MM", "relu", SN_RELU, 'M'},
    {SN_OP_mix, 3, "MM", "", SN_IDENTITY, 'M'},
    {SN_OP_squeeze_avg, 1, "M", "", SN_IDENTITY, 'P'},
    {SN_OP_squeeze_avg_grad, 1, "PM", "", SN_IDENTITY, 'M'},
    {SN_OP_scale_add, 3, "MPM", "relu", SN_RELU, 'M'},
    {SN_OP_scale_grad_input, 2, "MPP", "", SN_IDENTITY, 'M'},
    {SN_OP_scale_grad_gate, 2, "MMP", "", SN_IDENTITY, 'P'},
    {SN_OP_channel_sum, 1, "M", "", SN_IDENTITY, 'V'},
};

static const struct { int side, channels; } maps[] = {{32, 16}, {16, 32}, {8, 64}, {32, 64}, {32, 128}};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *filled(const sn_node *node)
{
    int64_t count = sn_shape_elements(node->shape);
    void *data = sn_alloc_aligned((size_t)count * sn_dtype_bytes(node->dtype, SN_FLOAT) + 1);
    for (int64_t i = 0; data && i < count; i++) {
        float value = 0.25f + (float)(i * 7919 % 1000) * 0.001f;
        if (node->dtype == SN_BF16)
            ((uint16_t *)data)[i] = sn_bf16_from_float(value);
        else if (node->dtype == SN_Q8)
            ((uint8_t *)data)[i] = (uint8_t)(i * 7919 % 251);
        else
            ((float *)data)[i] = value;
    }
    return data;
}

/* Gradients and what moves no maps have no int8 form. */
static bool has_kernel(kernel_case *c, const options *o)
{
    if (o->map != SN_Q8) return true;
    for (int i = -1; i < c->node.inputs_count; i++) {
        sn_node *node = i < 0 ? &c->node : &c->inputs[i];
        if (node->dtype == SN_Q8) node->quant = (sn_quant){i < 0 ? 4 : 0.02f, 0};
    }
    sn_op_kind op = c->node.op;
    return c->inputs[0].dtype == SN_Q8 && (op == SN_OP_conv2d || op == SN_OP_scale_add || op == SN_OP_add || op == SN_OP_pool2d);
}

/* Times the case's kernel; prints "name shape ms" and leaves the rest of the line to the caller.  0: not wanted or no memory. */
static double time_case(kernel_case *c, const options *o, const char *shape)
{
    double best = 0;
    if (!has_kernel(c, o)) return 0;
    void *blocks[SN_MAX_INPUTS] = {NULL}, *output = NULL, *packed = NULL, *scratch = NULL;
    kernel_case_bind(c, o->threads, SN_FLOAT);
    const sn_kernel *kernel = sn_cpu_choose(&c->call, 1, false);
    if (o->word && !strstr(kernel->name, o->word)) return 0;
    for (int i = 0; i < c->node.inputs_count; i++) {
        c->call.inputs[i] = blocks[i] = filled(&c->inputs[i]);
        if (!blocks[i]) goto cleanup;
    }
    c->call.output = output = filled(&c->node);
    if (kernel->packed_bytes) packed = sn_alloc_aligned(kernel->packed_bytes(&c->call) + 1);
    if (kernel->scratch_bytes) scratch = sn_alloc_aligned(kernel->scratch_bytes(&c->call) + 1);
    if (!output || (kernel->packed_bytes && !packed) || (kernel->scratch_bytes && !scratch)) goto cleanup;
    double pack_seconds = 0;
    for (int i = 0; packed && i < 3; i++) {
        double start = now();
        kernel->pack(&c->call, packed);
        pack_seconds = now() - start;
    }
    c->call.packed = packed;
    c->call.scratch = scratch;
    double begin = now();
    for (int runs = 0; runs < 5 || now() - begin < o->seconds; runs++) {
        double start = now();
        kernel->run(&c->call);
        double seconds = now() - start;
        if (runs == 0 || seconds < best) best = seconds;
    }
    printf("%-40s %-36s %9.3f ms", kernel->name, shape, best * 1e3);
    if (packed) printf(" (+%.3f packing)", pack_seconds * 1e3);
cleanup:
    for (int i = 0; i < SN_MAX_INPUTS; i++) sn_free_aligned(blocks[i]);
    sn_free_aligned(output);
    sn_free_aligned(packed);
    sn_free_aligned(scratch);
    return best;
}

static void bench_layers(const options *o)
{
    static const sn_op_kind ops[] = {SN_OP_conv2d, SN_OP_conv2d_grad_input, SN_OP_conv2d_grad_weight};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        for (size_t k = 0; k < sizeof ops / sizeof ops[0]; k++) {
            const layer *l = &layers[i];
            int pad = l->kernel / 2;
            kernel_case c = {0};
            kernel_case_conv(&c, ops[k], (sn_shape){o->batch, l->side, l->side, l->in}, l->kernel, l->kernel, l->out,
                             (sn_conv_attrs){.stride = l->stride, .groups = l->groups, .pad_top = pad, .pad_left = pad,
                                             .pad_bottom = pad, .pad_right = pad});
            bool backward = ops[k] == SN_OP_conv2d_grad_input, weight = ops[k] == SN_OP_conv2d_grad_weight;
            sn_dtype map = l->side > 1 || l->in == 4096 ? o->map : SN_REAL; /* vectors of the squeeze and the last layer are real */
            c.inputs[0].dtype = l->in > 3 || backward || map == SN_Q8 ? map : SN_REAL; /* and so are pictures, but for int8 */
            if (weight && map != SN_Q8) c.inputs[1].dtype = map;
            if (!weight) c.node.dtype = map;
            int64_t side = (l->side + 2 * pad - l->kernel) / l->stride + 1;
            double macs = (double)(o->batch * side * side * l->out) * l->kernel * l->kernel * l->in / l->groups;
            char shape[96];
            snprintf(shape, sizeof shape, "%dx%dx%d k%d s%d g%d -> %d %s", l->side, l->side, l->in, l->kernel, l->stride,
                     l->groups, l->out, l->network);
            double seconds = time_case(&c, o, shape);
            if (seconds > 0) printf("  %7.1f GFLOP/s\n", 2e-9 * macs / seconds);
        }
}

static double giga_bytes(int64_t elements, const options *o)
{
    return 1e-9 * (double)elements * (double)sn_dtype_bytes(o->map, SN_FLOAT);
}

static sn_shape shape_of(char letter, sn_shape map)
{
    switch (letter) {
    case 'M': return map;
    case 'S': return (sn_shape){1, 1, 2, map.c};
    case 'P': return (sn_shape){map.n, 1, 1, map.c};
    default: return (sn_shape){1, 1, 1, map.c};
    }
}

static void bench_maps(const options *o)
{
    for (size_t k = 0; k < sizeof map_ops / sizeof map_ops[0]; k++)
        for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
            const map_op *m = &map_ops[k];
            sn_shape map = {o->batch, maps[i].side, maps[i].side, maps[i].channels};
            kernel_case c = {0};
            kernel_case_output(&c, m->op, shape_of(m->output, map));
            if (m->output == 'M') c.node.dtype = o->map;
            for (const char *letter = m->inputs; *letter; letter++)
                kernel_case_input(&c, shape_of(*letter, map), *letter == 'M' ? o->map : SN_REAL);
            if (strchr(m->inputs, 'V')) {
                c.node.attrs.u.norm.epsilon = 1e-5f;
                c.node.attrs.u.norm.activation = m->activation;
            } else {
                c.node.attrs.u.activation.kind = m->activation;
            }
            char shape[96];
            snprintf(shape, sizeof shape, "%dx%dx%d %s", maps[i].side, maps[i].side, maps[i].channels, m->note);
            double seconds = time_case(&c, o, shape);
            if (seconds > 0) printf("  %7.1f GB/s\n", giga_bytes(sn_shape_elements(map) * m->moved, o) / seconds);
        }
}

/* ---- pooling and moves: shapes of their own ---- */

typedef struct move {
    sn_op_kind op;
    int side, channels, out;                /* sides of the input and the output */
    int kernel, stride, pad, groups, more;  /* more: channels of a second input */
    const char *note;
} move;

static const move moves[] = {
    {SN_OP_pool2d, 112, 64, 56, 3, 2, 0, 0, 0, "resnet-50 max"},
    {SN_OP_pool2d_grad, 112, 64, 56, 3, 2, 0, 0, 0, "resnet-50 max"},
    {SN_OP_pool2d, 28, 192, 28, 3, 1, 1, 0, 0, "bn_inception max"},
    {SN_OP_channel_shuffle, 28, 60, 28, 0, 0, 0, 3, 0, "shufflenet"},
    {SN_OP_channel_shuffle, 7, 240, 7, 0, 0, 0, 3, 0, "shufflenet"},
    {SN_OP_channel_shuffle, 28, 60, 28, 0, 0, 0, 20, 0, "shufflenet, backward"},
    {SN_OP_concat, 28, 192, 28, 0, 0, 0, 0, 64, "bn_inception"},
    {SN_OP_concat, 28, 24, 28, 0, 0, 0, 0, 216, "shufflenet"},
};

static void bench_moves(const options *o)
{
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        const move *m = &moves[i];
        sn_shape in = {o->batch, m->side, m->side, m->channels}, out = {o->batch, m->out, m->out, m->channels + m->more};
        bool backward = m->op == SN_OP_pool2d_grad;
        int64_t moved = sn_shape_elements(in) + sn_shape_elements(out);
        kernel_case c = {0};
        kernel_case_output(&c, m->op, backward ? in : out);
        c.node.dtype = o->map;
        if (backward) kernel_case_input(&c, out, o->map);
        kernel_case_input(&c, in, o->map);
        if (backward) kernel_case_input(&c, out, o->map);
        if (m->more) {
            in.c = m->more;
            kernel_case_input(&c, in, o->map);
            moved += sn_shape_elements(in);
        }
        if (m->groups)
            c.node.attrs.u.shuffle.groups = m->groups;
        else if (m->kernel)
            c.node.attrs.u.pool = (sn_pool_attrs){.kind = SN_POOL_MAX, .kernel = m->kernel, .stride = m->stride, .pad = m->pad, .ceil = true};
        char shape[96];
        snprintf(shape, sizeof shape, "%dx%dx%d -> %dx%dx%d %s", m->side, m->side, m->channels, m->out, m->out, (int)out.c, m->note);
        double seconds = time_case(&c, o, shape);
        if (seconds > 0) printf("  %7.1f GB/s\n", giga_bytes(backward ? 2 * moved : moved, o) / seconds);
    }
}

int main(int count, char **arguments)
{
    options o = {.threads = sn_default_threads(), .batch = 128, .seconds = 0.2};
    for (int i = 1; i < count; i++) {
        const char *argument = arguments[i], *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(argument, "--threads") == 0)
            o.threads = atoi(value), i++;
        else if (strcmp(argument, "--batch") == 0)
            o.batch = atoll(value), i++;
        else if (strcmp(argument, "--seconds") == 0)
            o.seconds = atof(value), i++;
        else if (strcmp(argument, "--bf16") == 0)
            o.map = SN_BF16;
        else if (strcmp(argument, "--int8") == 0)
            o.map = SN_Q8;
        else if (argument[0] != '-')
            o.word = argument;
        else {
            fprintf(stderr, "usage: bench_kernels [--threads N] [--batch N] [--seconds S] [--bf16 | --int8] [word]\n");
            return SENET_USAGE;
        }
    }
    if (o.threads < 1 || o.threads > SN_MAX_THREADS || o.batch < 1 || o.batch > 65536) {
        fprintf(stderr, "bench_kernels: %d threads, batch %lld\n", o.threads, (long long)o.batch);
        return SENET_USAGE;
    }
    printf("%s, %d threads, batch %lld, best of the runs in %.2f s\n", sn_cpu_isa_name(sn_cpu_isa()), o.threads,
           (long long)o.batch, o.seconds);
    bench_layers(&o);
    bench_maps(&o);
    bench_moves(&o);
    return 0;
}
