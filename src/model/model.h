/* SPDX-License-Identifier: Apache-2.0 */
/* A network with its loss, forward and backward, for one replica. The program's run, bench and eval
 * call it; this folder never sees a node, a message or a file.
 *
 * The model owns layers, activations and private copies of the weights; parameters, buffers and
 * gradients are the caller's flat vectors in plain layouts (oihw, oi), the same on every CPU (see
 * docs/how-it-works.md). Dense weights behind a map of pixels are numbered channel first, as in
 * PyTorch. Not thread-safe: one caller per model; several models may be used by several threads.
 * The same number of threads gives the same bits every time. One thread is the fastest with several
 * nodes on a machine. */
#ifndef SGP_MODEL_MODEL_H
#define SGP_MODEL_MODEL_H

#include "model/model_types.h"

#include <sgp/status.h>

typedef struct model model_t;

/* The precision of activations and their gradients. Parameters and their gradients, statistics of
 * batch norm, logits and loss are float32 in every case. */
typedef enum model_precision {
    MODEL_FLOAT32,
    MODEL_BFLOAT16, /* for CPUs with avx512_bf16 or AMX */
    MODEL_AUTO,     /* MODEL_BFLOAT16 where the CPU has it, else MODEL_FLOAT32 */
} model_precision_t;

typedef struct model_options {
    const char *name; /* of model_names(), such as "resnet50"; required, borrowed for the call */
    int batch;        /* largest number of samples in a call; required, > 0 */
    int height;       /* of an image, pixels; required */
    int width;
    int channels;           /* of an image; required */
    int classes;            /* required, >= 2 */
    double label_smoothing; /* 0..1, of model_train's loss, as in torch; 0 */
    int threads;            /* of oneDNN's kernels; 0: OMP_NUM_THREADS if that is set, else 1 */
    model_precision_t precision; /* 0: MODEL_FLOAT32 */
} model_options_t;

/* Builds the layers. Sets *model only on success.
 * SGP_ERR_INVALID: unknown name (the log lists the known ones), an option out of range, or images
 * too small for the layers.
 * SGP_ERR_UNSUPPORTED: MODEL_BFLOAT16 on a CPU without it, more than one thread with a oneDNN that
 * does not use OpenMP, or oneDNN would use a reference implementation for a layer (the log names
 * layer and implementation). SGP_ERR_NO_MEMORY. */
sgp_status_t model_create(const model_options_t *options, model_t **model);
void model_destroy(model_t *model);

/* The names that model_create knows, separated by ", ". Static. */
const char *model_names(void);

/* Whether model_create knows the name. */
bool model_known(const char *name);

/* Sets height, width, channels and classes to those of the images that the model options->name, which
 * is known, is described for: Fashion-MNIST's, or ImageNet's at 224 x 224. */
void model_usual_images(model_options_t *options);

size_t model_parameter_count(const model_t *model); /* P, floats */
size_t model_buffer_count(const model_t *model);    /* S, floats; 0 without batch norm */

/* All tensors, parameters first, each vector in increasing offset without gaps. */
size_t model_tensor_count(const model_t *model);
const model_tensor_t *model_tensor(const model_t *model, size_t index);

/* The logits (count, classes) of the last pass, float32. Valid until the next pass. */
const float *model_logits(const model_t *model);

size_t model_layer_count(const model_t *model);
model_layer_t model_layer(const model_t *model, size_t index /* < model_layer_count */);

/* The parts of model_memory_bytes. */
model_memory_t model_memory(const model_t *model);

/* MODEL_FLOAT32 or MODEL_BFLOAT16: the precision in use, MODEL_AUTO resolved. */
model_precision_t model_precision(const model_t *model);

/* Bytes that this model holds (activations, gradients of activations, private weights,
 * scratchpads), without the caller's flat vectors. Known once built. */
size_t model_memory_bytes(const model_t *model);

/* Initial values, a function of (model, seed) alone. Weights and biases: by layer, see
 * layer_initial_t in model/network.h. Batch norm: scale 1, shift 0, running mean 0, running variance
 * 1, and the last scale of each residual block 0. */
void model_init_parameters(const model_t *model, uint64_t seed, float *parameters /* (P) */,
                           float *buffers /* (S) */);

/* Forward and backward over `count` samples (1 <= count <= batch) in training mode.
 * images: (count, height, width, channels), nhwc. labels: (count), each < classes.
 * valid: the first `valid` of the samples count in loss, gradient and result (0 <= valid <= count);
 * the rest only fill the batch (their loss has weight 0; batch norm sees them). gradient: (P),
 * overwritten with the gradient of the mean loss over the valid samples (zeros when valid is 0).
 * buffers: (S), running statistics updated in place, momentum 0.1 as PyTorch defines it.
 * With count < batch the samples are repeated in turn up to `batch`, with weight 0: batch norm's
 * statistics are then over the repeated samples.
 * SGP_ERR_INVALID: count, valid or a valid sample's label is out of range; nothing changed. */
sgp_status_t model_train(model_t *model, const float *parameters /* (P) */,
                         float *buffers /* (S) */, const float *images, const int32_t *labels,
                         int count, int valid, float *gradient /* (P) */, model_result_t *result);

/* Forward in evaluation mode (batch norm uses the running statistics), over 1 <= count <= batch
 * samples. A sample's loss does not depend on the others. SGP_ERR_INVALID as above. */
sgp_status_t model_evaluate(model_t *model, const float *parameters /* (P) */,
                            const float *buffers /* (S) */, const float *images,
                            const int32_t *labels, int count, model_result_t *result);

#endif
