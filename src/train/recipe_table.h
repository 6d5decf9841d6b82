/* recipe_table.h - published trainings as data: settings, their values, and who says so. */
#ifndef SN_TRAIN_RECIPE_TABLE_H
#define SN_TRAIN_RECIPE_TABLE_H

#include <stddef.h>

/* One setting (config.h) of a recipe.  A source that begins with "inferred" is not published: a choice that a flag may
 * change. */
typedef struct sn_recipe_value {
    const char *setting, *value, *source;
    const char *only; /* "a|b": networks (without se_) for which it holds; NULL: all.  A later value goes before an earlier */
} sn_recipe_value;

typedef struct sn_recipe {
    const char *name;
    const char *summary; /* NULL: only a base of others */
    const char *base;    /* the recipe whose values come first, or NULL */
    const char *model, *data; /* used where the user names none */
    const sn_recipe_value *values; /* ends with a NULL setting */
} sn_recipe;

extern const sn_recipe sn_recipes[]; /* a base stands before what is based on it; ends with a NULL name */

#endif
