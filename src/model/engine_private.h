/* SPDX-License-Identifier: Apache-2.0 */
/* What the files engine*.c share. Nobody else includes this header, nor oneDNN's.
 *
 * engine_core.c: the engine, its threads, and primitives. engine_affine.c: layers made of them.
 * engine_describe.c: the descriptions that differ between oneDNN 2 and 3. */
#ifndef SGP_MODEL_ENGINE_PRIVATE_H
#define SGP_MODEL_ENGINE_PRIVATE_H

#include "model/arena.h"

#include <sgp/status.h>
#include <dnnl.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout_t;
typedef const_dnnl_memory_desc_t layout_view_t;
#else
typedef dnnl_memory_desc_t layout_t;
typedef const dnnl_memory_desc_t *layout_view_t;
#endif

typedef struct engine engine_t;                 /* engine.h */
typedef struct affine_options affine_options_t; /* engine.h */

/* The OpenMP runtime that oneDNN uses, of whichever compiler; NULL if oneDNN uses none. */
typedef struct openmp {
    void (*set_threads)(int count);
    int (*threads)(void);
} openmp_t;

struct engine {
    arena_t *arena;
    int threads; /* of every primitive */
    openmp_t openmp;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes; /* with our own scratchpad */
    size_t scratchpad_bytes;
    void *scratchpad;
    size_t copy_bytes;
    void *copy; /* weights or a gradient of one layer, in the layout of a kernel */
};

/* Converts and logs a failure. */
sgp_status_t engine_convert(dnnl_status_t status, const char *layer, const char *operation);

/* oneDNN takes the number of threads from OpenMP, whose setting belongs to the calling thread.
 * Returns the caller's, for engine_threads_end. */
int engine_threads_begin(const engine_t *engine);
void engine_threads_end(const engine_t *engine, int before);

enum { MAX_ARGUMENTS = 5 };

/* A primitive and its arguments, in the order in which kernel_run takes their pointers. */
typedef struct kernel {
    dnnl_primitive_t primitive; /* NULL: unused */
    dnnl_exec_arg_t arguments[MAX_ARGUMENTS];
    int count;
} kernel_t;

/* arguments: (count); the scratchpad follows them. After a failure, kernel_fini undoes the part
 * that was built. */
sgp_status_t kernel_init(kernel_t *kernel, engine_t *engine, const char *layer,
                         const char *operation, const_dnnl_primitive_desc_t description,
                         const int *arguments, int count);

/* A zeroed kernel is fine. */
void kernel_fini(kernel_t *kernel);

/* pointers: one per argument but the scratchpad. */
sgp_status_t kernel_run(const kernel_t *kernel, const engine_t *engine,
                        const void *const pointers[]);

/* The layer's shapes as oneDNN takes them. */
typedef struct problem {
    const affine_options_t *options;
    engine_t *engine;
    layout_t input, output, d_output, bias;
    layout_t weight;       /* any layout */
    layout_t d_weight;     /* the same in float32 */
    layout_t plain_weight; /* as in the flat vector */
    dnnl_dims_t strides, padding, dilation;
} problem_t;

sgp_status_t problem_init(problem_t *problem, engine_t *engine, const affine_options_t *options);
void problem_fini(problem_t *problem);

layout_view_t layout_view(const layout_t *layout);

/* forward: the forward pass's description, which the backward passes take as a hint. */
dnnl_status_t describe_forward(const problem_t *problem, dnnl_primitive_desc_t *description);
dnnl_status_t describe_backward_data(const problem_t *problem, const_dnnl_primitive_desc_t forward,
                                     dnnl_primitive_desc_t *description);
dnnl_status_t describe_backward_weights(const problem_t *problem,
                                        const_dnnl_primitive_desc_t forward,
                                        dnnl_primitive_desc_t *description);

#endif
