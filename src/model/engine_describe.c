/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of a layer and the descriptions of its primitives, in oneDNN's versions 2 and 3. */
#include "model/engine.h"
#include "model/engine_private.h"

/* Version 3 made memory descriptors opaque and builds a primitive's description in one call;
 * version 2 has a structure for the former and an operation descriptor in between. */
#if DNNL_VERSION_MAJOR >= 3
static layout_view_t view(const layout_t *layout) {
    return *layout;
}
static dnnl_status_t layout_init(layout_t *layout, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(layout, rank, dims, type, tag);
}
static void layout_fini(layout_t *layout) {
    if (*layout) dnnl_memory_desc_destroy(*layout);
}
#else
static layout_view_t view(const layout_t *layout) {
    return layout;
}
static dnnl_status_t layout_init(layout_t *layout, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(layout, rank, dims, type, tag);
}
static void layout_fini(layout_t *layout) {
    (void)layout;
}
#endif

layout_view_t layout_view(const layout_t *layout) {
    return view(layout);
}

void problem_fini(problem_t *problem) {
    layout_t *all[] = {&problem->input,  &problem->output,   &problem->d_output,    &problem->bias,
                       &problem->weight, &problem->d_weight, &problem->plain_weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) layout_fini(all[i]);
}

static dnnl_data_type_t type_of(element_t element) {
    return element == ELEMENT_BFLOAT16 ? dnnl_bf16 : dnnl_f32;
}

/* A dense layer on a map of pixels has four-dimensional weights in oneDNN, which multiplies nhwc
 * activations with weights numbered channel first without a transposition. Without pixels, or with
 * one channel, both orders are the same and a plain matrix product suffices; float32 weights keep
 * the plain layout there, because blocked kernels save less than the two passes over the weights
 * that reordering costs (batch 32: 0.28 ms against 0.45 ms at 784 by 256). bfloat16 weights are
 * copies in any case. */
sgp_status_t problem_init(problem_t *p, engine_t *engine, const affine_options_t *o) {
    bool dense = o->kernel == 0;
    bool flat = dense && (o->in_channels == 1 || o->in_height * o->in_width == 1);
    int kernel_height = dense ? o->in_height : o->kernel;
    int kernel_width = dense ? o->in_width : o->kernel;
    *p = (problem_t){.options = o, .engine = engine};
    for (int i = 0; i < 2; i++) {
        p->strides[i] = o->stride;
        p->padding[i] = o->padding;
    }
    int pixels = flat ? o->in_height * o->in_width : 1;
    const dnnl_dims_t input = {o->batch, o->in_channels * pixels, o->in_height, o->in_width};
    const dnnl_dims_t output = {o->batch, o->out_channels, o->out_height, o->out_width};
    const dnnl_dims_t weight = {o->out_channels, o->in_channels * pixels, kernel_height,
                                kernel_width};
    const dnnl_dims_t bias = {o->out_channels};
    dnnl_data_type_t type = type_of(o->element);
    dnnl_format_tag_t plain = flat ? dnnl_oi : dnnl_oihw;
    dnnl_format_tag_t chosen = flat && type == dnnl_f32 ? plain : dnnl_format_tag_any;
    const struct {
        layout_t *layout;
        int rank;
        const dnnl_dim_t *dims;
        dnnl_data_type_t type;
        dnnl_format_tag_t tag;
    } layouts[] = {
        {&p->input, flat ? 2 : 4, input, type, flat ? dnnl_nc : dnnl_nhwc},
        {&p->output, dense ? 2 : 4, output, type_of(o->output), dense ? dnnl_nc : dnnl_nhwc},
        {&p->d_output, dense ? 2 : 4, output, type, dense ? dnnl_nc : dnnl_nhwc},
        {&p->bias, 1, bias, dnnl_f32, dnnl_x},
        {&p->weight, flat ? 2 : 4, weight, type, chosen},
        {&p->d_weight, flat ? 2 : 4, weight, dnnl_f32, chosen},
        {&p->plain_weight, flat ? 2 : 4, weight, dnnl_f32, plain},
    };
    dnnl_status_t status = dnnl_success;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts && !status; i++)
        status = layout_init(layouts[i].layout, layouts[i].rank, layouts[i].dims, layouts[i].type,
                             layouts[i].tag);
    if (status) problem_fini(p);
    return engine_convert(status, o->name, "its shapes");
}
#if DNNL_VERSION_MAJOR >= 3
dnnl_status_t describe_forward(const problem_t *p, dnnl_primitive_desc_t *description) {
    layout_view_t bias = p->options->bias ? view(&p->bias) : NULL;
    dnnl_engine_t engine = p->engine->engine;
    if (p->options->kernel == 0)
        return dnnl_inner_product_forward_primitive_desc_create(
            description, engine, dnnl_forward_training, view(&p->input), view(&p->weight), bias,
            view(&p->output), p->engine->attributes);
    return dnnl_convolution_forward_primitive_desc_create(
        description, engine, dnnl_forward_training, dnnl_convolution_direct, view(&p->input),
        view(&p->weight), bias, view(&p->output), p->strides, p->dilation, p->padding, p->padding,
        p->engine->attributes);
}

