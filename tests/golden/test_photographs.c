/* test_photographs.c - trained networks on photographs, from the JPEG files to the counts of right answers.
 *
 * Data (shared data/README.md): two MobileNets, 200 photographs of 200 ImageNet classes; exact crops and logits of ten
 * of them from another library; every picture's five best classes with their logits.  Every detail of decoding,
 * resizing, cropping, normalising and padding shows in the counts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/model.h"
#include "golden/golden.h"
#include "train/ensemble.h"
#include "train/network.h"
#include "train/scores.h"
#include "unit/test_failures.h"

enum { TOP = 5, PICTURES = 200, CLASSES = 1000, CROPS = 10 };

typedef struct trained {
    const char *name;
    int64_t top1_right, top5_right; /* of the 200 */
} trained;

static const trained networks[] = {{"mobilenetv1_025_128", 99, 149}, {"mobilenetv1_075_192", 163, 195}};

/* data/... beside golden/; four buffers in turn. */
static const char *shared(const char *format, const char *name)
{
    static char paths[4][1200];
    static int turn;
    char *path = paths[turn++ % 4];
    int length = snprintf(path, sizeof paths[0], "%s/../data/", golden_folder());
    snprintf(path + length, sizeof paths[0] - (size_t)length, format, name);
    return path;
}

static senet_model *open_model(const char *name)
{
    senet_model *model;
    assert_works(sn_model_open(shared("weights/%s.safetensors", name), NULL, &model));
    model->threads = 2;
    return model;
}

/* ---- ten crops, byte by byte ---- */

typedef struct crops {
    sn_tensors *file;
    const uint8_t *pixels; /* (10, size, size, 3) */
    float *logits;         /* (10, 1000) */
} crops;

static void open_crops(const char *name, crops *c)
{
    assert_works(sn_tensors_open(shared("expected/expected_%s.safetensors", name), &c->file));
    const sn_tensor *pixels = sn_tensors_find(c->file, "input_u8_nhwc"), *logits = sn_tensors_find(c->file, "logits");
    assert_true(pixels && logits && logits->dims[0] == CROPS && logits->dims[1] == CLASSES);
    c->pixels = pixels->data;
    c->logits = malloc(CROPS * CLASSES * sizeof *c->logits);
    assert_works(sn_tensor_to_f32(c->file, logits, c->logits));
}

static void close_crops(crops *c)
{
    free(c->logits);
    sn_tensors_close(c->file);
}

/* 1e-3 of logits up to 25: float32 in another order of summation (2.4e-5 were measured). */
static void stored_crops_give_the_logits(void **state)
{
    const trained *t = *state;
    senet_model *model = open_model(t->name);
    crops c;
    open_crops(t->name, &c);
    size_t values = sn_model_input_floats(model);
    float *input = malloc(values * sizeof *input), *ours = malloc(CLASSES * sizeof *ours);
    double worst = 0;
    for (int i = 0; i < CROPS; i++) {
        for (size_t v = 0; v < values; v++)
            input[v] = ((float)c.pixels[(size_t)i * values + v] / 255.0f - model->preprocess.mean[v % 3]) /
                       model->preprocess.std[v % 3];
        assert_works(sn_model_run(model, input, 1, ours));
        for (int k = 0; k < CLASSES; k++) worst = fmax(worst, fabs(ours[k] - c.logits[i * CLASSES + k]));
    }
    print_message("%s: largest difference of a logit %.2g\n", t->name, worst);
    assert_true(worst < 1e-3);
    free(input);
    free(ours);
    close_crops(&c);
    senet_model_destroy(model);
}

/* The crops from their JPEG files: not one byte differs from Pillow's. */
static void files_give_the_stored_crops(void **state)
{
    const trained *t = *state;
    senet_model *model = open_model(t->name);
    crops c;
    open_crops(t->name, &c);
    size_t values = sn_model_input_floats(model);
    uint8_t *pixels = malloc(values);
    char *files = strdup(sn_tensors_metadata(c.file, "files")), *rest = files, *file;
    for (int i = 0; (file = strsep(&rest, "|")); i++) {
        sn_image image;
        assert_works(sn_image_read(shared("%s", file), false, &image));
        assert_works(sn_image_preprocess(&image, &model->preprocess, pixels));
        assert_memory_equal(pixels, c.pixels + (size_t)i * values, values);
        sn_image_free(&image);
    }
    free(files);
    free(pixels);
    close_crops(&c);
    senet_model_destroy(model);
}

/* ---- two hundred pictures, counted ---- */

/* What the other library says about a picture. */
typedef struct expectation {
    char path[256]; /* "imagenet200/n01440764/n01440764_tench.JPEG" */
    int64_t label, top[TOP];
    double logits[TOP], margin12, margin56;
} expectation;

typedef struct comparison {
    const sn_dataset *set;
    const expectation *expected;
    int64_t seen, differing;
} comparison;

static expectation *read_expectations(const char *name)
{
    expectation *all = calloc(PICTURES, sizeof *all);
    FILE *file = fopen(shared("expected/pred_%s_imagenet200.tsv", name), "r");
    char line[1024];
    int64_t count = 0;
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file)); /* the header */
    while (fgets(line, sizeof line, file)) {
        assert_true(count < PICTURES);
        expectation *e = &all[count++];
        long long label, top[TOP];
        assert_int_equal(sscanf(line, "%255[^\t]\t%lld\t%lld,%lld,%lld,%lld,%lld\t%lf,%lf,%lf,%lf,%lf\t%lf\t%lf",
                                e->path, &label, &top[0], &top[1], &top[2], &top[3], &top[4], &e->logits[0],
                                &e->logits[1], &e->logits[2], &e->logits[3], &e->logits[4], &e->margin12, &e->margin56),
                         14);
        e->label = label;
        for (int i = 0; i < TOP; i++) e->top[i] = top[i];
    }
    assert_int_equal(count, PICTURES);
    fclose(file);
    return all;
}

