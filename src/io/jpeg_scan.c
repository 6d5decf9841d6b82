/* jpeg_scan.c - see jpeg_scan.h.
 *
 * Three quarters of ImageNet's photographs are sequential Huffman-coded JPEGs whose colours have full resolution; most
 * of the time of a training crop goes into reading their codes.  libjpeg still reads the header; what follows it is
 * read here: stuffed bytes are taken out first, so that the bits can be fetched eight bytes at a time without a look at
 * them, and one look-up of 11 bits yields a run, a value and their length.  Blocks outside of the rectangle are only
 * gone past. */
#define _DEFAULT_SOURCE
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "io/jpeg_scan.h"
#include "io/jpeg_transform.h"

enum { COMPONENTS = 3, LOOK = 11, LONGEST = 16, MOST_SIZE = 11 /* bits of a value in sequential JPEG */ };
enum { PAST_END = 2048 /* zeros after the data: more than three blocks can take */ };
enum { END_OF_BLOCK = 128 /* a run that leads out of any block */, SPARE = SN_JPEG_BLOCK };

/* An entry of `fast`: the value << 16, zeros before it << 8, bits in all; 0 where 11 bits do not tell. */
typedef struct codes {
    int32_t fast[1 << LOOK];
    int32_t limit[LONGEST + 1]; /* by length: above its codes and all shorter ones, which begin 16 bits */
    int32_t shift[LONGEST + 1]; /* from a code of that length to its place in `symbols` */
    uint8_t symbols[256];
} codes;

typedef struct bits {
    uint64_t buffer; /* the next ones first */
    int count;       /* of them; at least 56 after a refill */
    const uint8_t *next;
} bits;

typedef struct component {
    codes *dc, *ac;
    int32_t quantisers[SN_JPEG_BLOCK];
    int last_dc;
    uint8_t *plane; /* 8 rows of plane_stride bytes */
} component;

typedef struct scan {
    component components[COMPONENTS];
    int count;
    uint8_t *data; /* without stuffed bytes; owned */
    size_t size;
    uint8_t *planes; /* owned */
    size_t plane_stride;
    codes *tables; /* owned: of DC 0, 1, AC 0, 1 */
    bits bits;
} scan;

/* The place in a block of the k-th coefficient; what leads out of it goes to a spare place. */
static const uint8_t places[2 * END_OF_BLOCK] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18,
    11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43,
    36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45,
    38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63, [SPARE... 2 * END_OF_BLOCK - 1] = SPARE};

/* ---- tables ---- */

/* The number that `size` bits stand for: those that begin with 0 are negative. */
static inline int value_of(int read, int size)
{
    return size > 0 && read < 1 << (size - 1) ? read - (1 << size) + 1 : read;
}

/* What a symbol of a DC (a size) or AC table (a run and a size) means. */
static inline void meaning(int symbol, bool dc, int *run, int *size)
{
    *size = dc ? symbol : symbol & 15;
    *run = dc ? 0 : symbol >> 4;
    if (!dc && *size == 0 && *run != 15) *run = END_OF_BLOCK;
}

/* All entries of `fast` that begin with the code. */
static void fill_fast(codes *t, int code, int length, int symbol, bool dc)
{
    int run, size;
    meaning(symbol, dc, &run, &size);
    const int rest = LOOK - length;
    if (size > rest) return;
    for (int follow = 0; follow < 1 << rest; follow++)
        t->fast[code << rest | follow] = value_of(follow >> (rest - size), size) * 65536 + (run << 8) + length + size;
}

static bool make_codes(const JHUFF_TBL *from, bool dc, codes *t)
{
    int code = 0, place = 0;
    if (!from) return false;
    memset(t, 0, sizeof *t);
    memcpy(t->symbols, from->huffval, sizeof t->symbols);
    for (int length = 1; length <= LONGEST; length++) {
        t->shift[length] = place - code;
        for (int i = 0; i < from->bits[length]; i++, code++, place++) {
            if (code >= 1 << length || place > 255 || (dc && t->symbols[place] > MOST_SIZE)) return false;
            if (length <= LOOK) fill_fast(t, code, length, t->symbols[place], dc);
        }
        t->limit[length] = code << (LONGEST - length);
        code <<= 1;
    }
    return true;
}

/* ---- bits ---- */

static inline void refill(bits *b)
{
    uint64_t more;
    memcpy(&more, b->next, sizeof more);
    b->buffer |= be64toh(more) >> b->count;
    b->next += (63 - b->count) >> 3;
    b->count |= 56;
}

static inline void drop(bits *b, int n)
{
    b->buffer <<= n;
    b->count -= n;
}

