/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/shm.h"

#include "base/logging.h"
#include "transport/shm/descriptor.h"
#include "transport/shm/local_ranks.h"

#include <stdlib.h>

typedef struct shm {
    sgp_slots_t slots; /* first: a transport is its slots, and these are a shm */
    sgp_local_ranks_t local;
    sgp_descriptor_t descriptor;
} shm_t;

static void shm_destroy(sgp_transport_t *transport) {
    shm_t *shm = (shm_t *)transport;
    sgp_descriptor_fini(&shm->descriptor);
    sgp_local_ranks_fini(&shm->local);
    sgp_slots_fini(&shm->slots);
    free(shm);
}

static int shm_descriptor(sgp_transport_t *transport) {
    shm_t *shm = (shm_t *)transport;
    return sgp_descriptor_open(&shm->descriptor, &shm->slots.own);
}

static void shm_rearm(sgp_transport_t *transport) {
    sgp_descriptor_rearm(&((shm_t *)transport)->descriptor);
}

static uint64_t shm_silence(sgp_transport_t *transport, int rank) {
    return sgp_heartbeat_silence(&((shm_t *)transport)->local.heartbeat, rank);
}

static void shm_give_up(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why) {
    sgp_slots_strike_off(&((shm_t *)transport)->slots, rank);
    sgp_slots_note(transport, rank, fate, why);
}

static const sgp_transport_ops_t shm_ops = {
    .name = "shm",
    .now = sgp_slots_now,
    .wait = sgp_slots_wait,
    .has_ended = sgp_transport_has_left,
    .prepare = sgp_slots_prepare,
    .unprepare = sgp_slots_unprepare,
    .send_begin = sgp_slots_send_begin,
    .send_next = sgp_slots_send_next,
    .send_chunk = sgp_slots_send_chunk,
    .send_commit = sgp_slots_send_commit,
    .send_abandon = sgp_slots_send_abandon,
    .take_back = sgp_slots_take_back,
    .silence = shm_silence,
    .give_up = shm_give_up,
    .look_at_self = sgp_slots_look_at_self,
    .attend = sgp_slots_attend,
    .keep_close = sgp_slots_keep_close,
    .receive = sgp_slots_receive,
    .release = sgp_slots_release,
    .agent_start = sgp_slots_agent_start,
    .agent_join = sgp_slots_agent_join,
    .lock = sgp_slots_lock,
    .unlock = sgp_slots_unlock,
    .pause = sgp_slots_pause,
    .signal = sgp_slots_signal,
    .descriptor = shm_descriptor,
    .rearm = shm_rearm,
    .leave = sgp_slots_leave,
    .abort = sgp_slots_abort,
    .destroy = shm_destroy,
};

sgp_status_t sgp_shm_connect(const sgp_shm_options_t *options, sgp_transport_t **transport) {
    shm_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "shm: no memory for a transport");
    sgp_slots_options_t slots = {.ops = &shm_ops,
                                 .rank = options->rank,
                                 .size = options->size,
                                 .run = options->run ? options->run : 1,
                                 .chunk_bytes = options->chunk_bytes};
    sgp_local_options_t local = {.rendezvous = options->rendezvous,
                                 .timeout_ms = options->timeout_ms,
                                 .peer_timeout_ms = options->peer_timeout_ms,
                                 .patience = options->patience};
    sgp_status_t status = sgp_slots_init(&made->slots, &slots);
    if (status == SGP_OK) status = sgp_local_ranks_meet(&made->local, &made->slots, &local);
    if (status != SGP_OK) {
        shm_destroy(&made->slots.transport);
        return status;
    }
    sgp_local_ranks_watch(&made->local);
    *transport = &made->slots.transport;
    return SGP_OK;
}
