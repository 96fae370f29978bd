/* SPDX-License-Identifier: Apache-2.0 */
#include "model/engine.h"

#include "base/logging.h"

#include <dnnl.h>
#include <stdlib.h>
#include <string.h>

/* Version 3 made memory descriptors opaque and builds a primitive's description in one call;
 * version 2 has a structure for the former and an operation descriptor in between. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout_t;
typedef const_dnnl_memory_desc_t layout_view_t;
static layout_view_t view(const layout_t *layout) {
    return *layout;
}
static dnnl_status_t layout_init(layout_t *layout, int rank, const dnnl_dims_t dims,
                                 dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(layout, rank, dims, dnnl_f32, tag);
}
static void layout_fini(layout_t *layout) {
    if (*layout) dnnl_memory_desc_destroy(*layout);
}
#else
typedef dnnl_memory_desc_t layout_t;
typedef const dnnl_memory_desc_t *layout_view_t;
static layout_view_t view(const layout_t *layout) {
    return layout;
}
static dnnl_status_t layout_init(layout_t *layout, int rank, const dnnl_dims_t dims,
                                 dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(layout, rank, dims, dnnl_f32, tag);
}
static void layout_fini(layout_t *layout) {
    (void)layout;
}
#endif

struct engine {
    arena_t *arena;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes; /* with our own scratchpad */
    size_t scratchpad_bytes;
    void *scratchpad;
};

enum { MAX_ARGUMENTS = 5 };

/* A primitive and its arguments, in the order in which kernel_run takes their pointers. */
typedef struct kernel {
    dnnl_primitive_t primitive; /* NULL: unused */
    dnnl_exec_arg_t arguments[MAX_ARGUMENTS];
    int count;
} kernel_t;

struct affine {
    engine_t *engine;
    bool bias;
    kernel_t forward, backward_data, backward_weights;
    /* Weights in the layout of a kernel, and the reorder from or to the plain layout. NULL where
     * the kernel uses the plain layout. */
    kernel_t to_forward, to_backward, from_gradient;
    float *forward_weight, *backward_weight, *weight_gradient;
};

/* The layer's shapes as oneDNN takes them. */
typedef struct problem {
    const affine_options_t *options;
    engine_t *engine;
    layout_t input, output, bias;
    layout_t weight;       /* any layout */
    layout_t plain_weight; /* as in the flat vector */
    dnnl_dims_t strides, padding, dilation;
} problem_t;

static sgp_status_t convert(dnnl_status_t status, const char *layer, const char *operation) {
    switch (status) {
    case dnnl_success:
        return SGP_OK;
    case dnnl_out_of_memory:
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: out of memory for %s", layer, operation);
    case dnnl_unimplemented:
        return sgp_fail(SGP_ERR_UNSUPPORTED, "%s: oneDNN does not implement %s here", layer,
                        operation);
    default:
        return sgp_fail(SGP_ERR_SYSTEM, "%s: %s failed in oneDNN with status %d", layer, operation,
                        (int)status);
    }
}

sgp_status_t engine_check_implementation(const char *layer, const char *operation,
                                         const char *implementation) {
    if (!implementation || !strstr(implementation, "ref")) return SGP_OK;
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "%s: oneDNN would use its slow implementation %s for %s on this CPU", layer,
                    implementation, operation);
}

sgp_status_t engine_create(arena_t *arena, engine_t **engine) {
    engine_t *e = calloc(1, sizeof *e);
    if (!e) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an engine");
    e->arena = arena;
    dnnl_status_t status = dnnl_engine_create(&e->engine, dnnl_cpu, 0);
    if (!status) status = dnnl_stream_create(&e->stream, e->engine, dnnl_stream_default_flags);
    if (!status) status = dnnl_primitive_attr_create(&e->attributes);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(e->attributes, dnnl_scratchpad_mode_user);
    if (status) {
        engine_destroy(e);
        return convert(status, "model", "the CPU engine");
    }
    *engine = e;
    return SGP_OK;
}

void engine_destroy(engine_t *engine) {
    if (!engine) return;
    if (engine->attributes) dnnl_primitive_attr_destroy(engine->attributes);
    if (engine->stream) dnnl_stream_destroy(engine->stream);
    if (engine->engine) dnnl_engine_destroy(engine->engine);
    free(engine);
}

sgp_status_t engine_allocate_scratchpad(engine_t *engine) {
    engine->scratchpad = arena_alloc(engine->arena, engine->scratchpad_bytes);
    if (engine->scratchpad) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a scratchpad of %zu bytes",
                    engine->scratchpad_bytes);
}

