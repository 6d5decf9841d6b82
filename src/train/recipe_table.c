/* recipe_table.c - see recipe_table.h.  Adding a recipe is adding an entry at the end.
 *
 * Sources: "paper" is the journal version of the Squeeze-and-Excitation paper, with its section or table; "SENet #n" an answer
 * of its authors in hujie-frank/SENet, "SENet README" that repository's; other names are repositories whose code a network's
 * authors published.  A network with SE blocks trains as the one without. */
#include "train/recipe_table.h"

/* ---- ImageNet: section 5.1 and what its models have in common ---- */

static const sn_recipe_value imagenet[] = {
    {"batch", "1024", "paper, section 5.1", NULL},
    {"micro_batch", "32", "inferred: 4 servers of 8 GPUs (SENet README), batch norm on each", NULL},
    {"epochs", "100", "paper, section 5.1", NULL},
    {"optimizer", "sgd-caffe", "paper, section 5.1: SGD; its form in Caffe", NULL},
    {"lr", "0.6", "paper, section 5.1", NULL},
    {"momentum", "0.9", "paper, section 5.1", NULL},
    {"weight_decay", "1e-4", "SENet #37: as the network without SE", NULL},
    {"weight_decay", "1e-4", "facebookresearch/ResNeXt", "resnext50_32x4d|resnext101_32x4d"},
    {"weight_decay", "2e-4", "SENet #37", "bn_inception"},
    {"weight_decay", "5e-4", "inferred: as VGG's authors", "vgg16_bn"},
    {"weight_decay", "1e-4", "inferred: 1e-4 or 4e-5", "inception_resnet_v2"},
    {"decay_all", "0", "SENet #8: gamma decays, beta does not", NULL},
    {"decay_gamma", "1", "SENet #8: gamma decays, beta does not", NULL},
    {"schedule", "step", "paper, section 5.1", NULL},
    {"step_every", "30", "paper, section 5.1", NULL},
    {"gamma", "0.1", "paper, section 5.1", NULL},
    {"label_smoothing", "0", "paper: named for ablations and SENet-154 only", NULL},
    {"init", "he", "paper, section 5.1; every layer alike: SENet #8", NULL},
    {"augment.area_min", "0.08", "SENet README", NULL},
    {"augment.area_max", "1", "SENet README", NULL},
    {"augment.aspect", "1.3333333333333333", "SENet README", NULL},
    {"augment.flip", "1", "paper, section 5.1", NULL},
    {"interpolation", "bilinear", "inferred: OpenCV's gives the released models' errors", NULL},
    {"normalize", "caffe", "paper, section 5.1; SENet README: 104, 117, 123 (blue, green, red), no division", NULL},
    {"eval_resize", "256", "paper, section 5.1", NULL},
    {"eval_resize", "352", "paper, section 5.1", "inception_resnet_v2"},
    {"shuffle", "1", "paper, section 5.1", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value released[] = {
    {"batch", "256", "SENet README", NULL},
    {"micro_batch", "32", "SENet README: 8 GPUs", NULL},
    {"lr", "0.1", "SENet README", NULL},
    {"epochs", "270", "SENet #62", NULL},
    {"step_every", "0", "SENet #62: milestones", NULL},
    {"milestones", "125 200 250", "SENet #62", NULL},
    {"augment.rotate", "10", "SENet README", NULL},
    {"augment.jitter", "20", "SENet README", NULL},
    {NULL, NULL, NULL, NULL},
};

/* The rate divided by 10 where the validation loss plateaus. */
static const sn_recipe_value released_plateau[] = {
    {"epochs", "300", "inferred: \"more epochs\" (SENet README)", NULL},
    {"schedule", "plateau", "SENet #48: by hand, when the validation loss plateaus", NULL},
    {"milestones", "", "SENet #48: by hand", NULL},
    {"patience", "10", "inferred: 10 epochs without 1e-4 of relative improvement", NULL},
    {"reductions", "3", "inferred: three drops, as in the fixed schedule", NULL},
    {NULL, NULL, NULL, NULL},
};

/* Table 3: settings of ShuffleNet's authors, but for the schedule. */
static const sn_recipe_value mobile[] = {
    {"batch", "256", "paper, section 5.1 (Table 3)", NULL},
    {"micro_batch", "32", "paper, section 5.1 (Table 3): 8 GPUs", NULL},
    {"lr", "0.1", "paper, section 5.1 (Table 3)", NULL},
    {"epochs", "400", "paper, section 5.1 (Table 3): about 400", NULL},
    {"weight_decay", "4e-5", "ShuffleNet, section 4", NULL},
    {"schedule", "plateau", "paper, section 5.1 (Table 3)", NULL},
    {"step_every", "0", "paper, section 5.1 (Table 3): plateau", NULL},
    {"patience", "10", "inferred: 10 epochs without 1e-4 of relative improvement", NULL},
    {"reductions", "3", "inferred: as in the ablations", NULL},
    {"augment.area_min", "0.25", "inferred: \"slightly less aggressive scale augmentation\" (ShuffleNet)", NULL},
    {NULL, NULL, NULL, NULL},
};

/* Section 6, Tables 10 to 16: models with bias=0. */
static const sn_recipe_value ablation[] = {
    {"batch", "256", "inferred: one machine of 8 GPUs (paper, section 6), as SENet README", NULL},
    {"micro_batch", "32", "inferred: 8 GPUs (paper, section 6)", NULL},
    {"lr", "0.1", "paper, section 6", NULL},
    {"epochs", "300", "paper, section 6: about 300", NULL},
    {"weight_decay", "1e-4", "inferred: as section 5.1", NULL},
    {"schedule", "plateau", "paper, section 6", NULL},
    {"step_every", "0", "paper, section 6: plateau", NULL},
    {"patience", "10", "inferred: 10 epochs without 1e-4 of relative improvement", NULL},
    {"reductions", "3", "paper, section 6: \"three times in total\", read as three reductions", NULL},
    {"label_smoothing", "0.1", "paper, section 6; 0.1: Inception-v3, which it cites", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value ablation_270[] = {
    {"epochs", "270", "paper, section 6, footnote 2", NULL},
    {"schedule", "step", "paper, section 6, footnote 2", NULL},
    {"milestones", "125 200 250", "paper, section 6, footnote 2", NULL},
    {NULL, NULL, NULL, NULL},
};

/* Appendix, and section 5.1 (Tables 8, 9). */
static const sn_recipe_value senet154[] = {
    {"batch", "2048", "paper, appendix", NULL},
    {"micro_batch", "32", "paper, appendix: 8 servers of 8 GPUs", NULL},
    {"lr", "1", "paper, appendix", NULL},
    {"epochs", "100", "inferred: as section 5.1", NULL},
    {"step_every", "30", "inferred: as section 5.1", NULL},
    {"weight_decay", "1e-4", "inferred: as section 5.1", NULL},
    {"label_smoothing", "0.1", "paper, appendix; 0.1: Inception-v3, which it cites", NULL},
    {"freeze_bn_epochs", "4", "paper, appendix: \"the last few epochs\"; 4 inferred", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value senet154_320[] = {
    {"input_size", "320", "paper, Table 9", NULL},
    {"eval_resize", "320", "soeaver/caffe-model: 320 for resize and crop", NULL},
    {NULL, NULL, NULL, NULL},
};

/* Table 6. */
static const sn_recipe_value places365[] = {
    {"epochs", "100", "inferred: unpublished; six times ImageNet's pictures make \"more iterations\" (SENet #30)", NULL},
    {"normalize", "places365", "CSAILVision/places365: 105.448, 113.768, 116.052 (blue, green, red)", NULL},
    {"eval_resize", "256", "CSAILVision/places365", NULL},
    {"square", "1", "CSAILVision/places365: both sides become 256", NULL},
    {"class_aware", "1", "inferred: Relay Backpropagation, which the paper follows on this data set", NULL},
    {"augment.area_min", "0.08", "inferred: as on ImageNet", NULL},
    {NULL, NULL, NULL, NULL},
};

/* ---- CIFAR-10 and CIFAR-100: Tables 4 and 5, "as in the original papers" ---- */

static const sn_recipe_value cifar[] = {
    {"optimizer", "sgd", "torch.optim.sgd", NULL},
    {"momentum", "0.9", "the networks' papers", NULL},
    {"decay_all", "1", "torch.optim.sgd: every parameter", NULL},
    {"augment.pad", "4", "paper, section 5.1 (CIFAR)", NULL},
    {"augment.flip", "1", "paper, section 5.1 (CIFAR)", NULL},
    {"normalize", "data", "paper, section 5.1 (CIFAR)", NULL},
    {"shuffle", "1", "the networks' code", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value cifar_preresnet[] = {
    {"batch", "128", "Identity Mappings in Deep Residual Networks, appendix", NULL},
    {"micro_batch", "64", "Identity Mappings in Deep Residual Networks, appendix: 2 GPUs", NULL},
    {"epochs", "164", "fb.resnet.torch", NULL},
    {"lr", "0.1", "Identity Mappings in Deep Residual Networks, appendix", NULL},
    {"weight_decay", "1e-4", "Identity Mappings in Deep Residual Networks, appendix", NULL},
    {"schedule", "step", "fb.resnet.torch", NULL},
    {"milestones", "81 122", "fb.resnet.torch", NULL},
    {"gamma", "0.1", "fb.resnet.torch", NULL},
    {"warmup_steps", "400", "Identity Mappings in Deep Residual Networks, appendix", NULL},
    {"warmup_lr", "0.01", "Identity Mappings in Deep Residual Networks, appendix", NULL},
    {"init", "he-fan-out", "fb.resnet.torch", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value cifar_wrn[] = {
    {"batch", "128", "szagoruyko/wide-residual-networks", NULL},
    {"epochs", "200", "szagoruyko/wide-residual-networks", NULL},
    {"optimizer", "nesterov", "szagoruyko/wide-residual-networks", NULL},
    {"lr", "0.1", "szagoruyko/wide-residual-networks", NULL},
    {"weight_decay", "5e-4", "szagoruyko/wide-residual-networks", NULL},
    {"schedule", "step", "szagoruyko/wide-residual-networks", NULL},
    {"milestones", "60 120 160", "szagoruyko/wide-residual-networks", NULL},
    {"gamma", "0.2", "szagoruyko/wide-residual-networks", NULL},
    {"init", "he", "szagoruyko/wide-residual-networks", NULL},
    {"drop_last", "1", "szagoruyko/wide-residual-networks", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value cifar_shake_shake[] = {
    {"batch", "128", "xgastaldi/shake-shake", NULL},
    {"micro_batch", "64", "xgastaldi/shake-shake: 2 GPUs", NULL},
    {"epochs", "1800", "xgastaldi/shake-shake", NULL},
    {"optimizer", "nesterov", "xgastaldi/shake-shake", NULL},
    {"lr", "0.2", "xgastaldi/shake-shake", NULL},
    {"weight_decay", "1e-4", "xgastaldi/shake-shake", NULL},
    {"schedule", "cosine", "xgastaldi/shake-shake", NULL},
    {"init", "he-fan-out", "xgastaldi/shake-shake", NULL},
    {"augment.cutout", "16", "paper, Table 4: Cutout; its length: uoguelph-mlrg/Cutout", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value cifar_shake_even[] = {
    {"batch", "32", "xgastaldi/shake-shake", NULL},
    {"micro_batch", "16", "xgastaldi/shake-shake: 2 GPUs", NULL},
    {"lr", "0.025", "xgastaldi/shake-shake", NULL},
    {"weight_decay", "5e-4", "xgastaldi/shake-shake", NULL},
    {"augment.cutout", "8", "paper, Table 5: Cutout; its length: uoguelph-mlrg/Cutout", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value cifar_resnet[] = {
    {"batch", "128", "akamaster/pytorch_resnet_cifar10", NULL},
    {"epochs", "200", "akamaster/pytorch_resnet_cifar10", NULL},
    {"lr", "0.1", "akamaster/pytorch_resnet_cifar10", NULL},
    {"weight_decay", "1e-4", "akamaster/pytorch_resnet_cifar10", NULL},
    {"schedule", "step", "akamaster/pytorch_resnet_cifar10", NULL},
    {"milestones", "100 150", "akamaster/pytorch_resnet_cifar10", NULL},
    {"warmup_steps", "400", "Deep Residual Learning, section 4.2", "cifar_resnet110"},
    {"warmup_lr", "0.01", "Deep Residual Learning, section 4.2", "cifar_resnet110"},
    {"gamma", "0.1", "akamaster/pytorch_resnet_cifar10", NULL},
    {"init", "he", "akamaster/pytorch_resnet_cifar10", NULL},
    {"normalize", "imagenet", "akamaster/pytorch_resnet_cifar10", NULL},
    {NULL, NULL, NULL, NULL},
};

/* ---- for getting to know the program ---- */

static const sn_recipe_value quick[] = {
    {"batch", "128", "senet's own", NULL},
    {"epochs", "30", "senet's own", NULL},
    {"optimizer", "nesterov", "senet's own", NULL},
    {"lr", "0.1", "senet's own", NULL},
    {"weight_decay", "5e-4", "senet's own", NULL},
    {"schedule", "cosine", "senet's own", NULL},
    {"warmup_epochs", "2", "senet's own", NULL},
    {"warmup_lr", "0.01", "senet's own", NULL},
    {"init", "he", "senet's own", NULL},
    {NULL, NULL, NULL, NULL},
};

static const sn_recipe_value demo[] = {
    {"batch", "64", "senet's own", NULL},
    {"epochs", "3", "senet's own", NULL},
    {"lr", "0.05", "senet's own", NULL},
    {"warmup_epochs", "0", "senet's own", NULL},
    {"warmup_lr", "0", "senet's own", NULL},
    {NULL, NULL, NULL, NULL},
};

const sn_recipe sn_recipes[] = {
    {"imagenet", "Table 2: 100 epochs, batch 1024, lr 0.6, /10 every 30 epochs", NULL, "se_resnet50", NULL, imagenet},
    {"released", "the models that the authors released: 270 epochs, batch 256, lr 0.1, /10 at 125, 200, 250; rotation, jitter",
     "imagenet", "se_resnet50", NULL, released},
    {"released-plateau", "the same with the rate lowered where the validation loss plateaus, 300 epochs", "released",
     "se_resnet50", NULL, released_plateau},
    {"mobile", "mobilenet and shufflenet_g3 (Table 3): 400 epochs, batch 256, lr 0.1, plateau", "imagenet", "se_mobilenet",
     NULL, mobile},
    {"ablation", "Tables 10 to 16 (models with bias=0): 300 epochs, batch 256, lr 0.1, plateau, label smoothing", "imagenet",
     "se_resnet50:bias=0", NULL, ablation},
    {"ablation-270", "the same with the fixed schedule of footnote 2: 270 epochs, /10 at 125, 200, 250", "ablation",
     "se_resnet50:bias=0", NULL, ablation_270},
    {"senet154", "SENet-154 (Tables 8, 9): 100 epochs, batch 2048, lr 1, label smoothing, batch norm frozen at the end",
     "imagenet", "senet154", NULL, senet154},
    {"senet154-320", "the same on crops of 320 pixels (Table 9)", "senet154", "senet154", NULL, senet154_320},
    {"places365", "Places365-Challenge (Table 6): as imagenet on square pictures, classes drawn equally often", "imagenet",
     "se_resnet152:classes=365", NULL, places365},
    {"cifar", NULL, NULL, NULL, NULL, cifar},
    {"cifar-preresnet",
     "cifar_preresnet110 and 164 (Tables 4, 5): 164 epochs, lr 0.1 after 400 steps at 0.01, /10 at 81, 122", "cifar",
     "se_cifar_preresnet110", NULL, cifar_preresnet},
    {"cifar-wrn", "wrn16_8 (Tables 4, 5): 200 epochs, Nesterov, lr 0.1, x0.2 at 60, 120, 160, weight decay 5e-4", "cifar",
     "se_wrn16_8", NULL, cifar_wrn},
    {"cifar-shake-shake", "shake_shake26_2x96d on CIFAR-10 (Table 4): 1800 epochs, Nesterov, cosine from 0.2, Cutout 16",
     "cifar", "se_shake_shake26_2x96d", NULL, cifar_shake_shake},
    {"cifar-shake-even",
     "shake_even29_2x4x64d on CIFAR-100 (Table 5): 1800 epochs, Nesterov, cosine from 0.025, batch 32, Cutout 8",
     "cifar-shake-shake", "se_shake_even29_2x4x64d", NULL, cifar_shake_even},
    {"cifar-resnet", "cifar_resnet20 to 110: 200 epochs, lr 0.1, /10 at 100, 150", "cifar", "se_cifar_resnet20", NULL,
     cifar_resnet},
    {"quick", "a good network in 30 epochs: Nesterov, lr 0.1 after 2 epochs of warm-up, cosine, weight decay 5e-4", "cifar",
     "se_cifar_resnet20", NULL, quick},
    {"demo", "a first look: se_cifar_resnet20 on synthetic pictures, 3 epochs, needs no files", "quick", "se_cifar_resnet20",
     "synthetic", demo},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
