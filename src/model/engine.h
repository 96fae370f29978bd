/* SPDX-License-Identifier: Apache-2.0 */
/* The interface to oneDNN, versions 2 and 3: convolutions and dense layers, forward and backward.
 * No other file than engine*.c includes oneDNN's header.
 *
 * Activations are always nhwc. With a layout of oneDNN's own choice some shapes fall back to
 * reference code, 8 to 1000 times slower; for the same reason an operation with a reference
 * implementation is refused when it is built. The caller's weights have plain layouts (oihw); the
 * blocked copies for the kernels are private, because they differ between instruction sets. Each
 * weight is copied once per pass.
 *
 * Each engine has its own stream and scratchpad and shares nothing with other engines: one caller
 * per engine, any number of engines in a process. With the same number of threads the same input
 * gives the same bits. */
#ifndef SGP_MODEL_ENGINE_H
#define SGP_MODEL_ENGINE_H

#include "model/arena.h"
#include "model/element.h"

#include <sgp/status.h>
#include <stdbool.h>

typedef struct engine engine_t;

/* oneDNN's version. Static. */
const char *engine_version(void);

/* Whether the CPU multiplies in bfloat16 (avx512_bf16, AMX) and oneDNN may use it
 * (ONEDNN_MAX_CPU_ISA). */
bool engine_has_bfloat16(void);

/* arena: borrowed, must outlive the engine; private weights and the scratchpad live there.
 * threads: OpenMP threads that each operation uses, whatever the caller's own setting; 0: those of
 * OMP_NUM_THREADS if it is set, else 1. SGP_ERR_UNSUPPORTED: more than one, and oneDNN was built
 * without OpenMP. */
sgp_status_t engine_create(arena_t *arena, int threads, engine_t **engine);

/* After the last affine_create and before the first run: allocates the one scratchpad, and the
 * memory for one layer's weights in a kernel's layout, that all operations of the engine share. */
sgp_status_t engine_allocate_scratchpad(engine_t *engine);

/* After the engine's operations are destroyed. NULL is fine. */
void engine_destroy(engine_t *engine);

/* SGP_ERR_UNSUPPORTED if oneDNN's name of an implementation contains "ref". */
sgp_status_t engine_check_implementation(const char *layer, const char *operation,
                                         const char *implementation);

/* output = weight * input + bias, where the product is a convolution or a dense layer. */
typedef struct affine affine_t;

typedef struct affine_options {
    const char *name; /* for messages; borrowed for the call */
    int batch;
    int in_channels, in_height, in_width;
    int out_channels, out_height, out_width; /* dense: height and width are 1 */
    int kernel;                              /* pixels, both directions; 0: dense */
    int stride, padding;                     /* of a convolution */
    bool bias;
    bool input_gradient; /* false on the first layer, to save a pass */
    element_t element;   /* of input, d_input and d_output; products use it, sums are float32 */
    element_t output;    /* of the output */
} affine_options_t;

/* Sets *affine only on success. SGP_ERR_UNSUPPORTED: oneDNN has no fast implementation. */
sgp_status_t affine_create(engine_t *engine, const affine_options_t *options, affine_t **affine);
void affine_destroy(affine_t *affine);

/* input: (batch, in_height, in_width, in_channels). weight: (out_channels, in_channels, kernel,
 * kernel), or (out_channels, in_channels, in_height, in_width) for a dense layer: its inputs are
 * numbered as in PyTorch, channel first. bias: (out_channels), ignored without bias.
 * output: (batch, out_height, out_width, out_channels). */
sgp_status_t affine_forward(affine_t *affine, const void *input, const float *weight,
                            const float *bias, void *output);

/* After affine_forward with the same weight. d_weight, d_bias and d_input are overwritten, shaped as
 * weight, bias and input; d_bias is ignored without bias and d_input without input_gradient. */
sgp_status_t affine_backward(affine_t *affine, const void *input, const float *weight,
                             const void *d_output, float *d_weight, float *d_bias, void *d_input);

#endif
