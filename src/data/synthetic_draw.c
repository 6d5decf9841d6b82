/* synthetic_draw.c - one picture of the synthetic set.
 *
 * The label is the LARGEST figure.  Everything else is there to be looked past: a background of two colours in value
 * noise, smaller figures of any kind, bars across the figure, a light that falls off to one side, a colour cast, noise.
 * Colours are drawn alike for every class, so that neither the mean colour nor any single pixel tells the class.
 *
 * Coordinates run from -1 to 1 over the picture.  A layer is painted with the coverage 0.5 - distance / pixel, clamped:
 * the box-filtered edge of a straight outline. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "data/figures.h"
#include "data/synthetic.h"

const float sn_synthetic_mean[3] = {0.4503f, 0.4478f, 0.4493f};
const float sn_synthetic_std[3] = {0.2280f, 0.2278f, 0.2291f};

enum { MAX_LAYERS = 8, NOISE_GRID = 10 };

typedef struct rgb_colour {
    float c[3];
} rgb_colour;

/* A figure, or a bar (figure NULL: |x| below 1, endless along y), in its pose. */
typedef struct scene_layer {
    sn_figure figure;
    sn_figure_shape shape;
    float x, y;        /* centre */
    float to_local[4]; /* (x, y) - centre -> the figure's own coordinates, row-major */
    float unit;        /* picture length of one unit of the figure's coordinates */
    float reach;       /* nothing is painted farther than this from the centre */
    rgb_colour first, second;
} scene_layer;

/* Smooth noise: values on a grid, interpolated. */
typedef struct value_noise {
    int cells;
    float values[NOISE_GRID * NOISE_GRID];
} value_noise;

typedef struct scene_description {
    rgb_colour ground[2];
    value_noise coarse, fine;
    float fine_share;
    scene_layer layers[MAX_LAYERS];
    int layers_count;
    float light[3], light_x, light_y; /* gain of a channel; change of the gain along x and y */
    float noise;
} scene_description;

/* The numbers of a picture, in the order in which they are asked for. */
typedef struct number_stream {
    uint64_t key, next;
} number_stream;

static float between(number_stream *dice, float low, float high)
{
    return low + (high - low) * (float)sn_rng_uniform(dice->key, dice->next++);
}

static int below(number_stream *dice, int n)
{
    return (int)sn_rng_below(dice->key, dice->next++, (uint64_t)n);
}

static rgb_colour any_colour(number_stream *dice)
{
    rgb_colour colour;
    for (int c = 0; c < 3; c++) colour.c[c] = between(dice, 0.05f, 0.95f);
    return colour;
}

static float contrast(const rgb_colour *a, const rgb_colour *b)
{
    float sum = 0;
    for (int c = 0; c < 3; c++) sum += (a->c[c] - b->c[c]) * (a->c[c] - b->c[c]);
    return sqrtf(sum);
}

/* A colour at least `least` away from all of `others`; after a few vain throws the best one. */
static rgb_colour colour_apart(number_stream *dice, const rgb_colour *others, int count, float least)
{
    rgb_colour best = any_colour(dice);
    float best_contrast = -1;
    for (int attempt = 0; attempt < 12; attempt++) {
        rgb_colour trial = any_colour(dice);
        float nearest = 10;
        for (int i = 0; i < count; i++) nearest = fminf(nearest, contrast(&trial, &others[i]));
        if (nearest > best_contrast) {
            best = trial;
            best_contrast = nearest;
        }
        if (nearest >= least) break;
    }
    return best;
}

/* A turn whose tangent is within `tilt`, without sine and cosine: their last bits differ between C libraries. */
static void direction(number_stream *dice, float tilt, float *cosine, float *sine)
{
    float y = between(dice, -tilt, tilt), radius = sqrtf(1 + y * y);
    *cosine = 1 / radius;
    *sine = y / radius;
}

static void fill_noise(number_stream *dice, value_noise *noise, int cells)
{
    noise->cells = cells;
    for (int i = 0; i < (cells + 1) * (cells + 1); i++) noise->values[i] = between(dice, -1, 1);
}

