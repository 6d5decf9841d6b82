/* zoo.h - from a model's name to its graph: "se_cifar_resnet20:r=8,squeeze=max". */
#ifndef SN_ZOO_ZOO_H
#define SN_ZOO_ZOO_H

#include "graph/builder.h"

typedef enum sn_squeeze { SN_SQUEEZE_AVG, SN_SQUEEZE_MAX, SN_SQUEEZE_NONE } sn_squeeze;
typedef enum sn_gate { SN_GATE_SIGMOID, SN_GATE_TANH, SN_GATE_RELU } sn_gate;
typedef enum sn_place { SN_PLACE_STANDARD, SN_PLACE_PRE, SN_PLACE_POST, SN_PLACE_IDENTITY, SN_PLACE_3X3 } sn_place;
typedef enum sn_pad { SN_PAD_DEFAULT, SN_PAD_CENTER, SN_PAD_END, SN_PAD_SYMMETRIC, SN_PAD_TF_SAME } sn_pad;

typedef struct sn_family sn_family;

/* A parsed model name: the base, whether it has SE blocks, and every option with its value. */
typedef struct sn_spec {
    char base[64]; /* "cifar_resnet20", without "se_" */
    bool se;
    int64_t r;
    sn_squeeze squeeze;
    sn_gate gate;
    uint32_t stages; /* bit s: SE in stage s (2..5); all bits set by default */
    sn_place place;
    bool bias;
    sn_pad pad;                      /* SN_PAD_DEFAULT is replaced by the model's own default while parsing */
    bool down_3x3, pool_pad1, relu6; /* options of the ImageNet networks */
    double width;
    int64_t classes;
    int native_size;         /* 32, 224, 299 */
    const sn_family *family; /* the file of the zoo that builds it */
    int numbers[4];          /* of the parametric forms: cifar_resnet20 -> {20}, wrn16_8 -> {16, 8} */
} sn_spec;

/* Parses and checks a name with options; errors name the model, the option and the value, and list what is allowed. */
senet_status sn_spec_parse(const char *text, sn_spec *spec);
/* The canonical spelling: non-default options only, in the order of the documentation. */
void sn_spec_canonical(const sn_spec *spec, char *text, size_t size);

typedef enum sn_input_kind { SN_INPUT_REAL, SN_INPUT_U8 } sn_input_kind;

typedef struct sn_build_options {
    sn_mode mode;
    int64_t batch;
    int64_t height, width; /* 0: the model's native size */
    sn_input_kind input;   /* SN_INPUT_U8 puts a normalize node in front */
    float mean[3], std[3]; /* for SN_INPUT_U8, on values in 0..1 */
    bool loss;             /* append cross entropy on "labels", output "loss" */
    double smoothing;
    bool mixed; /* the loss takes pictures mixed of two: inputs "labels2" I32, "mix" REAL (share of "labels") */
    const char *const *taps; /* nodes to make outputs, under their own names: "layer1.0", "layer1.0.se.gate" */
    size_t taps_count;
    bool no_fuse; /* leave the graph as the zoo wrote it (tests) */
} sn_build_options;

/* Builds the graph.  Inputs by name: "input" (N,H,W,3) REAL, or "images" U8 and "rects" I32; "labels" I32 with a loss;
 * in the training modes networks with Shake units have "shake" (N,1,1,2 units), those with dropout "keys" (N,1,1,1)
 * U64. Outputs: "logits" (N,1,1,K), "loss".  Every unit's output node bears the unit's name ("layer1.0"), every SE
 * block's gate is named "<block>.gate" ("layer1.0.se.gate"); joining nodes may swallow those that are not taps.  Sizes
 * that do not fit the network are an error. */
senet_status sn_model_build(const sn_spec *spec, const sn_build_options *options, sn_graph **graph);

/* Names of the Shake units in the order of their columns in "shake"; *count = 0 for other networks.  Valid until this
 * thread's next call, and as long as the graph. */
const char *const *sn_model_shake_units(const sn_graph *graph, size_t *count);

/* The models by name, for `senet models`: index 0.. until false. */
bool sn_zoo_list(size_t index, const char **name, const char **summary);

#endif