static void kernel_fini(kernel_t *kernel) {
    for (int i = 0; i < kernel->count; i++) dnnl_memory_destroy(kernel->arguments[i].memory);
    if (kernel->primitive) dnnl_primitive_destroy(kernel->primitive);
    *kernel = (kernel_t){0};
}

/* The memory objects hold layouts only; each run sets their pointers. */
static dnnl_status_t kernel_add_argument(kernel_t *kernel, engine_t *engine,
                                         const_dnnl_primitive_desc_t description, int argument) {
    layout_view_t layout =
        dnnl_primitive_desc_query_md(description, dnnl_query_exec_arg_md, argument);
    dnnl_exec_arg_t *added = &kernel->arguments[kernel->count];
    added->arg = argument;
    dnnl_status_t status =
        dnnl_memory_create(&added->memory, layout, engine->engine, DNNL_MEMORY_NONE);
    if (!status) kernel->count++;
    return status;
}

/* arguments: (count); the scratchpad follows them. After a failure, kernel_fini undoes the part
 * that was built. */
static sgp_status_t kernel_init(kernel_t *kernel, engine_t *engine, const char *layer,
                                const char *operation, const_dnnl_primitive_desc_t description,
                                const int *arguments, int count) {
    const char *implementation = NULL;
    dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &implementation);
    sgp_status_t result = engine_check_implementation(layer, operation, implementation);
    if (result) return result;
    dnnl_status_t status = dnnl_primitive_create(&kernel->primitive, description);
    for (int i = 0; i < count && !status; i++)
        status = kernel_add_argument(kernel, engine, description, arguments[i]);
    if (!status) status = kernel_add_argument(kernel, engine, description, DNNL_ARG_SCRATCHPAD);
    size_t bytes = dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0));
    if (bytes > engine->scratchpad_bytes) engine->scratchpad_bytes = bytes;
    return convert(status, layer, operation);
}

/* pointers: one per argument but the scratchpad. */
static sgp_status_t kernel_run(const kernel_t *kernel, const engine_t *engine,
                               const void *const pointers[]) {
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < kernel->count && !status; i++) {
        bool last = i == kernel->count - 1;
        status = dnnl_memory_set_data_handle(kernel->arguments[i].memory,
                                             last ? engine->scratchpad : (void *)pointers[i]);
    }
    if (!status)
        status = dnnl_primitive_execute(kernel->primitive, engine->stream, kernel->count,
                                        kernel->arguments);
    if (!status) status = dnnl_stream_wait(engine->stream);
    return convert(status, "model", "running a primitive");
}

static void problem_fini(problem_t *problem) {
    layout_fini(&problem->input);
    layout_fini(&problem->output);
    layout_fini(&problem->bias);
    layout_fini(&problem->weight);
    layout_fini(&problem->plain_weight);
}

/* A dense layer on a map of pixels has four-dimensional weights in oneDNN, which multiplies nhwc
 * activations with weights numbered channel first without a transposition. Without pixels, or with
 * one channel, both orders are the same and a plain matrix product suffices; the weights keep the
 * plain layout there, because blocked kernels save less than the two passes over the weights that
 * reordering costs (batch 32: 0.28 ms against 0.45 ms at 784 by 256). */
static sgp_status_t problem_init(problem_t *p, engine_t *engine, const affine_options_t *o) {
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
    int rank = flat ? 2 : 4;
    dnnl_status_t status = layout_init(&p->input, rank, input, flat ? dnnl_nc : dnnl_nhwc);
    if (!status)
        status = layout_init(&p->output, dense ? 2 : 4, output, dense ? dnnl_nc : dnnl_nhwc);
    if (!status) status = layout_init(&p->bias, 1, bias, dnnl_x);
    if (!status)
        status = layout_init(&p->weight, rank, weight, flat ? dnnl_oi : dnnl_format_tag_any);
    if (!status) status = layout_init(&p->plain_weight, rank, weight, flat ? dnnl_oi : dnnl_oihw);
    if (status) problem_fini(p);
    return convert(status, o->name, "its shapes");
}

#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t describe_forward(const problem_t *p, dnnl_primitive_desc_t *description) {
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