/* x, y in -1..1. */
static float noise_at(const value_noise *noise, float x, float y)
{
    float u = (x + 1) * 0.5f * (float)noise->cells, v = (y + 1) * 0.5f * (float)noise->cells;
    int i = (int)u, j = (int)v;
    float s = u - (float)i, t = v - (float)j;
    s = s * s * (3 - 2 * s);
    t = t * t * (3 - 2 * t);
    const float *row = noise->values + j * (noise->cells + 1) + i, *next = row + noise->cells + 1;
    float upper = row[0] + (row[1] - row[0]) * s, lower = next[0] + (next[1] - next[0]) * s;
    return upper + (lower - upper) * t;
}

/* Turned, stretched by up to `stretch` along one axis, of about the given radius. */
static scene_layer place(number_stream *dice, float x, float y, float radius, float stretch, float tilt)
{
    scene_layer layer = {.x = x, .y = y, .unit = radius};
    float cosine, sine, wide = radius * between(dice, 1, stretch), high = radius * radius / wide;
    direction(dice, tilt, &cosine, &sine);
    layer.to_local[0] = cosine / wide;
    layer.to_local[1] = sine / wide;
    layer.to_local[2] = -sine / high;
    layer.to_local[3] = cosine / high;
    layer.reach = 1.2f * fmaxf(wide, high);
    layer.shape.a = between(dice, 0, 1);
    layer.shape.b = between(dice, 0, 1);
    return layer;
}

static scene_layer place_figure(number_stream *dice, int kind, float x, float y, float radius,
                                const scene_description *scene, float least_contrast)
{
    scene_layer layer = place(dice, x, y, radius, 1.15f, 0.6f);
    rgb_colour others[3] = {scene->ground[0], scene->ground[1]};
    layer.figure = sn_figures[kind];
    layer.first = others[2] = colour_apart(dice, others, 2, least_contrast);
    layer.second = colour_apart(dice, others, 3, least_contrast);
    return layer;
}

static scene_layer place_bar(number_stream *dice, float x, float y)
{
    scene_layer layer = place(dice, x, y, between(dice, 0.05f, 0.1f), 1, 1);
    if (below(dice, 2)) { /* upright or lying */
        float across = layer.to_local[0];
        layer.to_local[0] = layer.to_local[1];
        layer.to_local[1] = across;
    }
    layer.reach = 4; /* endless */
    layer.first = layer.second = any_colour(dice);
    return layer;
}

static void compose(number_stream *dice, int label, scene_description *scene)
{
    scene->ground[0] = any_colour(dice);
    scene->ground[1] = any_colour(dice);
    for (int c = 0; c < 3; c++) /* no more than half way apart: a figure must be able to stand out from both */
        scene->ground[1].c[c] = 0.5f * (scene->ground[0].c[c] + scene->ground[1].c[c]);
    fill_noise(dice, &scene->coarse, 2 + below(dice, 3));
    fill_noise(dice, &scene->fine, 6 + below(dice, 4));
    scene->fine_share = between(dice, 0.2f, 0.6f);

    float radius = between(dice, 0.6f, 0.8f);
    float room = 1.02f - 0.8f * radius; /* a corner may be cut off */
    float x = between(dice, -room, room), y = between(dice, -room, room);
    scene->layers_count = 0;
    for (int i = below(dice, 3); i > 0; i--) {
        float small = between(dice, 0.1f, 0.18f), at_x = between(dice, -0.95f, 0.95f),
              at_y = between(dice, -0.95f, 0.95f);
        scene->layers[scene->layers_count++] =
            place_figure(dice, below(dice, SN_FIGURES), at_x, at_y, small, scene, 0.25f);
    }
    scene->layers[scene->layers_count++] = place_figure(dice, label, x, y, radius, scene, 0.6f);
    for (int i = below(dice, 2); i > 0; i--) {
        float at_x = x + between(dice, -radius, radius), at_y = y + between(dice, -radius, radius);
        scene->layers[scene->layers_count++] = place_bar(dice, at_x, at_y);
    }

    float gain = between(dice, 0.7f, 1.1f);
    for (int c = 0; c < 3; c++) scene->light[c] = gain * between(dice, 0.85f, 1.15f);
    scene->light_x = between(dice, -0.25f, 0.25f);
    scene->light_y = between(dice, -0.25f, 0.25f);
    scene->noise = between(dice, 0.01f, 0.04f);
}

