/* plan.h - where every tensor of a graph lives during a run. */
#ifndef SN_EXEC_PLAN_H
#define SN_EXEC_PLAN_H

#include "exec/exec.h"

typedef enum sn_place_kind {
    SN_AT_NOTHING,  /* the op has no output */
    SN_AT_PARAM,    /* in sn_params */
    SN_AT_GRADIENT, /* in the gradients' sn_params */
    SN_AT_INPUT,    /* the caller's memory */
    SN_AT_CONSTANT, /* kept by the program: depends on parameters only */
    SN_AT_PREPARE,  /* the same, but needed only until weights are packed; in the arena, which no run uses then */
    SN_AT_ARENA     /* lives from the node's step to its last use */
} sn_place_kind;

typedef struct sn_location {
    sn_place_kind kind;
    int32_t param;      /* SN_AT_PARAM, SN_AT_GRADIENT: index */
    size_t offset;      /* SN_AT_ARENA, SN_AT_PREPARE, SN_AT_CONSTANT: bytes from the start */
    size_t image_bytes; /* SN_AT_ARENA, SN_AT_INPUT: from an image to the next; 0: one group of images at a time lives there */
} sn_location;

typedef struct sn_plan {
    sn_location *locations;  /* by node */
    size_t *scratch_offsets; /* by node: of its kernel's scratch memory in the arena */
    size_t arena_bytes, constant_bytes;
} sn_plan;

/* What the kernel of a node asks of the planner. */
typedef struct sn_node_needs {
    size_t scratch_bytes; /* while it runs; 0: nothing */
    sn_id written_by;     /* the node whose kernel writes this one's output: itself, or an earlier one whose byproduct it is */
    bool packed_only;     /* if it depends on parameters only: nobody reads it but who packs weights from it */
    int64_t group;        /* images that its step computes at a time: graph->batch, or fewer (groups.h) */
    bool every_run;       /* computed in its place at every run, though it may depend on parameters only */
    bool handed_over;     /* a parameter's gradient that the program gives away: in the arena until the parameter's last reader is done */
} sn_node_needs;

/* needs: by node. */
senet_status sn_plan_create(const sn_graph *graph, sn_precision precision, const sn_node_needs *needs, sn_plan *plan);
void sn_plan_free(sn_plan *plan);

/* Bytes of a node's output. */
size_t sn_node_bytes(const sn_node *node, sn_precision precision);

#endif