static dnnl_status_t describe_backward_data(const problem_t *p, const_dnnl_primitive_desc_t forward,
                                            dnnl_primitive_desc_t *description) {
    dnnl_engine_t engine = p->engine->engine;
    if (p->options->kernel == 0)
        return dnnl_inner_product_backward_data_primitive_desc_create(
            description, engine, view(&p->input), view(&p->weight), view(&p->output), forward,
            p->engine->attributes);
    return dnnl_convolution_backward_data_primitive_desc_create(
        description, engine, dnnl_convolution_direct, view(&p->input), view(&p->weight),
        view(&p->output), p->strides, p->dilation, p->padding, p->padding, forward,
        p->engine->attributes);
}

static dnnl_status_t describe_backward_weights(const problem_t *p,
                                               const_dnnl_primitive_desc_t forward,
                                               dnnl_primitive_desc_t *description) {
    layout_view_t bias = p->options->bias ? view(&p->bias) : NULL;
    dnnl_engine_t engine = p->engine->engine;
    if (p->options->kernel == 0)
        return dnnl_inner_product_backward_weights_primitive_desc_create(
            description, engine, view(&p->input), view(&p->weight), bias, view(&p->output), forward,
            p->engine->attributes);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        description, engine, dnnl_convolution_direct, view(&p->input), view(&p->weight), bias,
        view(&p->output), p->strides, p->dilation, p->padding, p->padding, forward,
        p->engine->attributes);
}
#else
static dnnl_status_t describe(const problem_t *p, const_dnnl_op_desc_t operation,
                              const_dnnl_primitive_desc_t forward,
                              dnnl_primitive_desc_t *description) {
    return dnnl_primitive_desc_create(description, operation, p->engine->attributes,
                                      p->engine->engine, forward);
}