/* An entry like those of `fast`, for a code or a value that is longer; 0: there is no such code. */
static int32_t read_long(bits *b, const codes *t, bool dc, int *used)
{
    const int32_t ahead = (int32_t)(b->buffer >> (64 - LONGEST));
    int length = 1, run, size;
    while (length <= LONGEST && ahead >= t->limit[length]) length++;
    if (length > LONGEST) return 0;
    meaning(t->symbols[(ahead >> (LONGEST - length)) + t->shift[length]], dc, &run, &size);
    if (size > MOST_SIZE) return 0;
    const int read = size > 0 ? (int)((b->buffer << length) >> (64 - size)) : 0;
    *used = length + size;
    return value_of(read, size) * 65536 + (run << 8) + 1;
}

/* One code with its value; false where there is none. */
static inline __attribute__((always_inline)) bool read_code(bits *b, const codes *t, bool dc, int *run, int *value)
{
    refill(b);
    int32_t entry = t->fast[b->buffer >> (64 - LOOK)];
    int used = entry & 255;
    if (__builtin_expect(entry == 0, 0)) {
        entry = read_long(b, t, dc, &used);
        if (entry == 0) return false;
    }
    drop(b, used);
    *run = entry >> 8 & 255;
    *value = entry >> 16;
    return true;
}

/* Reads a block; its coefficients are written where it is kept, to a block of zeros and a spare place.  Returns how
 * many coefficients have a value at most, 0 where the data is damaged. */
static inline __attribute__((always_inline)) int read_block(bits *b, component *c, bool keep, int16_t *block)
{
    int run, value, count = 1;
    if (!read_code(b, c->dc, true, &run, &value)) return 0;
    c->last_dc += value;
    if (keep) block[0] = (int16_t)c->last_dc;
    for (int k = 1; k < SN_JPEG_BLOCK; k++) {
        if (!read_code(b, c->ac, false, &run, &value)) return 0;
        k += run;
        if (keep) block[places[k]] = (int16_t)value;
        if (k < SN_JPEG_BLOCK)
            count = k + 1;
        else if (k < END_OF_BLOCK)
            return 0;
    }
    return count;
}

/* ---- the picture ---- */

/* Takes the stuffed bytes out of the data up to the end marker; another marker is none of ours. */
static bool unstuff(const uint8_t *from, size_t size, scan *s)
{
    const uint8_t *end = from + size;
    uint8_t *to = s->data = malloc(size + PAST_END);
    if (!to) return false;
    for (;;) {
        const uint8_t *mark = memchr(from, 0xFF, (size_t)(end - from));
        if (!mark || end - mark < 2) return false;
        const bool stuffed = mark[1] == 0;
        const size_t run = (size_t)(mark - from) + stuffed;
        memcpy(to, from, run);
        to += run;
        from = mark + 2;
        if (stuffed) continue;
        memset(to, 0, PAST_END);
        s->size = (size_t)(to - s->data);
        return mark[1] == JPEG_EOI;
    }
}

static bool is_ours(const struct jpeg_decompress_struct *jpeg)
{
    const bool colours = jpeg->num_components == COMPONENTS && jpeg->jpeg_color_space == JCS_YCbCr;
    const bool grey = jpeg->num_components == 1 && jpeg->jpeg_color_space == JCS_GRAYSCALE;
    if (!(colours || grey) || jpeg->progressive_mode || jpeg->arith_code || jpeg->data_precision != 8 ||
        jpeg->restart_interval != 0 || jpeg->comps_in_scan != jpeg->num_components)
        return false;
    for (int i = 0; i < jpeg->num_components; i++) {
        const jpeg_component_info *info = jpeg->cur_comp_info[i];
        if (info != &jpeg->comp_info[i] || info->h_samp_factor != 1 || info->v_samp_factor != 1 ||
            !jpeg->quant_tbl_ptrs[info->quant_tbl_no])
            return false;
    }
    return true;
}