dnnl_status_t describe_backward_data(const problem_t *p, const_dnnl_primitive_desc_t forward,
                                     dnnl_primitive_desc_t *description) {
    dnnl_engine_t engine = p->engine->engine;
    if (p->options->kernel == 0)
        return dnnl_inner_product_backward_data_primitive_desc_create(
            description, engine, view(&p->input), view(&p->weight), view(&p->d_output), forward,
            p->engine->attributes);
    return dnnl_convolution_backward_data_primitive_desc_create(
        description, engine, dnnl_convolution_direct, view(&p->input), view(&p->weight),
        view(&p->d_output), p->strides, p->dilation, p->padding, p->padding, forward,
        p->engine->attributes);
}

dnnl_status_t describe_backward_weights(const problem_t *p, const_dnnl_primitive_desc_t forward,
                                        dnnl_primitive_desc_t *description) {
    layout_view_t bias = p->options->bias ? view(&p->bias) : NULL;
    dnnl_engine_t engine = p->engine->engine;
    if (p->options->kernel == 0)
        return dnnl_inner_product_backward_weights_primitive_desc_create(
            description, engine, view(&p->input), view(&p->d_weight), bias, view(&p->d_output),
            forward, p->engine->attributes);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        description, engine, dnnl_convolution_direct, view(&p->input), view(&p->d_weight), bias,
        view(&p->d_output), p->strides, p->dilation, p->padding, p->padding, forward,
        p->engine->attributes);
}
#else
static dnnl_status_t describe(const problem_t *p, const_dnnl_op_desc_t operation,
                              const_dnnl_primitive_desc_t forward,
                              dnnl_primitive_desc_t *description) {
    return dnnl_primitive_desc_create(description, operation, p->engine->attributes,
                                      p->engine->engine, forward);
}

dnnl_status_t describe_forward(const problem_t *p, dnnl_primitive_desc_t *description) {
    layout_view_t bias = p->options->bias ? view(&p->bias) : NULL;
    if (p->options->kernel == 0) {
        dnnl_inner_product_desc_t operation;
        dnnl_status_t status =
            dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_training, view(&p->input),
                                                 view(&p->weight), bias, view(&p->output));
        return status ? status : describe(p, &operation, NULL, description);
    }
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_convolution_forward_desc_init(
        &operation, dnnl_forward_training, dnnl_convolution_direct, view(&p->input),
        view(&p->weight), bias, view(&p->output), p->strides, p->padding, p->padding);
    return status ? status : describe(p, &operation, NULL, description);
}

dnnl_status_t describe_backward_data(const problem_t *p, const_dnnl_primitive_desc_t forward,
                                     dnnl_primitive_desc_t *description) {
    if (p->options->kernel == 0) {
        dnnl_inner_product_desc_t operation;
        dnnl_status_t status = dnnl_inner_product_backward_data_desc_init(
            &operation, view(&p->input), view(&p->weight), view(&p->d_output));
        return status ? status : describe(p, &operation, forward, description);
    }
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_convolution_backward_data_desc_init(
        &operation, dnnl_convolution_direct, view(&p->input), view(&p->weight), view(&p->d_output),
        p->strides, p->padding, p->padding);
    return status ? status : describe(p, &operation, forward, description);
}

dnnl_status_t describe_backward_weights(const problem_t *p, const_dnnl_primitive_desc_t forward,
                                        dnnl_primitive_desc_t *description) {
    layout_view_t bias = p->options->bias ? view(&p->bias) : NULL;
    if (p->options->kernel == 0) {
        dnnl_inner_product_desc_t operation;
        dnnl_status_t status = dnnl_inner_product_backward_weights_desc_init(
            &operation, view(&p->input), view(&p->d_weight), bias, view(&p->d_output));
        return status ? status : describe(p, &operation, forward, description);
    }
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_convolution_backward_weights_desc_init(
        &operation, dnnl_convolution_direct, view(&p->input), view(&p->d_weight), bias,
        view(&p->d_output), p->strides, p->padding, p->padding);
    return status ? status : describe(p, &operation, forward, description);
}
#endif
