/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of decay of the learning rate after the warm-up, and their names; schedule.h has the formulas. */
#ifndef SGP_RUN_DECAY_H
#define SGP_RUN_DECAY_H

#include <sgp/status.h>

typedef enum schedule_kind {
    SCHEDULE_STEP,
    SCHEDULE_COSINE,
    SCHEDULE_CONSTANT,
} schedule_kind_t;

/* "auto, step, cosine, constant": auto stands for one of the others, and is no kind. */
const char *schedule_names(void);

/* SGP_ERR_NOT_FOUND leaves *kind as it was. Logs nothing. */
sgp_status_t schedule_parse(const char *name, schedule_kind_t *kind);

#endif