static bool set_up(const struct jpeg_decompress_struct *jpeg, int columns, scan *s)
{
    s->count = jpeg->num_components;
    s->plane_stride = (size_t)columns * SN_JPEG_SIDE;
    s->planes = malloc(s->plane_stride * SN_JPEG_SIDE * (size_t)s->count);
    s->tables = malloc(2 * (size_t)s->count * sizeof *s->tables);
    if (!s->planes || !s->tables || !unstuff(jpeg->src->next_input_byte, jpeg->src->bytes_in_buffer, s)) return false;
    for (int i = 0; i < s->count; i++) {
        const jpeg_component_info *info = jpeg->cur_comp_info[i];
        component *c = &s->components[i];
        *c = (component){.dc = &s->tables[2 * i], .ac = &s->tables[2 * i + 1]};
        c->plane = s->planes + (size_t)i * s->plane_stride * SN_JPEG_SIDE;
        for (int k = 0; k < SN_JPEG_BLOCK; k++)
            c->quantisers[k] = jpeg->quant_tbl_ptrs[info->quant_tbl_no]->quantval[k];
        for (int before = 0; before < i; before++)
            if (jpeg->cur_comp_info[before]->dc_tbl_no == info->dc_tbl_no &&
                jpeg->cur_comp_info[before]->ac_tbl_no == info->ac_tbl_no) {
                c->dc = s->components[before].dc;
                c->ac = s->components[before].ac;
            }
        if (c->dc == &s->tables[2 * i] && (!make_codes(jpeg->dc_huff_tbl_ptrs[info->dc_tbl_no], true, c->dc) ||
                                           !make_codes(jpeg->ac_huff_tbl_ptrs[info->ac_tbl_no], false, c->ac)))
            return false;
    }
    s->bits = (bits){.next = s->data};
    return true;
}

/* Goes past `columns` blocks of every component. */
static bool skip_blocks(scan *s, int columns)
{
    bits b = s->bits;
    for (int x = 0; x < columns; x++) {
        for (int i = 0; i < s->count; i++)
            if (read_block(&b, &s->components[i], false, NULL) == 0) return false;
        if (b.next > s->data + s->size + sizeof(uint64_t)) return false;
    }
    s->bits = b;
    return true;
}

/* The pixels of `columns` blocks of every component, to the planes. */
static bool read_blocks(scan *s, int columns)
{
    bits b = s->bits;
    for (int x = 0; x < columns; x++) {
        for (int i = 0; i < s->count; i++) {
            component *c = &s->components[i];
            int16_t block[SN_JPEG_BLOCK + 1] = {0};
            const int count = read_block(&b, c, true, block);
            uint8_t *pixels = c->plane + (size_t)x * SN_JPEG_SIDE;
            if (count == 0) return false;
            if (count == 1)
                sn_jpeg_inverse_flat(block[0], c->quantisers[0], pixels, s->plane_stride);
            else
                sn_jpeg_inverse(block, c->quantisers, pixels, s->plane_stride);
        }
        if (b.next > s->data + s->size + sizeof(uint64_t)) return false;
    }
    s->bits = b;
    return true;
}

/* Rows `begin` .. `end` of the planes from column `left` on. */
static void write_rows(const scan *s, int begin, int end, int left, int width, uint8_t *rgb)
{
    for (int y = begin; y < end; y++, rgb += 3 * (size_t)width) {
        const size_t place = (size_t)y * s->plane_stride + (size_t)left;
        const uint8_t *luma = s->components[0].plane + place;
        if (s->count == COMPONENTS)
            sn_jpeg_to_rgb(luma, s->components[1].plane + place, s->components[2].plane + place, (size_t)width, rgb);
        else
            for (int x = 0; x < width; x++) memset(rgb + 3 * (size_t)x, luma[x], 3);
    }
}

static bool decode(scan *s, int columns, int first, int end, const sn_wanted *part, uint8_t *rgb)
{
    const int bottom = part->top + part->height;
    for (int row = 0; row * SN_JPEG_SIDE < bottom; row++) {
        const int top = row * SN_JPEG_SIDE, begin = part->top > top ? part->top - top : 0;
        const int rows = bottom - top < SN_JPEG_SIDE ? bottom - top : SN_JPEG_SIDE;
        if (begin >= SN_JPEG_SIDE) {
            if (!skip_blocks(s, columns)) return false;
            continue;
        }
        if (!skip_blocks(s, first) || !read_blocks(s, end - first) || !skip_blocks(s, columns - end)) return false;
        write_rows(s, begin, rows, part->left - first * SN_JPEG_SIDE, part->width, rgb);
        rgb += 3 * (size_t)part->width * (size_t)(rows - begin);
    }
    return 8 * (int64_t)(s->bits.next - s->data) - s->bits.count <= 8 * (int64_t)s->size;
}

bool sn_jpeg_scan(const struct jpeg_decompress_struct *jpeg, const sn_wanted *part, uint8_t *rgb)
{
    const int columns = (int)(jpeg->image_width + SN_JPEG_SIDE - 1) / SN_JPEG_SIDE;
    const int first = part->left / SN_JPEG_SIDE;
    const int end = (part->left + part->width + SN_JPEG_SIDE - 1) / SN_JPEG_SIDE;
    scan s = {0};
    const bool done = is_ours(jpeg) && set_up(jpeg, end - first, &s) && decode(&s, columns, first, end, part, rgb);
    free(s.data);
    free(s.planes);
    free(s.tables);
    return done;
}