static dnnl_status_t describe_forward(const problem_t *p, dnnl_primitive_desc_t *description) {
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

static dnnl_status_t describe_backward_data(const problem_t *p, const_dnnl_primitive_desc_t forward,
                                            dnnl_primitive_desc_t *description) {
    if (p->options->kernel == 0) {
        dnnl_inner_product_desc_t operation;
        dnnl_status_t status = dnnl_inner_product_backward_data_desc_init(
            &operation, view(&p->input), view(&p->weight), view(&p->output));
        return status ? status : describe(p, &operation, forward, description);
    }
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_convolution_backward_data_desc_init(
        &operation, dnnl_convolution_direct, view(&p->input), view(&p->weight), view(&p->output),
        p->strides, p->padding, p->padding);
    return status ? status : describe(p, &operation, forward, description);
}

static dnnl_status_t describe_backward_weights(const problem_t *p,
                                               const_dnnl_primitive_desc_t forward,
                                               dnnl_primitive_desc_t *description) {
    layout_view_t bias = p->options->bias ? view(&p->bias) : NULL;
    if (p->options->kernel == 0) {
        dnnl_inner_product_desc_t operation;
        dnnl_status_t status = dnnl_inner_product_backward_weights_desc_init(
            &operation, view(&p->input), view(&p->weight), bias, view(&p->output));
        return status ? status : describe(p, &operation, forward, description);
    }
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_convolution_backward_weights_desc_init(
        &operation, dnnl_convolution_direct, view(&p->input), view(&p->weight), bias,
        view(&p->output), p->strides, p->padding, p->padding);
    return status ? status : describe(p, &operation, forward, description);
}
#endif

/* If the kernel's argument is not laid out plainly: a private copy of it, and the reorder between
 * the two, from plain or (gradients) to plain. */
static sgp_status_t init_reorder(const problem_t *p, const kernel_t *kernel, int index,
                                 bool to_plain, const char *operation, kernel_t *reorder,
                                 float **copy) {
    engine_t *engine = p->engine;
    layout_view_t wanted;
    dnnl_memory_get_memory_desc(kernel->arguments[index].memory, &wanted);
    layout_view_t plain = view(&p->plain_weight);
    if (dnnl_memory_desc_equal(wanted, plain)) return SGP_OK;
    *copy = arena_alloc(engine->arena, dnnl_memory_desc_get_size(wanted));
    if (!*copy)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for its weights", p->options->name);
    dnnl_primitive_desc_t description;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &description, to_plain ? wanted : plain, engine->engine, to_plain ? plain : wanted,
        engine->engine, engine->attributes);
    if (status) return convert(status, p->options->name, operation);
    sgp_status_t result = kernel_init(reorder, engine, p->options->name, operation, description,
                                      (const int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, 2);
    dnnl_primitive_desc_destroy(description);
    return result;
}

static sgp_status_t init_forward(affine_t *a, const problem_t *p,
                                 const_dnnl_primitive_desc_t description) {
    sgp_status_t status = kernel_init(
        &a->forward, p->engine, p->options->name, "its forward pass", description,
        (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS}, 3 + a->bias);
    if (status) return status;
    return init_reorder(p, &a->forward, 1, false, "reordering its weights", &a->to_forward,
                        &a->forward_weight);
}

static sgp_status_t init_backward_data(affine_t *a, const problem_t *p,
                                       const_dnnl_primitive_desc_t forward) {
    dnnl_primitive_desc_t description;
    sgp_status_t status = convert(describe_backward_data(p, forward, &description),
                                  p->options->name, "the gradient of its input");
    if (status) return status;
    status = kernel_init(&a->backward_data, p->engine, p->options->name,
                         "the gradient of its input", description,
                         (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}, 3);
    dnnl_primitive_desc_destroy(description);
    if (status) return status;
    return init_reorder(p, &a->backward_data, 1, false, "reordering its weights", &a->to_backward,
                        &a->backward_weight);
}

static sgp_status_t init_backward_weights(affine_t *a, const problem_t *p,
                                          const_dnnl_primitive_desc_t forward) {
    dnnl_primitive_desc_t description;
    sgp_status_t status = convert(describe_backward_weights(p, forward, &description),
                                  p->options->name, "the gradient of its weights");
    if (status) return status;
    status = kernel_init(
        &a->backward_weights, p->engine, p->options->name, "the gradient of its weights",
        description,
        (const int[]){DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS},
        3 + a->bias);
    dnnl_primitive_desc_destroy(description);
    if (status) return status;
    return init_reorder(p, &a->backward_weights, 2, true, "reordering its gradient",
                        &a->from_gradient, &a->weight_gradient);
}

static sgp_status_t init_kernels(affine_t *a, const problem_t *p) {
    dnnl_primitive_desc_t forward; /* the backward passes take it as a hint */
    sgp_status_t status =
        convert(describe_forward(p, &forward), p->options->name, "its forward pass");
    if (status) return status;
    status = init_forward(a, p, forward);
    if (!status && p->options->input_gradient) status = init_backward_data(a, p, forward);
    if (!status) status = init_backward_weights(a, p, forward);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

sgp_status_t affine_create(engine_t *engine, const affine_options_t *options, affine_t **affine) {
    problem_t problem;
    sgp_status_t status = problem_init(&problem, engine, options);
    if (status) return status;
    affine_t *a = calloc(1, sizeof *a);
    if (!a) {
        problem_fini(&problem);
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for a layer", options->name);
    }
    a->engine = engine;
    a->bias = options->bias;
    status = init_kernels(a, &problem);
    problem_fini(&problem);
    if (status) affine_destroy(a);
    else *affine = a;
    return status;
}

void affine_destroy(affine_t *affine) {
    if (!affine) return;
    kernel_t *kernels[] = {&affine->forward,    &affine->backward_data, &affine->backward_weights,
                           &affine->to_forward, &affine->to_backward,   &affine->from_gradient};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) kernel_fini(kernels[i]);
    free(affine);
}

sgp_status_t affine_forward(affine_t *a, const float *input, const float *weight, const float *bias,
                            float *output) {
    sgp_status_t status = SGP_OK;
    if (a->forward_weight) {
        status = kernel_run(&a->to_forward, a->engine, (const void *[]){weight, a->forward_weight});
        weight = a->forward_weight;
    }
    if (status) return status;
    return kernel_run(&a->forward, a->engine, (const void *[]){input, weight, output, bias});
}

static sgp_status_t backward_data(affine_t *a, const float *weight, const float *d_output,
                                  float *d_input) {
    sgp_status_t status = SGP_OK;
    if (a->backward_weight) {
        status =
            kernel_run(&a->to_backward, a->engine, (const void *[]){weight, a->backward_weight});
        weight = a->backward_weight;
    }
    if (status) return status;
    return kernel_run(&a->backward_data, a->engine, (const void *[]){d_output, weight, d_input});
}

sgp_status_t affine_backward(affine_t *a, const float *input, const float *weight,
                             const float *d_output, float *d_weight, float *d_bias,
                             float *d_input) {
    float *blocked = a->weight_gradient;
    sgp_status_t status =
        kernel_run(&a->backward_weights, a->engine,
                   (const void *[]){input, d_output, blocked ? blocked : d_weight, d_bias});
    if (!status && blocked)
        status = kernel_run(&a->from_gradient, a->engine, (const void *[]){blocked, d_weight});
    if (!status && a->backward_data.primitive) status = backward_data(a, weight, d_output, d_input);
    return status;
}