/* Its answers, and the differences of its logits from the best: those do not depend on the other classes. */
static senet_status compare(void *context, const sn_eval_picture *picture)
{
    comparison *c = context;
    const char *path = sn_dataset_path(c->set, picture->index);
    int64_t top[TOP];
    const expectation *e = NULL;
    for (int i = 0; i < PICTURES; i++) {
        size_t tail = strlen(c->expected[i].path) - strlen("imagenet200"), length = strlen(path);
        if (length >= tail && strcmp(path + length - tail, c->expected[i].path + strlen("imagenet200")) == 0)
            e = &c->expected[i];
    }
    assert_non_null(e);
    assert_int_equal(picture->label, e->label);
    sn_scores_top(picture->scores, picture->classes, TOP, top);
    c->seen++;
    if (memcmp(top, e->top, sizeof top) != 0) {
        c->differing++;
        print_message("%s: %lld,%lld,%lld,%lld,%lld, expected %lld,%lld,%lld,%lld,%lld; margins %g, %g\n", e->path,
                      (long long)top[0], (long long)top[1], (long long)top[2], (long long)top[3], (long long)top[4],
                      (long long)e->top[0], (long long)e->top[1], (long long)e->top[2], (long long)e->top[3],
                      (long long)e->top[4], e->margin12, e->margin56);
    }
    for (int i = 0; i < TOP; i++) { /* logits are printed with 5 decimals; 1e-3 as above */
        double ours = picture->scores[e->top[i]] - picture->scores[e->top[0]], theirs = e->logits[i] - e->logits[0];
        if (!(fabs(ours - theirs) < 2e-3))
            fail_msg("%s: class %lld: %g, not %g", e->path, (long long)e->top[i], ours, theirs);
    }
    return SENET_OK;
}

static void evaluate(const trained *t, const char *data, bool map)
{
    senet_model *model = open_model(t->name);
    expectation *expected = read_expectations(t->name);
    sn_dataset *set;
    sn_eval_result result;
    assert_works(sn_dataset_open(data, SN_SPLIT_VAL, &set));
    if (map) assert_works(sn_dataset_map_labels(set, shared("imagenet_classes.tsv", ""), CLASSES));
    sn_view view = sn_view_of(&model->preprocess);
    sn_eval_stream stream = {.spec = &model->spec,
                             .params = model->params,
                             .preprocess = model->preprocess,
                             .views = &view,
                             .views_count = 1};
    comparison c = {.set = set, .expected = expected};
    sn_ensemble_options options = {.batch = 16, .threads = 2, .workers = 2, .picture = compare, .context = &c};
    assert_works(sn_evaluate_ensemble(&stream, 1, set, &options, &result));
    assert_int_equal(c.seen, PICTURES);
    assert_int_equal(c.differing,
                     0); /* the smallest margin between two answers is 7.7e-4, thirty times the difference */
    assert_int_equal(PICTURES - result.top1_errors, t->top1_right);
    assert_int_equal(PICTURES - result.top5_errors, t->top5_right);
    sn_dataset_close(set);
    free(expected);
    senet_model_destroy(model);
}

static void a_folder_is_counted(void **state)
{
    char data[1300];
    snprintf(data, sizeof data, "folder:%s", shared("imagenet200", ""));
    evaluate(*state, data, true);
}

/* The same pictures by a list with the network's own numbers, in reverse order. */
static void a_list_is_counted(void **state)
{
    const trained *t = *state;
    char path[] = "/tmp/senet-test-list-XXXXXX", data[64];
    expectation *expected = read_expectations(t->name);
    FILE *list = fdopen(mkstemp(path), "w");
    char *folder = realpath(shared("imagenet200", ""), NULL);
    assert_true(list && folder);
    for (int i = PICTURES - 1; i >= 0; i--)
        fprintf(list, "%s/%s\t%lld\n", folder, expected[i].path + strlen("imagenet200/"), (long long)expected[i].label);
    fclose(list);
    snprintf(data, sizeof data, "list:%s", path);
    evaluate(t, data, false);
    unlink(path);
    free(folder);
    free(expected);
}

int main(void)
{
    if (!golden_folder() || access(shared("imagenet200", ""), R_OK) != 0) {
        fprintf(stderr, "skipped: no photographs beside the project (SENET_SHARED names their folder's parent)\n");
        return 77;
    }
    static const struct {
        const char *name;
        CMUnitTestFunction test;
    } kinds[] = {
        {"stored_crops_give_the_logits", stored_crops_give_the_logits},
        {"files_give_the_stored_crops", files_give_the_stored_crops},
        {"a_folder_is_counted", a_folder_is_counted},
        {"a_list_is_counted", a_list_is_counted},
    };
    enum { KINDS = sizeof kinds / sizeof kinds[0], NETWORKS = sizeof networks / sizeof networks[0] };
    struct CMUnitTest tests[KINDS * NETWORKS] = {{0}};
    for (size_t i = 0; i < KINDS * NETWORKS; i++)
        tests[i] = (struct CMUnitTest){.name = kinds[i / NETWORKS].name,
                                       .test_func = kinds[i / NETWORKS].test,
                                       .initial_state = (void *)&networks[i % NETWORKS]};
    return _cmocka_run_group_tests("photographs", tests, KINDS * NETWORKS, NULL, NULL);
}
