/* randaugment.c - see randaugment.h. */
#include "data/randaugment.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "data/enhance.h"

enum { RANDAUGMENT_STREAM = 0x5241 };
enum { DRAW_OP, DRAW_REVERSE, DRAWS }; /* of each operation */
enum { FIXED = 65536 };                /* Pillow steps through a source in 1/65536 of a pixel */

static const double MOST_DEGREES = 30, MOST_SHEAR = 0.3, MOST_TRANSLATION = 150.0 / 331, MOST_FACTOR = 0.9,
                    MOST_BITS = 4;

/* ---- geometry ---- */

/* Source pixel of output pixel (x, y): (a x + b y + c, d x + e y + f), of pixel centres. */
typedef struct affine {
    double a, b, c, d, e, f;
} affine;

static int64_t fixed(double value)
{
    return (int64_t)floor(value * FIXED + 0.5);
}

/* Pillow's Image.transform(AFFINE, NEAREST). */
static void warp(const affine *m, const sn_randaugment_picture *p)
{
    const size_t row = 3 * (size_t)p->width;
    const int64_t a = fixed(m->a), b = fixed(m->b), d = fixed(m->d), e = fixed(m->e);
    int64_t row_x = fixed(m->c + m->a * 0.5 + m->b * 0.5), row_y = fixed(m->f + m->d * 0.5 + m->e * 0.5);
    uint8_t *to = p->pixels;
    memcpy(p->scratch, p->pixels, (size_t)p->height * row);
    for (int y = 0; y < p->height; y++, row_x += b, row_y += e) {
        int64_t at_x = row_x, at_y = row_y;
        for (int x = 0; x < p->width; x++, at_x += a, at_y += d, to += 3) {
            const int64_t column = at_x >> 16, line = at_y >> 16;
            const bool inside = column >= 0 && column < p->width && line >= 0 && line < p->height;
            memcpy(to, inside ? p->scratch + (size_t)line * row + 3 * (size_t)column : p->outside, 3);
        }
    }
}

/* Counter-clockwise about the centre, as Image.rotate: sines and cosines are rounded to 15 decimals. */
static void rotate(double degrees, const sn_randaugment_picture *p)
{
    const double turn = -degrees * 3.14159265358979323846 / 180;
    const double cosine = round(cos(turn) * 1e15) / 1e15, sine = round(sin(turn) * 1e15) / 1e15;
    const double middle_x = p->width / 2.0, middle_y = p->height / 2.0;
    affine m = {.a = cosine, .b = sine, .d = -sine, .e = cosine};
    m.c = m.a * -middle_x + m.b * -middle_y + middle_x;
    m.f = m.d * -middle_x + m.e * -middle_y + middle_y;
    warp(&m, p);
}

static void shear(double right, double down, const sn_randaugment_picture *p)
{
    warp(&(affine){.a = 1, .b = right, .d = down, .e = 1}, p);
}

/* By whole pixels. */
static void translate(double right, double down, const sn_randaugment_picture *p)
{
    warp(&(affine){.a = 1, .c = -trunc(right), .e = 1, .f = -trunc(down)}, p);
}

/* ---- the operations ---- */

void sn_randaugment_apply(sn_randaugment_op op, double magnitude, bool reverse, const sn_randaugment_picture *p)
{
    const double strength = magnitude / SN_RANDAUGMENT_MOST_MAGNITUDE, either = reverse ? -strength : strength;
    const float factor = (float)(1 + MOST_FACTOR * either);
    const size_t count = (size_t)p->height * (size_t)p->width;
    switch (op) {
    case SN_RANDAUGMENT_AUTOCONTRAST:
        sn_enhance_autocontrast(count, p->pixels);
        break;
    case SN_RANDAUGMENT_EQUALIZE:
        sn_enhance_equalize(count, p->pixels);
        break;
    case SN_RANDAUGMENT_ROTATE:
        rotate(MOST_DEGREES * either, p);
        break;
    case SN_RANDAUGMENT_SOLARIZE:
        sn_enhance_solarize(255 - 255 * strength, count, p->pixels);
        break;
    case SN_RANDAUGMENT_COLOR:
        sn_enhance_color(factor, count, p->pixels);
        break;
    case SN_RANDAUGMENT_POSTERIZE:
        sn_enhance_posterize(8 - (int)lrint(MOST_BITS * strength), count, p->pixels);
        break;
    case SN_RANDAUGMENT_CONTRAST:
        sn_enhance_contrast(factor, count, p->pixels);
        break;
    case SN_RANDAUGMENT_BRIGHTNESS:
        sn_enhance_brightness(factor, count, p->pixels);
        break;
    case SN_RANDAUGMENT_SHARPNESS:
        sn_enhance_sharpness(factor, p->height, p->width, p->pixels, p->scratch);
        break;
    case SN_RANDAUGMENT_SHEAR_X:
        shear(MOST_SHEAR * either, 0, p);
        break;
    case SN_RANDAUGMENT_SHEAR_Y:
        shear(0, MOST_SHEAR * either, p);
        break;
    case SN_RANDAUGMENT_TRANSLATE_X:
        translate(MOST_TRANSLATION * p->width * either, 0, p);
        break;
    case SN_RANDAUGMENT_TRANSLATE_Y:
        translate(0, MOST_TRANSLATION * p->height * either, p);
        break;
    default: /* identity */
        break;
    }
}

void sn_randaugment(int count, double magnitude, uint64_t key, const sn_randaugment_picture *picture)
{
    const uint64_t stream = sn_rng_mix(key ^ RANDAUGMENT_STREAM);
    for (uint64_t i = 0; i < (uint64_t)count; i++) {
        const uint64_t op = sn_rng_below(stream, DRAWS * i + DRAW_OP, SN_RANDAUGMENT_OPS);
        const bool reverse = sn_rng_below(stream, DRAWS * i + DRAW_REVERSE, 2) == 1;
        sn_randaugment_apply((sn_randaugment_op)op, magnitude, reverse, picture);
    }
}
