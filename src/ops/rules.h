/* rules.h - what the files of ops/ share: shape rules that many ops have. */
#ifndef SN_OPS_RULES_H
#define SN_OPS_RULES_H

#include "ops/op.h"

/* Output of input 0's shape and type. */
senet_status sn_rule_same_as_first(const sn_graph *graph, sn_node *node);
/* Output of input 1's shape and type (gradient ops: inputs dy, y). */
senet_status sn_rule_same_as_second(const sn_graph *graph, sn_node *node);
/* SENET_OK when input `index` has this shape, or a message with both. */
senet_status sn_rule_expect(const sn_graph *graph, const sn_node *node, int index, sn_shape shape);
senet_status sn_rule_expect_dtype(const sn_graph *graph, const sn_node *node, int index, sn_dtype dtype);
/* The shape of a vector of C values: {1, 1, 1, C}. */
static inline sn_shape sn_vector_shape(int64_t c) { return (sn_shape){1, 1, 1, c}; }

#endif
