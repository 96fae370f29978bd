/* SPDX-License-Identifier: Apache-2.0 */
/* The local step of a node: from a gradient to a change of the parameters. Its state stays on the node.
 *
 *   g' = g + lambda z                                      weight decay
 *   SGD:   m <- mu m + g',  d = g' + mu m  (Nesterov) or d = m,  x <- x - lr d
 *   Adam:  m and v of g' as in Kingma and Ba 2015,  x <- x - lr m^ / (sqrt(v^) + epsilon)
 *   AdamW: m and v of g,  x <- x - lr (lambda z + m^ / (sqrt(v^) + epsilon))  (Loshchilov and Hutter 2019)
 *
 * SGD with Nesterov's momentum is the paper's recipe. The gradient and the weight decay are taken at the
 * de-biased parameters z; see sgp/mixer.h for x and z. */
#ifndef SGP_OPTIMIZER_H
#define SGP_OPTIMIZER_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sgp_optimizer sgp_optimizer_t;

typedef enum sgp_optimizer_kind {
    SGP_OPTIMIZER_SGD = 0,
    SGP_OPTIMIZER_ADAM,
    SGP_OPTIMIZER_ADAMW, /* Adam with decoupled weight decay */
} sgp_optimizer_kind_t;

/* Elements [offset, offset + count) of the vector. */
typedef struct sgp_range {
    size_t offset;
    size_t count;
} sgp_range_t;

typedef struct sgp_optimizer_options {
    size_t count;              /* P, floats in the vector; required, > 0 */
    sgp_optimizer_kind_t kind; /* SGP_OPTIMIZER_SGD */
    float momentum;            /* mu, in [0, 1); 0: plain SGD */
    bool heavy_ball;           /* false: Nesterov's form; true: Polyak's, d = m */
    float weight_decay;        /* lambda >= 0; 0: none */
    float beta1, beta2;        /* Adam and AdamW; 0: 0.9 and 0.999 */
    float epsilon;             /* Adam and AdamW; 0: 1e-8 */
    /* Where weight decay does not apply (batch-norm parameters): ascending, apart; copied. */
    const sgp_range_t *no_decay; /* (no_decay_count); may be NULL */
    size_t no_decay_count;
} sgp_optimizer_options_t;

/* Copies options; the state starts at zero. Sets *optimizer only on success.
 * SGP_ERR_INVALID: an option is out of range, and the log says which. SGP_ERR_NO_MEMORY: nothing
 * changed. */
SGP_API sgp_status_t sgp_optimizer_create_sized(const sgp_optimizer_options_t *options, size_t size,
                                                sgp_optimizer_t **optimizer);
static inline sgp_status_t sgp_optimizer_create(const sgp_optimizer_options_t *options,
                                                sgp_optimizer_t **optimizer) {
    return sgp_optimizer_create_sized(options, sizeof *options, optimizer);
}

SGP_API void sgp_optimizer_destroy(sgp_optimizer_t *optimizer);

/* ---- State, for resuming bit for bit ---- */

/* Bytes of the state. */
SGP_API size_t sgp_optimizer_state_size(const sgp_optimizer_t *optimizer);

/* size: sgp_optimizer_state_size. SGP_ERR_INVALID: another size. */
SGP_API sgp_status_t sgp_optimizer_state_save(const sgp_optimizer_t *optimizer,
                                              void *bytes /* (size) */, size_t size);

/* Into an optimizer with the same options, before its first step. SGP_ERR_INVALID: not a whole, undamaged state, or the
 * optimizer has stepped. SGP_ERR_MISMATCH: of another optimizer or version; the log says the first difference. After both
 * nothing has changed. */
SGP_API sgp_status_t sgp_optimizer_state_load(sgp_optimizer_t *optimizer,
                                              const void *bytes /* (size) */, size_t size);

/* One step on a vector of one's own, without a mixer. Not thread-safe: one caller per optimizer. */
SGP_API void sgp_optimizer_step(sgp_optimizer_t *optimizer, float *parameters /* (P) */,
                                const float *gradient /* (P) */, float learning_rate);

#ifdef __cplusplus
}
#endif
#endif
