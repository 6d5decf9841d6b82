/* golden.c - see golden.h. */
#include "golden/golden.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "zoo/zoo.h"

/* ---- which files ---- */

const char *golden_folder(void)
{
    static char folder[1024];
    const char *shared = getenv("SENET_SHARED");
    snprintf(folder, sizeof folder, "%s/golden", shared && *shared ? shared : "../shared");
    DIR *directory = opendir(folder);
    if (!directory) return NULL;
    closedir(directory);
    return folder;
}

static bool wanted(const char *file, bool train)
{
    size_t length = strlen(file);
    bool is_network = length > 4 && strcmp(file + length - 4, ".txt") == 0 && strcmp(file, "ops.txt") != 0;
    return is_network && (strncmp(file, "train_", 6) == 0) == train;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t golden_list_files(bool train, char ***paths)
{
    const char *folder = golden_folder();
    DIR *directory = folder ? opendir(folder) : NULL;
    size_t count = 0, capacity = 0;
    *paths = NULL;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!wanted(entry->d_name, train)) continue;
        size_t bytes = strlen(folder) + strlen(entry->d_name) + 2;
        char *path = malloc(bytes);
        assert_true(path && sn_grow(paths, sizeof **paths, &capacity, count + 1));
        snprintf(path, bytes, "%s/%s", folder, entry->d_name);
        (*paths)[count++] = path;
    }
    if (directory) closedir(directory);
    if (count > 0) qsort(*paths, count, sizeof **paths, by_text);
    return count;
}

void golden_free_paths(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++) free(paths[i]);
    free(paths);
}

/* ---- reading ---- */

static void *append(golden_list *list, size_t item_bytes)
{
    assert_true(sn_grow(&list->items, item_bytes, &list->capacity, list->count + 1));
    void *item = (char *)list->items + item_bytes * list->count++;
    memset(item, 0, item_bytes);
    return item;
}

static bool read_param(golden_file *file, const char *rest)
{
    golden_param *p = append(&file->params, sizeof *p);
    long long d[4];
    p->rank = sscanf(rest, "%95s %lld %lld %lld %lld", p->name, &d[0], &d[1], &d[2], &d[3]) - 1;
    for (int i = 0; i < p->rank; i++) p->dims[i] = d[i];
    return p->rank >= 1;
}

static bool read_stat(golden_file *file, const char *rest)
{
    golden_stat *s = append(&file->stats, sizeof *s);
    long long elements;
    if (sscanf(rest, "%95s %lf %lf %lld", s->name, &s->mean, &s->rms, &elements) != 4) return false;
    s->elements = elements;
    return true;
}

static bool read_summary(golden_list *list, const char *rest)
{
    golden_summary *s = append(list, sizeof *s);
    double *v = s->first;
    s->first_count =
        sscanf(rest, "%95s %lf %lf %lf %lf %lf %lf", s->name, &s->l2, &s->sum, &v[0], &v[1], &v[2], &v[3]) - 3;
    return s->first_count >= 1;
}

/* The lines behind "logits N K" or "trajectory K". */
static bool read_logits(golden_file *file, const char *rest, FILE *stream)
{
    long long rows, columns;
    if (sscanf(rest, "%lld %lld", &rows, &columns) != 2) return false;
    for (long long i = 0; i < rows * columns; i++)
        if (fscanf(stream, "%lf\n", (double *)append(&file->logits, sizeof(double))) != 1) return false;
    return true;
}

static bool read_trajectory(golden_file *file, const char *rest, FILE *stream)
{
    for (int steps = atoi(rest); steps > 0; steps--) {
        golden_step *step = append(&file->trajectory, sizeof *step);
        if (fscanf(stream, "%lf %lf\n", &step->loss, &step->deviation) != 2) return false;
    }
    return file->trajectory.count > 0;
}

