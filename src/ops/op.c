/* op.c - the table of ops, and how nodes and shapes are spelled in messages. */
#include "ops/op.h"

#include <stdio.h>

static const sn_op *const table[SN_OP_COUNT] = {
#define SN_OP(name, ...) [SN_OP_##name] = &sn_op_##name,
#include "ops/ops.def"
#undef SN_OP
};

const sn_op *sn_op_of(sn_op_kind kind) { return table[kind]; }

const char *sn_node_title(const sn_node *node)
{
    static _Thread_local char text[160];
    snprintf(text, sizeof text, "%s '%s'", sn_op_of(node->op)->name, node->name ? node->name : "");
    return text;
}

const char *sn_shape_text(sn_shape s)
{
    static _Thread_local char texts[4][96];
    static _Thread_local unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], "%lldx%lldx%lldx%lld", (long long)s.n, (long long)s.h, (long long)s.w,
             (long long)s.c);
    return text;
}
