/* recipes.c - the settings of published trainings by name.
 *
 * The rows of the paper's Tables 4 and 5 (CIFAR-10 and CIFAR-100) say "as in the original papers"; each entry names the code
 * it follows.  A network with SE blocks trains as the one without.  Adding a recipe is adding an entry. */
#include <ctype.h>
#include <stddef.h>

#include "base/text.h"
#include "train/train.h"

typedef struct recipe {
    const char *name, *summary;
    const char *model, *data; /* used where the user names none */
    int64_t batch, epochs;
    sn_optimizer optimizer;
    double lr, weight_decay;
    sn_schedule schedule;
    double milestones[4]; /* epochs; ends with 0 */
    double gamma;
    double warmup_epochs, warmup_lr;
    int64_t warmup_steps;
    sn_init init;
    int cutout;
    bool drop_last;
} recipe;

/* All: momentum 0.9, weight decay on every parameter, zero padding by 4 with a random crop, flips, shuffled epochs. */
static const recipe recipes[] = {
    {
        .name = "cifar-preresnet",
        .summary = "cifar_preresnet110 and 164 (Tables 4, 5): 164 epochs, lr 0.1 after 400 steps at 0.01, /10 at 81, 122",
        .model = "se_cifar_preresnet110", /* fb.resnet.torch, resnet-1k-layers */
        .batch = 128, .epochs = 164,
        .optimizer = SN_SGD_TORCH, .lr = 0.1, .weight_decay = 1e-4,
        .schedule = SN_SCHEDULE_STEP, .milestones = {81, 122}, .gamma = 0.1,
        .warmup_steps = 400, .warmup_lr = 0.01,
        .init = SN_INIT_HE_FAN_OUT,
    },
    {
        .name = "cifar-wrn",
        .summary = "wrn16_8 (Tables 4, 5): 200 epochs, Nesterov, lr 0.1, x0.2 at 60, 120, 160, weight decay 5e-4",
        .model = "se_wrn16_8", /* szagoruyko/wide-residual-networks */
        .batch = 128, .epochs = 200,
        .optimizer = SN_NESTEROV, .lr = 0.1, .weight_decay = 5e-4,
        .schedule = SN_SCHEDULE_STEP, .milestones = {60, 120, 160}, .gamma = 0.2,
        .init = SN_INIT_HE, .drop_last = true,
    },
    {
        .name = "cifar-shake-shake",
        .summary = "shake_shake26_2x96d on CIFAR-10 (Table 4): 1800 epochs, Nesterov, cosine from 0.2, Cutout 16",
        .model = "se_shake_shake26_2x96d", /* xgastaldi/shake-shake */
        .batch = 128, .epochs = 1800,
        .optimizer = SN_NESTEROV, .lr = 0.2, .weight_decay = 1e-4,
        .schedule = SN_SCHEDULE_COSINE,
        .init = SN_INIT_HE_FAN_OUT, .cutout = 16,
    },
    {
        .name = "cifar-shake-even",
        .summary = "shake_even29_2x4x64d on CIFAR-100 (Table 5): 1800 epochs, Nesterov, cosine from 0.025, batch 32, Cutout 8",
        .model = "se_shake_even29_2x4x64d", /* xgastaldi/shake-shake */
        .batch = 32, .epochs = 1800,
        .optimizer = SN_NESTEROV, .lr = 0.025, .weight_decay = 5e-4,
        .schedule = SN_SCHEDULE_COSINE,
        .init = SN_INIT_HE_FAN_OUT, .cutout = 8,
    },
    {
        .name = "cifar-resnet",
        .summary = "cifar_resnet20 to 110: 200 epochs, lr 0.1, /10 at 100, 150",
        .model = "se_cifar_resnet20", /* akamaster/pytorch_resnet_cifar10 */
        .batch = 128, .epochs = 200,
        .optimizer = SN_SGD_TORCH, .lr = 0.1, .weight_decay = 1e-4,
        .schedule = SN_SCHEDULE_STEP, .milestones = {100, 150}, .gamma = 0.1,
        .init = SN_INIT_HE,
    },
    {
        .name = "quick",
        .summary = "a good network in 30 epochs: Nesterov, lr 0.1 after 2 epochs of warm-up, cosine, weight decay 5e-4",
        .model = "se_cifar_resnet20",
        .batch = 128, .epochs = 30,
        .optimizer = SN_NESTEROV, .lr = 0.1, .weight_decay = 5e-4,
        .schedule = SN_SCHEDULE_COSINE, .warmup_epochs = 2, .warmup_lr = 0.01,
        .init = SN_INIT_HE,
    },
    {
        .name = "demo",
        .summary = "a first look: se_cifar_resnet20 on synthetic pictures, 3 epochs, needs no files",
        .model = "se_cifar_resnet20", .data = "synthetic",
        .batch = 64, .epochs = 3,
        .optimizer = SN_NESTEROV, .lr = 0.05, .weight_decay = 5e-4,
        .schedule = SN_SCHEDULE_COSINE,
        .init = SN_INIT_HE,
    },
};
enum { RECIPES = sizeof recipes / sizeof recipes[0] };

bool sn_recipe_list(size_t index, const char **name, const char **summary)
{
    if (index >= RECIPES) return false;
    *name = recipes[index].name;
    *summary = recipes[index].summary;
    return true;
}

/* Equal but for case and '_' written for '-'. */
static bool same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        char x = *a == '_' ? '-' : (char)tolower((unsigned char)*a);
        if (x != *b) return false;
        if (x == '\0') return true;
    }
}

static senet_status unknown_recipe(const char *name)
{
    sn_text names = {0};
    for (size_t i = 0; i < RECIPES; i++) sn_text_printf(&names, "%s%s", i ? ", " : "", recipes[i].name);
    senet_status status = sn_fail(SENET_USAGE, "recipe '%s' is unknown; there are %s", name, sn_text_string(&names));
    sn_text_free(&names);
    return status;
}

senet_status sn_recipe_apply(const char *name, sn_train_config *config)
{
    const recipe *chosen = NULL;
    for (size_t i = 0; i < RECIPES; i++)
        if (same_name(name, recipes[i].name)) chosen = &recipes[i];
    if (!chosen) return unknown_recipe(name);

    if (!config->model) config->model = chosen->model;
    if (!config->data) config->data = chosen->data;
    config->recipe = chosen->name;
    config->batch = chosen->batch;
    config->epochs = config->schedule_epochs = chosen->epochs;
    config->optimizer = chosen->optimizer;
    config->lr = chosen->lr;
    config->momentum = 0.9;
    config->weight_decay = chosen->weight_decay;
    config->decay_all = true;
    config->schedule = chosen->schedule;
    config->milestones_count = 0;
    while (config->milestones_count < 4 && chosen->milestones[config->milestones_count] > 0) {
        config->milestones[config->milestones_count] = chosen->milestones[config->milestones_count];
        config->milestones_count++;
    }
    config->step_every = 0;
    if (chosen->gamma > 0) config->gamma = chosen->gamma;
    config->warmup_epochs = chosen->warmup_epochs;
    config->warmup_steps = chosen->warmup_steps;
    config->warmup_lr = chosen->warmup_lr;
    config->label_smoothing = 0;
    config->init = chosen->init;
    config->augment = (sn_augment){.pad = 4, .flip = true, .cutout = chosen->cutout};
    config->shuffle = true;
    config->drop_last = chosen->drop_last;
    config->freeze_bn_epochs = 0;
    return SENET_OK;
}
