/* test_photo_files.h - small photographs in scratch folders for the tests of src/data. */
#ifndef SN_TEST_PHOTO_FILES_H
#define SN_TEST_PHOTO_FILES_H

#include "test_data_files.h"
#include "test_pictures.h"

/* FOLDER/NAME, whose folders are made; NAME is relative. */
static inline void put_nested(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    put_file(folder, name, bytes, size);
}

static inline void put_picture(const char *folder, const char *name, test_picture picture)
{
    put_nested(folder, name, picture.bytes, picture.size);
    free(picture.bytes);
}

static inline void put_jpeg(const char *folder, const char *name, int width, int height)
{
    put_picture(folder, name, make_jpeg(width, height, (jpeg_kind){.components = 3}));
}

static inline void put_png(const char *folder, const char *name, int width, int height)
{
    put_picture(folder, name, make_png(width, height, (png_kind){.colour = PNG_COLOR_TYPE_RGB, .depth = 8}));
}

/* "KIND:FOLDER/NAME"; a few buffers in turn. */
static inline const char *spec_of(const char *kind, const char *folder, const char *name)
{
    static char texts[4][8192];
    static int turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "%s:%s%s%s", kind, folder, *name ? "/" : "", name);
    return text;
}

#endif
