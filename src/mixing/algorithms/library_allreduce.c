/* SPDX-License-Identifier: Apache-2.0 */
/* All-reduce SGD by the library under the transport (MPI_Allreduce). */
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/algorithms/allreduce_step.h"
#include "mixing/kernels.h"

#include "base/logging.h"
#include "base/memory.h"
#include "optimizer/optimizer_internal.h"

static sgp_status_t library_create(sgp_mixer_t *mixer) {
    if (!mixer->transport->ops->sum)
        return sgp_fail(
            SGP_ERR_UNSUPPORTED,
            "mixer: all-reduce by the library, and the transport %s has none; mpi has one, and "
            "our own all-reduce works with all",
            mixer->transport->ops->name);
    mixer->extra = sgp_memory_alloc(mixer->length * sizeof(float));
    if (mixer->extra) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu numbers", mixer->length);
}

static void library_destroy(sgp_mixer_t *mixer) {
    sgp_memory_free(mixer->extra);
}

/* The library needs the whole vector in one piece: mixer->extra. Its messages are not counted, and it knows no deadline. */
static sgp_status_t library_step(sgp_mixer_t *mixer, const sgp_local_t *local, uint64_t deadline) {
    (void)deadline;
    if (!mixer->exchanges) return sgp_local_update_all(mixer, local);
    sgp_allreduce_step_t step;
    sgp_status_t status = sgp_allreduce_begin(mixer, local, &step);
    if (status != SGP_OK) return status;
    sgp_reduce_t reduce = {.context = &step};
    if (step.optimizer) sgp_optimizer_begin(step.optimizer);
    float *sum = mixer->extra, scale = 1 / (float)mixer->size;
    size_t length = mixer->length;
    uint64_t mark = sgp_mixer_mark(mixer);
    const float *mine = sgp_allreduce_part(&reduce, 0, length, sum);
    bool finite = mine == sum ? sgp_is_finite(length, sum) : sgp_copy_finite(length, sum, mine);
    if (!sgp_mixer_accepts(mixer, finite)) return sgp_mixer_refuse(mixer, "gradient", 0, length);
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_PUSH, mark);
    status = mixer->transport->ops->sum(mixer->transport, sum, length);
    if (status != SGP_OK) return status;
    mark = sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
    sgp_scale(length, sum, scale);
    sgp_allreduce_result(&reduce, 0, length, sum);
    sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
    return sgp_allreduce_judge(mixer, SGP_OK);
}

const sgp_algorithm_ops_t sgp_algorithm_library_allreduce = {
    .create = library_create,
    .destroy = library_destroy,
    .messages = sgp_allreduce_messages,
    .step = library_step,
};
