/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/local_ranks.h"

#include "base/fork.h"
#include "base/logging.h"
#include "transport/shm/rendezvous.h"

#include <stdlib.h>

static bool any_other(const sgp_slots_t *slots, const bool *local) {
    const sgp_transport_t *transport = &slots->transport;
    for (int r = 0; r < transport->size; r++)
        if (r != transport->rank && (!local || local[r])) return true;
    return false;
}

static sgp_status_t prepare(sgp_local_ranks_t *ranks, sgp_slots_t *slots,
                            const sgp_local_options_t *options) {
    int size = slots->transport.size;
    if (!options->rendezvous || !*options->rendezvous)
        return sgp_fail(SGP_ERR_INVALID, "%d nodes need a rendezvous directory", size);
    ranks->sockets = malloc((size_t)size * sizeof *ranks->sockets);
    if (!ranks->sockets)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: no memory to connect %d nodes", size);
    ranks->size = size;
    for (int r = 0; r < size; r++) ranks->sockets[r] = -1;
    return SGP_OK;
}

/* The heartbeat begins before the others see this rank, so that they find it alive. */
sgp_status_t sgp_local_ranks_meet(sgp_local_ranks_t *ranks, sgp_slots_t *slots,
                                  const sgp_local_options_t *options) {
    if (!any_other(slots, options->local)) return SGP_OK;
    sgp_status_t status = prepare(ranks, slots, options);
    sgp_limits_t limits = sgp_limits_of(&options->patience, options->peer_timeout_ms);
    if (status == SGP_OK) status = sgp_heartbeat_start(&ranks->heartbeat, slots, &limits);
    if (status != SGP_OK) return status;
    sgp_rendezvous_t rendezvous = {.slots = slots,
                                   .directory = options->rendezvous,
                                   .local = options->local,
                                   .timeout_ms = options->timeout_ms,
                                   .sockets = ranks->sockets};
    return sgp_rendezvous_meet(&rendezvous);
}

void sgp_local_ranks_watch(sgp_local_ranks_t *ranks) {
    if (ranks->sockets) sgp_heartbeat_watch(&ranks->heartbeat, ranks->sockets);
}

void sgp_local_ranks_fini(sgp_local_ranks_t *ranks) {
    sgp_heartbeat_stop(&ranks->heartbeat);
    for (int r = 0; ranks->sockets && r < ranks->size; r++) sgp_fork_close(ranks->sockets[r]);
    free(ranks->sockets);
}
