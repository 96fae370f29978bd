/* SPDX-License-Identifier: Apache-2.0 */
#include "model/engine.h"
#include "model/engine_private.h"

#include "base/logging.h"

#include <stdlib.h>

/* Weights, or their gradient, in the layout and type of a kernel. */
typedef struct copy {
    bool used; /* false: the kernel takes the plain layout */
    kernel_t
        reorder; /* from the plain layout, of a gradient to it; unused in a layer whose backward
                         pass takes the copy of the forward pass */
    void *own;   /* NULL: in the engine's memory, until the next kernel needs that */
} copy_t;

struct affine {
    engine_t *engine;
    bool bias;
    kernel_t forward, backward_data, backward_weights;
    copy_t forward_weight, backward_weight, gradient;
};

static void *copy_memory(const affine_t *a, const copy_t *copy) {
    return copy->own ? copy->own : a->engine->copy;
}

static layout_view_t layout_of(const kernel_t *kernel, int index) {
    layout_view_t layout;
    dnnl_memory_get_memory_desc(kernel->arguments[index].memory, &layout);
    return layout;
}

/* If the kernel's argument is not laid out plainly: the reorder between it and the plain layout. */
static sgp_status_t init_copy(const problem_t *p, const kernel_t *kernel, int index, bool to_plain,
                              const char *operation, copy_t *copy) {
    engine_t *engine = p->engine;
    layout_view_t wanted = layout_of(kernel, index), plain = layout_view(&p->plain_weight);
    if (dnnl_memory_desc_equal(wanted, plain)) return SGP_OK;
    copy->used = true;
    size_t bytes = dnnl_memory_desc_get_size(wanted);
    if (bytes > engine->copy_bytes) engine->copy_bytes = bytes;
    dnnl_primitive_desc_t description;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &description, to_plain ? wanted : plain, engine->engine, to_plain ? plain : wanted,
        engine->engine, engine->attributes);
    if (status) return engine_convert(status, p->options->name, operation);
    sgp_status_t result = kernel_init(&copy->reorder, engine, p->options->name, operation,
                                      description, (const int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, 2);
    dnnl_primitive_desc_destroy(description);
    return result;
}

/* Where both passes take the weights in the same layout, one copy serves them. */
static bool shares_weight(const affine_t *a) {
    return a->forward_weight.used &&
           dnnl_memory_desc_equal(layout_of(&a->forward, 1), layout_of(&a->backward_data, 1));
}

static sgp_status_t share_weight(affine_t *a, const problem_t *p) {
    size_t bytes = dnnl_memory_desc_get_size(layout_of(&a->forward, 1));
    a->forward_weight.own = arena_alloc(p->engine->arena, bytes);
    a->backward_weight = (copy_t){.used = true, .own = a->forward_weight.own};
    if (a->forward_weight.own) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for its weights", p->options->name);
}

static sgp_status_t init_forward(affine_t *a, const problem_t *p,
                                 const_dnnl_primitive_desc_t description) {
    sgp_status_t status = kernel_init(
        &a->forward, p->engine, p->options->name, "its forward pass", description,
        (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS}, 3 + a->bias);
    if (status) return status;
    return init_copy(p, &a->forward, 1, false, "reordering its weights", &a->forward_weight);
}

static sgp_status_t init_backward_data(affine_t *a, const problem_t *p,
                                       const_dnnl_primitive_desc_t forward) {
    dnnl_primitive_desc_t description;
    sgp_status_t status = engine_convert(describe_backward_data(p, forward, &description),
                                         p->options->name, "the gradient of its input");
    if (status) return status;
    status = kernel_init(&a->backward_data, p->engine, p->options->name,
                         "the gradient of its input", description,
                         (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}, 3);
    dnnl_primitive_desc_destroy(description);
    if (status) return status;
    if (shares_weight(a)) return share_weight(a, p);
    return init_copy(p, &a->backward_data, 1, false, "reordering its weights", &a->backward_weight);
}

static sgp_status_t init_backward_weights(affine_t *a, const problem_t *p,
                                          const_dnnl_primitive_desc_t forward) {
    dnnl_primitive_desc_t description;
    sgp_status_t status = engine_convert(describe_backward_weights(p, forward, &description),
                                         p->options->name, "the gradient of its weights");
    if (status) return status;
    status = kernel_init(
        &a->backward_weights, p->engine, p->options->name, "the gradient of its weights",
        description,
        (const int[]){DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS},
        3 + a->bias);
    dnnl_primitive_desc_destroy(description);
    if (status) return status;
    return init_copy(p, &a->backward_weights, 2, true, "reordering its gradient", &a->gradient);
}

static sgp_status_t init_kernels(affine_t *a, const problem_t *p) {
    dnnl_primitive_desc_t forward; /* the backward passes take it as a hint */
    sgp_status_t status =
        engine_convert(describe_forward(p, &forward), p->options->name, "its forward pass");
    if (status) return status;
    status = init_forward(a, p, forward);
    if (!status && p->options->input_gradient) status = init_backward_data(a, p, forward);
    if (!status) status = init_backward_weights(a, p, forward);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

static sgp_status_t create(engine_t *engine, const affine_options_t *options, affine_t **affine) {
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

/* A primitive is built for the number of threads that runs it. */
sgp_status_t affine_create(engine_t *engine, const affine_options_t *options, affine_t **affine) {
    int before = engine_threads_begin(engine);
    sgp_status_t status = create(engine, options, affine);
    engine_threads_end(engine, before);
    return status;
}

void affine_destroy(affine_t *affine) {
    if (!affine) return;
    kernel_t *kernels[] = {&affine->forward,
                           &affine->backward_data,
                           &affine->backward_weights,
                           &affine->forward_weight.reorder,
                           &affine->backward_weight.reorder,
                           &affine->gradient.reorder};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) kernel_fini(kernels[i]);
    free(affine);
}

/* The weights as a kernel takes them: the plain ones, or a copy made of them. */
static sgp_status_t prepare(affine_t *a, const copy_t *copy, const float *plain,
                            const void **weight) {
    *weight = copy->used ? copy_memory(a, copy) : plain;
    if (!copy->reorder.primitive) return SGP_OK;
    return kernel_run(&copy->reorder, a->engine, (const void *[]){plain, *weight});
}

sgp_status_t affine_forward(affine_t *a, const void *input, const float *weight, const float *bias,
                            void *output) {
    const void *prepared;
    sgp_status_t status = prepare(a, &a->forward_weight, weight, &prepared);
    if (status) return status;
    return kernel_run(&a->forward, a->engine, (const void *[]){input, prepared, output, bias});
}

static sgp_status_t backward_data(affine_t *a, const float *weight, const void *d_output,
                                  void *d_input) {
    const void *prepared;
    sgp_status_t status = prepare(a, &a->backward_weight, weight, &prepared);
    if (status) return status;
    return kernel_run(&a->backward_data, a->engine, (const void *[]){d_output, prepared, d_input});
}

sgp_status_t affine_backward(affine_t *a, const void *input, const float *weight,
                             const void *d_output, float *d_weight, float *d_bias, void *d_input) {
    void *into = a->gradient.used ? copy_memory(a, &a->gradient) : d_weight;
    sgp_status_t status = kernel_run(&a->backward_weights, a->engine,
                                     (const void *[]){input, d_output, into, d_bias});
    if (!status && a->gradient.used)
        status = kernel_run(&a->gradient.reorder, a->engine, (const void *[]){into, d_weight});
    if (!status && a->backward_data.primitive) status = backward_data(a, weight, d_output, d_input);
    return status;
}
