/* recipes.c - published settings by name: applying an entry of recipe_table.c, and saying where a value is from. */
#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "train/config.h"
#include "train/recipe_table.h"

/* Equal but for case and '_' written for '-'. */
static bool same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        char x = *a == '_' ? '-' : (char)tolower((unsigned char)*a);
        if (x != *b) return false;
        if (x == '\0') return true;
    }
}

static const sn_recipe *find_recipe(const char *name)
{
    for (const sn_recipe *recipe = sn_recipes; recipe->name; recipe++)
        if (same_name(name, recipe->name)) return recipe;
    return NULL;
}

bool sn_recipe_list(size_t index, const char **name, const char **summary)
{
    for (const sn_recipe *recipe = sn_recipes; recipe->name; recipe++) {
        if (!recipe->summary || index-- > 0) continue;
        *name = recipe->name;
        *summary = recipe->summary;
        return true;
    }
    return false;
}

static senet_status unknown_recipe(const char *name)
{
    sn_text names = {0};
    const char *listed, *summary;
    for (size_t i = 0; sn_recipe_list(i, &listed, &summary); i++) sn_text_printf(&names, "%s%s", i ? ", " : "", listed);
    senet_status status = sn_fail(SENET_USAGE, "recipe '%s' is unknown; there are %s", name, sn_text_string(&names));
    sn_text_free(&names);
    return status;
}

/* Whether the value is for the network called `base`. */
static bool holds_for(const sn_recipe_value *value, const char *base)
{
    const size_t length = strlen(base);
    for (const char *name = value->only; name; name = strchr(name, '|')) {
        if (*name == '|') name++;
        if (strncmp(name, base, length) == 0 && (name[length] == '|' || name[length] == '\0')) return true;
    }
    return !value->only;
}

/* "se_resnet50:r=8" without what a recipe does not depend on: "resnet50".  A name that is unknown is nobody's: whoever builds the
 * model says so. */
static void network_of(const sn_train_config *config, sn_spec *spec)
{
    if (!config->model || sn_spec_parse(config->model, spec) != SENET_OK) spec->base[0] = '\0';
}

/* The base's values, then the recipe's own. */
static senet_status apply_values(const sn_recipe *recipe, const char *network, sn_train_config *config)
{
    if (recipe->base) SN_RETURN_IF_FAILED(apply_values(find_recipe(recipe->base), network, config));
    for (const sn_recipe_value *value = recipe->values; value->setting; value++) {
        if (!holds_for(value, network)) continue;
        const int index = sn_config_find(value->setting);
        if (index < 0) return sn_fail(SENET_INTERNAL, "recipe '%s': no setting '%s'", recipe->name, value->setting);
        SN_RETURN_IF_FAILED(sn_config_set(config, (size_t)index, value->value, NULL));
    }
    return SENET_OK;
}

senet_status sn_recipe_apply(const char *name, sn_train_config *config)
{
    const sn_recipe *recipe = find_recipe(name);
    sn_spec spec;
    if (!recipe || !recipe->summary) return unknown_recipe(name);
    if (!config->model) config->model = recipe->model;
    if (!config->data) config->data = recipe->data;
    config->recipe = recipe->name;
    network_of(config, &spec);
    SN_RETURN_IF_FAILED(apply_values(recipe, spec.base, config));
    config->schedule_epochs = config->epochs;
    return SENET_OK;
}

const char *sn_recipe_source(const sn_train_config *config, const char *setting)
{
    const char *source = NULL;
    sn_spec spec;
    network_of(config, &spec);
    for (const sn_recipe *recipe = config->recipe ? find_recipe(config->recipe) : NULL; recipe && !source;
         recipe = recipe->base ? find_recipe(recipe->base) : NULL)
        for (const sn_recipe_value *value = recipe->values; value->setting; value++)
            if (strcmp(value->setting, setting) == 0 && holds_for(value, spec.base)) source = value->source;
    return source;
}