static bool read_numbers(golden_file *file, const char *key, const char *rest)
{
    const struct {
        const char *key;
        double *value;
    } numbers[] = {
        {"inscale", &file->inscale},   {"coarse", &file->coarse},
        {"f32dev", &file->f32dev},     {"lr", &file->lr},
        {"momentum", &file->momentum}, {"weight_decay", &file->weight_decay},
        {"loss", &file->loss},         {"loss_smooth", &file->loss_smooth},
        {"gradnorm", &file->gradnorm}, {"gradnorm_smooth", &file->gradnorm_smooth},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(key, numbers[i].key) == 0) return sscanf(rest, "%lf", numbers[i].value) == 1;
    return false;
}

static bool read_record(golden_file *file, const char *key, const char *rest, FILE *stream)
{
    long long a, b, c, channels;
    unsigned long long u;
    if (strcmp(key, "net") == 0) return sscanf(rest, "%127s", file->net) == 1;
    if (strcmp(key, "seed") == 0) return sscanf(rest, "%llu", &u) == 1 && (file->seed = u, true);
    if (strcmp(key, "input") == 0)
        return sscanf(rest, "%lld %lld %lld %lld", &a, &channels, &b, &c) == 4 && channels == 3 &&
               (file->n = a, file->h = b, file->w = c, true);
    if (strcmp(key, "classes") == 0) return sscanf(rest, "%lld", &a) == 1 && (file->classes = a, true);
    if (strcmp(key, "tensors") == 0)
        return sscanf(rest, "%lld %lld %llx", &a, &b, &u) == 3 &&
               (file->tensors = a, file->elements = b, file->hash = u, true);
    if (strcmp(key, "param") == 0) return read_param(file, rest);
    if (strcmp(key, "stat") == 0) return read_stat(file, rest);
    if (strcmp(key, "grad") == 0) return read_summary(&file->grads, rest);
    if (strcmp(key, "run") == 0) return read_summary(&file->running, rest);
    if (strcmp(key, "final_weight") == 0) return read_summary(&file->final_weights, rest);
    if (strcmp(key, "logits") == 0) return read_logits(file, rest, stream);
    if (strcmp(key, "trajectory") == 0) return read_trajectory(file, rest, stream);
    if (strcmp(key, "f32graddev") == 0) return sscanf(rest, "%lf %lf", &file->graddev_max, &file->graddev_median) == 2;
    return read_numbers(file, key, rest);
}

void golden_read(const char *path, golden_file *file)
{
    char line[512], key[32];
    bool ended = false;
    memset(file, 0, sizeof *file);
    file->inscale = 1;
    snprintf(file->path, sizeof file->path, "%s", path);
    FILE *stream = fopen(path, "r");
    if (!stream) fail_msg("%s cannot be read", path);
    while (!ended && fgets(line, sizeof line, stream)) {
        int used = 0;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || sscanf(line, "%31s%n", key, &used) != 1) continue;
        ended = strcmp(key, "end") == 0;
        if (!ended && !read_record(file, key, line + used, stream)) fail_msg("%s: '%s' is no record", path, line);
    }
    fclose(stream);
    if (!ended) fail_msg("%s has no end", path);
}

void golden_free(golden_file *file)
{
    golden_list *lists[] = {&file->params,  &file->stats,      &file->logits,       &file->grads,
                            &file->running, &file->trajectory, &file->final_weights};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]->items);
}

/* ---- the fill rule ---- */

double golden_uniform(const char *name, uint64_t seed, uint64_t i)
{
    return sn_rng_uniform(sn_fnv1a64_text(name) ^ seed, i);
}