/* Blends the layer into row `y` (the picture coordinate) of `size` pixels. */
static void paint_row(const scene_layer *layer, float y, int size, rgb_colour *row)
{
    const float pixel = 2.0f / (float)size, dy = y - layer->y, local_pixel = pixel / layer->unit;
    if (fabsf(dy) > layer->reach) return;
    int from = (int)floorf((layer->x - layer->reach + 1) / pixel),
        to = (int)floorf((layer->x + layer->reach + 1) / pixel) + 1;
    if (from < 0) from = 0;
    if (to > size) to = size;
    for (int i = from; i < to; i++) {
        float dx = ((float)i + 0.5f) * pixel - 1 - layer->x, pattern = 1e3f;
        float u = layer->to_local[0] * dx + layer->to_local[1] * dy,
              v = layer->to_local[2] * dx + layer->to_local[3] * dy;
        float distance = layer->figure ? layer->figure(&layer->shape, u, v, &pattern) : fabsf(u) - 1;
        float cover = fminf(fmaxf(0.5f - distance / local_pixel, 0), 1);
        if (cover == 0) continue;
        float second = fminf(fmaxf(0.5f - pattern / local_pixel, 0), 1);
        for (int c = 0; c < 3; c++) {
            float ink = layer->first.c[c] + (layer->second.c[c] - layer->first.c[c]) * second;
            row[i].c[c] += (ink - row[i].c[c]) * cover;
        }
    }
}

static void ground_row(const scene_description *scene, float y, int size, rgb_colour *row)
{
    for (int i = 0; i < size; i++) {
        float x = ((float)i + 0.5f) * 2 / (float)size - 1;
        float noise =
            (1 - scene->fine_share) * noise_at(&scene->coarse, x, y) + scene->fine_share * noise_at(&scene->fine, x, y);
        float share = fminf(fmaxf(0.5f + noise, 0), 1);
        for (int c = 0; c < 3; c++)
            row[i].c[c] = scene->ground[0].c[c] + (scene->ground[1].c[c] - scene->ground[0].c[c]) * share;
    }
}

/* Light, noise (the sum of two uniform numbers, standard deviation `noise`), and rounding to bytes. */
static void develop_row(const scene_description *scene, uint64_t noise_key, int row_number, float y, int size,
                        const rgb_colour *row, uint8_t *rgb)
{
    const float noise_scale =
        scene->noise * 2.449490f / 1024; /* the sum of two in -512..511.5 has a deviation of 1024/sqrt 6 */
    for (int i = 0; i < size; i++) {
        float x = ((float)i + 0.5f) * 2 / (float)size - 1, shade = 1 + scene->light_x * x + scene->light_y * y;
        uint64_t bits = sn_rng_u64(noise_key, (uint64_t)row_number * (uint64_t)size + (uint64_t)i);
        for (int c = 0; c < 3; c++, bits >>= 20) {
            float noise = (float)((int)(bits & 1023) + (int)(bits >> 10 & 1023) - 1023);
            float value = 255 * (row[i].c[c] * scene->light[c] * shade + noise * noise_scale) + 0.5f;
            rgb[3 * i + c] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    }
}

void sn_synthetic_draw(const sn_synthetic_options *options, sn_split split, int64_t index, uint8_t *rgb)
{
    const int size = options->size;
    number_stream dice = {.key = sn_rng_key(options->seed, SN_RNG_SYNTHETIC, (uint64_t)split, (uint64_t)index)};
    scene_description scene;
    rgb_colour row[SN_SYNTHETIC_MAX_SIZE];
    compose(&dice, sn_synthetic_label(options, index), &scene);
    uint64_t noise_key = sn_rng_u64(dice.key, dice.next);
    for (int j = 0; j < size; j++) {
        float y = ((float)j + 0.5f) * 2 / (float)size - 1;
        ground_row(&scene, y, size, row);
        for (int k = 0; k < scene.layers_count; k++) paint_row(&scene.layers[k], y, size, row);
        develop_row(&scene, noise_key, j, y, size, row, rgb + (size_t)j * (size_t)size * 3);
    }
}
