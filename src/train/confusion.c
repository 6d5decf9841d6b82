/* confusion.c - see confusion.h. */
#include "train/confusion.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/image.h"

senet_status sn_confusion_create(int64_t classes, bool matrix, sn_confusion *confusion)
{
    *confusion = (sn_confusion){.classes = classes};
    if (matrix && classes > SN_CONFUSION_MAX_CLASSES)
        return sn_fail(SENET_USAGE, "a confusion matrix of %" PRId64 " classes: at most %d are supported", classes,
                       SN_CONFUSION_MAX_CLASSES);
    size_t side = (size_t)classes, cells = matrix ? side * side : 0;
    confusion->counts = calloc(side, sizeof *confusion->counts);
    if (matrix) confusion->matrix = calloc(cells, sizeof *confusion->matrix);
    if (confusion->counts && (confusion->matrix || !matrix)) return SENET_OK;
    sn_confusion_free(confusion);
    return sn_fail_memory(side * sizeof *confusion->counts + cells * sizeof *confusion->matrix, "the confusion matrix");
}

void sn_confusion_free(sn_confusion *confusion)
{
    free(confusion->counts);
    free(confusion->matrix);
    *confusion = (sn_confusion){0};
}

void sn_confusion_add(sn_confusion *confusion, int64_t label, int64_t answer, int64_t rank)
{
    sn_class_count *count = &confusion->counts[label];
    count->images++;
    count->top1_errors += rank >= 1;
    count->top5_errors += rank >= 5;
    if (confusion->matrix) confusion->matrix[label * confusion->classes + answer]++;
}

/* ---- the picture ---- */

/* The mean share, 0..1, of the cells (row, column) of the matrix that fall on one cell of the picture. */
static double share(const sn_confusion *confusion, int64_t row, int64_t column, int64_t together)
{
    const int64_t classes = confusion->classes;
    double sum = 0;
    int64_t rows = 0;
    for (int64_t y = row * together; y < (row + 1) * together && y < classes; y++) {
        if (!confusion->counts[y].images) continue;
        rows++;
        for (int64_t x = column * together; x < (column + 1) * together && x < classes; x++)
            sum += (double)confusion->matrix[y * classes + x] / (double)confusion->counts[y].images;
    }
    return rows ? sum / (double)rows : 0;
}

/* White, where nothing is, to a dark blue; the square root lets rare confusions be seen. */
static void colour(double value, uint8_t *rgb)
{
    static const double dark[3] = {8, 48, 107};
    double depth = sqrt(value < 0 ? 0 : value > 1 ? 1 : value);
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)lround(255 + (dark[c] - 255) * depth);
}

senet_status sn_confusion_write_png(const sn_confusion *confusion, const char *path)
{
    const int64_t most = SN_CONFUSION_PICTURE_SIDE, classes = confusion->classes;
    int64_t together = (classes + most - 1) / most;      /* classes a cell */
    int64_t cells = (classes + together - 1) / together; /* a row */
    int64_t pixels = most / cells, grid = pixels >= 8;   /* a cell's side; large ones have a line between them */
    int64_t side = cells * pixels + grid;
    uint8_t *rgb = malloc((size_t)(side * side) * 3);
    if (!rgb) return sn_fail_memory((size_t)(side * side) * 3, path);
    memset(rgb, 208, (size_t)(side * side) * 3); /* the lines: grey */
    for (int64_t row = 0; row < cells; row++)
        for (int64_t column = 0; column < cells; column++) {
            uint8_t cell[3];
            colour(share(confusion, row, column, together), cell);
            for (int64_t y = row * pixels + grid; y < (row + 1) * pixels; y++)
                for (int64_t x = column * pixels + grid; x < (column + 1) * pixels; x++)
                    memcpy(rgb + 3 * (y * side + x), cell, 3);
        }
    senet_status status = sn_image_write_png(path, (int)side, (int)side, rgb);
    free(rgb);
    return status;
}