static double fill_value(sn_param_kind kind, double fan_in, double u)
{
    switch (kind) {
    case SN_PARAM_CONV_WEIGHT:
    case SN_PARAM_LINEAR_WEIGHT:
        return (2 * u - 1) * sqrt(3 / fan_in);
    case SN_PARAM_BIAS:
        return 0.1 * (2 * u - 1);
    case SN_PARAM_BN_WEIGHT:
        return 0.8 + 0.4 * u;
    case SN_PARAM_BN_BIAS:
        return 0.2 * (2 * u - 1);
    case SN_PARAM_BN_MEAN:
        return 0.1 * (2 * u - 1);
    default:
        return 0.5 + u; /* SN_PARAM_BN_VAR */
    }
}

void golden_fill(const sn_graph *graph, sn_params *params, uint64_t seed)
{
    for (size_t index = 0; index < graph->params_count; index++) {
        const sn_param *p = &graph->params[index];
        int64_t n = sn_shape_elements(p->shape);
        uint64_t key = sn_fnv1a64_text(p->name) ^ seed;
        float *values = malloc((size_t)n * sizeof *values);
        assert_non_null(values);
        for (int64_t i = 0; i < n; i++)
            values[i] = (float)fill_value(p->kind, (double)n / (double)p->dims[0], sn_rng_uniform(key, (uint64_t)i));
        sn_params_set(params, graph, (int)index, values);
        free(values);
    }
}

/* ---- inputs ---- */

static void *real_array(int64_t n, sn_precision precision)
{
    void *array = malloc((size_t)n * sn_real_bytes(precision));
    assert_non_null(array);
    return array;
}

static void store(void *array, sn_precision precision, int64_t i, float value)
{
    if (precision == SN_DOUBLE)
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = value;
}

void *golden_pictures(const golden_file *f, sn_precision precision)
{
    void *pictures = real_array(f->n * f->h * f->w * 3, precision);
    for (int64_t n = 0; n < f->n; n++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t y = 0; y < f->h; y++)
                for (int64_t x = 0; x < f->w; x++) {
                    int64_t plane = n * 3 + c, cell = (plane * 4 + y * 4 / f->h) * 4 + x * 4 / f->w;
                    double u = golden_uniform("input", f->seed, (uint64_t)((plane * f->h + y) * f->w + x));
                    double value = f->inscale * (2 * u - 1);
                    if (f->coarse != 0)
                        value += f->coarse * (2 * golden_uniform("input.coarse", f->seed, (uint64_t)cell) - 1);
                    store(pictures, precision, ((n * f->h + y) * f->w + x) * 3 + c, (float)value);
                }
    return pictures;
}

int32_t *golden_labels(const golden_file *file)
{
    int32_t *labels = malloc((size_t)file->n * sizeof *labels);
    assert_non_null(labels);
    for (int64_t i = 0; i < file->n; i++) labels[i] = (int32_t)(i % 10);
    return labels;
}

void *golden_shake(const sn_graph *graph, const golden_file *file, sn_precision precision)
{
    size_t units;
    const char *const *names = sn_model_shake_units(graph, &units);
    if (units == 0) return NULL;
    void *shares = real_array(file->n * 2 * (int64_t)units, precision);
    for (size_t unit = 0; unit < units; unit++)
        for (int64_t n = 0; n < file->n; n++)
            for (int side = 0; side < 2; side++) {
                char name[GOLDEN_NAME_BYTES + 8];
                snprintf(name, sizeof name, "%s.%s", names[unit], side == 0 ? "alpha" : "beta");
                store(shares, precision, (n * (int64_t)units + (int64_t)unit) * 2 + side,
                      (float)golden_uniform(name, file->seed, (uint64_t)n));
            }
    return shares;
}

/* ---- comparing ---- */

double golden_element(const void *data, sn_precision precision, int64_t i)
{
    return precision == SN_DOUBLE ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

void golden_expect(const golden_file *file, const char *what, double actual, double expected, double tolerance)
{
    if (!(fabs(actual - expected) <= tolerance))
        fail_msg("%s: %s is %.12g, not %.12g (off by %.2e, allowed %.2e)", file->net, what, actual, expected,
                 fabs(actual - expected), tolerance);
}
