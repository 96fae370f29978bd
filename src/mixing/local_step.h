/* SPDX-License-Identifier: Apache-2.0 */
/* The local part of a step: the optimizer on the mixer's segment, booked in the ledger of mass. For the algorithms;
 * sends nothing. */
#ifndef SGP_MIXING_LOCAL_STEP_H
#define SGP_MIXING_LOCAL_STEP_H

#include "mixing/mixer_core.h"

/* The local part of a step. */
typedef struct sgp_local {
    sgp_optimizer_t *optimizer; /* NULL: the caller has changed z */
    const float *gradient;      /* (P) */
    float learning_rate;
    bool
        held; /* this step ends a hold: until the next one the caller does not change the parameters */
} sgp_local_t;

/* The local step on elements [offset, offset + count) of z, with a copy of the result (NULL: none):
 * z <- z - rate d. The buffers behind the P parameters are copied unchanged. non_temporal: how the copy is written.
 * Books the change in the ledger. false: a number that was updated or copied is not finite. */
bool sgp_local_update(sgp_mixer_t *mixer, const sgp_local_t *local, float rate, size_t offset,
                      size_t count, float *copy, bool non_temporal);

/* The same for all of z at weight w, for steps without an exchange: the numerator moves by lr d, so z moves by lr d / w.
 * SGP_ERR_NOT_FINITE. */
sgp_status_t sgp_local_update_all(sgp_mixer_t *mixer, const sgp_local_t *local);

#endif
