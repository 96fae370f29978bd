/* SPDX-License-Identifier: Apache-2.0 */
#include "model/engine_private.h"

#include "base/logging.h"

#include <stdlib.h>

struct affine {
    engine_t *engine;
    bool bias;
    kernel_t forward, backward_data, backward_weights;
    /* Weights in the layout of a kernel, and the reorder from or to the plain layout. NULL where
     * the kernel uses the plain layout. */
    kernel_t to_forward, to_backward, from_gradient;
    void *forward_weight, *backward_weight, *weight_gradient;
};

/* If the kernel's argument is not laid out plainly: a private copy of it, and the reorder between
 * the two, from plain or (gradients) to plain. */
static sgp_status_t init_reorder(const problem_t *p, const kernel_t *kernel, int index,
                                 bool to_plain, const char *operation, kernel_t *reorder,
                                 void **copy) {
    engine_t *engine = p->engine;
    layout_view_t wanted;
    dnnl_memory_get_memory_desc(kernel->arguments[index].memory, &wanted);
    layout_view_t plain = layout_view(&p->plain_weight);
    if (dnnl_memory_desc_equal(wanted, plain)) return SGP_OK;
    *copy = arena_alloc(engine->arena, dnnl_memory_desc_get_size(wanted));
    if (!*copy)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for its weights", p->options->name);
    dnnl_primitive_desc_t description;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &description, to_plain ? wanted : plain, engine->engine, to_plain ? plain : wanted,
        engine->engine, engine->attributes);
    if (status) return engine_convert(status, p->options->name, operation);
    sgp_status_t result = kernel_init(reorder, engine, p->options->name, operation, description,
                                      (const int[]){DNNL_ARG_FROM, DNNL_ARG_TO}, 2);
    dnnl_primitive_desc_destroy(description);
    return result;
}

/* Whether two kernels take their argument of that index in the same layout and type. */
static bool same_layout(const kernel_t *a, const kernel_t *b, int index) {
    layout_view_t of_a, of_b;
    dnnl_memory_get_memory_desc(a->arguments[index].memory, &of_a);
    dnnl_memory_get_memory_desc(b->arguments[index].memory, &of_b);
    return dnnl_memory_desc_equal(of_a, of_b);
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
    sgp_status_t status = engine_convert(describe_backward_data(p, forward, &description),
                                         p->options->name, "the gradient of its input");
    if (status) return status;
    status = kernel_init(&a->backward_data, p->engine, p->options->name,
                         "the gradient of its input", description,
                         (const int[]){DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}, 3);
    dnnl_primitive_desc_destroy(description);
    if (status) return status;
    if (a->forward_weight && same_layout(&a->forward, &a->backward_data, 1)) {
        a->backward_weight = a->forward_weight;
        return SGP_OK;
    }
    return init_reorder(p, &a->backward_data, 1, false, "reordering its weights", &a->to_backward,
                        &a->backward_weight);
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
    return init_reorder(p, &a->backward_weights, 2, true, "reordering its gradient",
                        &a->from_gradient, &a->weight_gradient);
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
    kernel_t *kernels[] = {&affine->forward,    &affine->backward_data, &affine->backward_weights,
                           &affine->to_forward, &affine->to_backward,   &affine->from_gradient};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) kernel_fini(kernels[i]);
    free(affine);
}

sgp_status_t affine_forward(affine_t *a, const void *input, const float *weight, const float *bias,
                            void *output) {
    const void *used = weight;
    if (a->forward_weight) {
        sgp_status_t status =
            kernel_run(&a->to_forward, a->engine, (const void *[]){weight, a->forward_weight});
        if (status) return status;
        used = a->forward_weight;
    }
    return kernel_run(&a->forward, a->engine, (const void *[]){input, used, output, bias});
}

static sgp_status_t backward_data(affine_t *a, const float *weight, const void *d_output,
                                  void *d_input) {
    const void *used = a->backward_weight ? a->backward_weight : weight;
    if (a->to_backward.primitive) {
        sgp_status_t status =
            kernel_run(&a->to_backward, a->engine, (const void *[]){weight, a->backward_weight});
        if (status) return status;
    }
    return kernel_run(&a->backward_data, a->engine, (const void *[]){d_output, used, d_input});
}

sgp_status_t affine_backward(affine_t *a, const void *input, const float *weight,
                             const void *d_output, float *d_weight, float *d_bias, void *d_input) {
    void *blocked = a->weight_gradient;
    sgp_status_t status =
        kernel_run(&a->backward_weights, a->engine,
                   (const void *[]){input, d_output, blocked ? blocked : d_weight, d_bias});
    if (!status && blocked)
        status = kernel_run(&a->from_gradient, a->engine, (const void *[]){blocked, d_weight});
    if (!status && a->backward_data.primitive) status = backward_data(a, weight, d_output, d_input);
    return status;
}
