/* figures.c - see figures.h.  Distances are exact or a close lower bound: what matters is one pixel around the outline.
 * The polygon foldings are Inigo Quilez' (iquilezles.org/articles/distfunctions2d). */
#include "data/figures.h"

#include <math.h>

static const float one_colour = 1e3f;

static float smaller(float a, float b)
{
    return a < b ? a : b;
}
static float larger(float a, float b)
{
    return a > b ? a : b;
}
static float length(float x, float y)
{
    return sqrtf(x * x + y * y);
}
static float clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

static float box(float x, float y, float half_width, float half_height)
{
    float dx = fabsf(x) - half_width, dy = fabsf(y) - half_height;
    return length(larger(dx, 0), larger(dy, 0)) + smaller(larger(dx, dy), 0);
}

/* Distance from the lines t = integer, signed by whether floor(t) is odd; t counts half periods. */
static float stripe(float t)
{
    float cell = floorf(t), inside = t - cell;
    float distance = smaller(inside, 1 - inside);
    return cell - 2 * floorf(0.5f * cell) > 0.5f ? -distance : distance;
}

static float disc(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    (void)shape;
    *pattern = one_colour;
    return length(x, y) - 0.9f;
}

static float ring(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    *pattern = one_colour;
    float half_width = 0.14f + 0.12f * shape->a;
    return fabsf(length(x, y) - (0.98f - half_width)) - half_width;
}

static float square(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    (void)shape;
    *pattern = one_colour;
    return box(x, y, 0.78f, 0.78f);
}

static float triangle(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    (void)shape;
    *pattern = one_colour;
    /* Three half planes at 120 degrees, 0.52 from the centre. */
    float side = 0.8660254f * fabsf(x) + 0.5f * y;
    return larger(side, -y) - 0.54f;
}

static float star(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    *pattern = one_colour;
    const float kx = 0.809016994f, ky = -0.587785252f; /* cos, -sin of 36 degrees */
    const float outer = 1.08f, inner = 0.36f + 0.12f * shape->a;
    x = fabsf(x);
    float reflect = 2 * larger(kx * x + ky * y, 0);
    x -= reflect * kx;
    y -= reflect * ky;
    reflect = 2 * larger(-kx * x + ky * y, 0);
    x += reflect * kx;
    y -= reflect * ky;
    x = fabsf(x);
    y -= outer;
    float bx = inner * -ky, by = inner * kx - outer; /* from a tip to the next notch */
    float along = clamp((x * bx + y * by) / (bx * bx + by * by), 0, 1);
    float distance = length(x - bx * along, y - by * along);
    return y * bx - x * by > 0 ? distance : -distance;
}

static float cross(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    *pattern = one_colour;
    float arm = 0.22f + 0.1f * shape->a;
    return smaller(box(x, y, 0.98f, arm), box(x, y, arm, 0.98f));
}

/* The outline of the two patterned figures: a disc or a square, so that the outline does not tell them from the others.
 */
static float patch(const sn_figure_shape *shape, float x, float y)
{
    return shape->b < 0.5f ? length(x, y) - 0.98f : box(x, y, 0.82f, 0.82f);
}

static float stripes(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    float half_period = 0.27f + 0.1f * shape->a;
    *pattern = half_period * stripe(x / half_period + 7 * shape->a);
    return patch(shape, x, y);
}

static float checker(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    float cell = 0.36f + 0.1f * shape->a;
    float across = stripe(x / cell + 7 * shape->a), down = stripe(y / cell + 5 * shape->a);
    float distance = cell * smaller(fabsf(across), fabsf(down));
    *pattern = (across > 0) == (down > 0) ? distance : -distance;
    return patch(shape, x, y);
}

/* Angle / (2 pi) in [-0.5, 0.5]; the error of the polynomial, 1e-4 turns, is far below a pixel. */
static float turns(float y, float x)
{
    float ax = fabsf(x), ay = fabsf(y), small = smaller(ax, ay), big = larger(larger(ax, ay), 1e-9f);
    float t = small / big, s = t * t;
    float angle = t * (0.159155f + s * (-0.052534f + s * (0.028769f + s * -0.010390f)));
    if (ay > ax) angle = 0.25f - angle;
    if (x < 0) angle = 0.5f - angle;
    return y < 0 ? -angle : angle;
}

/* Archimedes' spiral: the arm is where radius / pitch - angle is near an integer. */
static float spiral(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    *pattern = one_colour;
    const float pitch = 0.44f + 0.1f * shape->a;
    if (shape->b < 0.5f) x = -x;
    float radius = length(x, y);
    float turn = radius / pitch - turns(y, x);
    float off = fabsf(turn - floorf(turn) - 0.5f) * pitch;
    return larger(off - 0.24f * pitch, radius - 1.02f);
}

static float crescent(const sn_figure_shape *shape, float x, float y, float *pattern)
{
    *pattern = one_colour;
    float shift = 0.42f + 0.16f * shape->a;
    return larger(length(x, y) - 0.98f, 0.76f - length(x - shift, y));
}

const sn_figure sn_figures[SN_FIGURES] = {disc,  ring,    square,  triangle, star,
                                          cross, stripes, checker, spiral,   crescent};
const char *const sn_figure_names[SN_FIGURES] = {"disc",  "ring",    "square",  "triangle", "star",
                                                 "cross", "stripes", "checker", "spiral",   "crescent"};
