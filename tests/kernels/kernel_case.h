/* kernel_case.h - one call of one kernel without a program around it, for the kernels' tests and benches. */
#ifndef SN_TESTS_KERNELS_KERNEL_CASE_H
#define SN_TESTS_KERNELS_KERNEL_CASE_H

#include "exec/exec.h"

/* The node of a call and what its inputs look like; values are set in call.inputs and call.output. */
typedef struct kernel_case {
    sn_node node, inputs[SN_MAX_INPUTS];
    sn_kernel_call call;
} kernel_case;

static inline void kernel_case_output(kernel_case *c, sn_op_kind op, sn_shape shape)
{
    c->node.op = op;
    c->node.shape = shape;
    c->node.name = "case";
}

/* Adds the next input; all zero sizes: an absent optional input. */
static inline void kernel_case_input(kernel_case *c, sn_shape shape, sn_dtype dtype)
{
    int i = c->node.inputs_count++;
    c->inputs[i].shape = shape;
    c->inputs[i].dtype = dtype;
    c->node.inputs[i] = sn_shape_elements(shape) ? i : SN_NONE;
}

/* Fills the call; pointers to the case stay in it, so it must not move any more. */
static inline void kernel_case_bind(kernel_case *c, int threads, sn_precision precision)
{
    c->call.node = &c->node;
    c->call.threads = threads;
    c->call.precision = precision;
    for (int i = 0; i < c->node.inputs_count; i++)
        c->call.input_nodes[i] = c->node.inputs[i] == SN_NONE ? NULL : &c->inputs[i];
}

/* The attributes, shapes and inputs of x (n,h,w,c) through a k x k convolution to `out` channels, for op = conv2d or one of its
 * gradients. */
static inline void kernel_case_conv(kernel_case *c, sn_op_kind op, sn_shape x, int kernel_h, int kernel_w, int out,
                                    sn_conv_attrs attrs)
{
    sn_shape w = {kernel_h, kernel_w, x.c / attrs.groups, out};
    sn_shape y = {x.n, (x.h + attrs.pad_top + attrs.pad_bottom - kernel_h) / attrs.stride + 1,
                  (x.w + attrs.pad_left + attrs.pad_right - kernel_w) / attrs.stride + 1, out};
    kernel_case_output(c, op, op == SN_OP_conv2d ? y : op == SN_OP_conv2d_grad_input ? x : w);
    kernel_case_input(c, op == SN_OP_conv2d_grad_input ? y : x, SN_REAL);
    kernel_case_input(c, op == SN_OP_conv2d_grad_weight ? y : w, SN_REAL);
    attrs.target = c->node.shape;
    c->node.attrs.u.conv = attrs;
}

#endif
